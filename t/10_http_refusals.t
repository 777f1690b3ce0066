# What nginx refuses by itself, before the module sees it: always in our shape,
# with a request id and rate-limit headers, never a page of HTML.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n = NchatTest->new(tls => 1);

# refused(NAME, STATUS, CODE, BYTES): sends BYTES, looks at the answer.
sub refused {
    my ($name, $status, $code, $bytes) = @_;
    my ($r, @more) = $n->raw($bytes, timeout => 10);

    if (!$r) {
        fail("$name: no answer");
        return;
    }

    is_error($r, $status, $code, $name);
    like($r->header('x-request-id'), qr/^[0-9a-f]{32}$/, "$name: request id");
    like($r->header('x-ratelimit-remaining'), qr/^\d+$/, "$name: rate limit");
    like($r->header('ratelimit'), qr/^"\w+";r=\d+;t=\d+$/, "$name: RateLimit");
    is(scalar @more, 0, "$name: one answer");
    return $r;
}

sub head {
    my ($line, @headers) = @_;
    return join "\r\n", $line, 'Connection: close', @headers, '', '';
}

my @host = 'Host: localhost';

# The request line.

refused('not HTTP at all', 400, 'BAD_REQUEST', "GARBAGE\r\n\r\n");
refused('a TLS greeting', 400, 'BAD_REQUEST',
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
refused('a method in small letters', 400, 'BAD_REQUEST',
        head('get /api/health HTTP/1.1', @host));
refused('a version that is none', 400, 'BAD_REQUEST',
        head('GET /api/health HTTP/x', @host));
refused('version 3.0', 505, 'INTERNAL_ERROR',
        head('GET /api/health HTTP/3.0', @host));
refused("a method that nginx refuses: $_", 405, 'METHOD_NOT_ALLOWED',
        head("$_ /api/health HTTP/1.1", @host)) for 'TRACE', 'CONNECT';
refused("and at an unknown path: $_", 404, 'NOT_FOUND',
        head("$_ /api/nothing HTTP/1.1", @host)) for 'TRACE', 'CONNECT';
refused('a path with NUL', 400, 'BAD_REQUEST',
        head("GET /api/he\0lth HTTP/1.1", @host));
refused('a path with an escaped NUL', 400, 'BAD_REQUEST',
        head('GET /api/he%00lth HTTP/1.1', @host));
refused('a broken escape', 400, 'BAD_REQUEST',
        head('GET /api/he%zzlth HTTP/1.1', @host));
refused('a path above the root', 400, 'BAD_REQUEST',
        head('GET /api/../../etc/passwd HTTP/1.1', @host));
refused('a request line that is too long', 414, 'BAD_REQUEST',
        head('GET /api/' . 'a' x 40000 . ' HTTP/1.1', @host));

# Headers.

my $r = refused('a header that is too large', 400, 'BAD_REQUEST',
                head('GET /api/health HTTP/1.1', @host, 'X-A: ' . 'a' x 40000));
like($r->json->{error}, qr/headers are too large/, 'it says so');

refused('headers that are too large together', 400, 'BAD_REQUEST',
        head('GET /api/health HTTP/1.1', @host,
             map { "X-$_: " . 'a' x 7000 } 1 .. 6));
refused('no Host', 400, 'BAD_REQUEST', head('GET /api/health HTTP/1.1'));
refused('a malformed Host', 400, 'BAD_REQUEST',
        head('GET /api/health HTTP/1.1', 'Host: a/b'));
refused('two Hosts', 400, 'BAD_REQUEST',
        head('GET /api/health HTTP/1.1', 'Host: a', 'Host: b'));
refused('NUL in a header', 400, 'BAD_REQUEST',
        head('GET /api/health HTTP/1.1', @host, "X-A: a\0b"));
refused('a control character in the name of a header', 400, 'BAD_REQUEST',
        head('GET /api/health HTTP/1.1', @host, "X\x01: a"));

# Methods.

$r = refused('TRACE', 405, 'METHOD_NOT_ALLOWED',
             head('TRACE /api/config HTTP/1.1', @host));
is($r->header('allow'), 'GET, HEAD, POST, PATCH, OPTIONS', 'TRACE: Allow');
refused('an unknown method', 405, 'METHOD_NOT_ALLOWED',
        head('BREW /api/config HTTP/1.1', @host));

# Framing of the body.

refused('a length that is no number', 400, 'BAD_REQUEST',
        head('POST /api/config HTTP/1.1', @host, 'Content-Length: abc'));
refused('a negative length', 400, 'BAD_REQUEST',
        head('POST /api/config HTTP/1.1', @host, 'Content-Length: -1'));
refused('a length beyond all numbers', 400, 'BAD_REQUEST',
        head('POST /api/config HTTP/1.1', @host,
             'Content-Length: 99999999999999999999999'));
refused('two lengths', 400, 'BAD_REQUEST',
        head('POST /api/config HTTP/1.1', @host, 'Content-Length: 2',
             'Content-Length: 3') . '{}');
refused('a length and chunks', 400, 'BAD_REQUEST',
        head('POST /api/config HTTP/1.1', @host, 'Content-Length: 2',
             'Transfer-Encoding: chunked') . "0\r\n\r\n");
refused('an encoding that nobody knows', 501, 'INTERNAL_ERROR',
        head('POST /api/config HTTP/1.1', @host, 'Transfer-Encoding: gzip'));

$r = refused('too large', 413, 'PAYLOAD_TOO_LARGE',
             head('POST /api/config HTTP/1.1', @host,
                  'Content-Length: 2000000') . 'x' x 2_000_000);
is($r->header('x-ratelimit-limit'), 60, 'too large: its class');
$r = refused('too large where nothing is wanted', 413, 'PAYLOAD_TOO_LARGE',
             head('GET /api/health HTTP/1.1', @host,
                  'Content-Length: 2000000') . 'x' x 2_000_000);
is($r->header('x-ratelimit-limit'), 600, 'too large for a probe: its class');

my $owner = $n->owner;
my $chunked = head('POST /api/config HTTP/1.1', @host,
                   "Authorization: Bearer $owner->{token}",
                   'Transfer-Encoding: chunked');

refused('chunks of garbage', 400, 'BAD_REQUEST', "${chunked}zz\r\n\r\n");
refused('a chunk whose size is too large', 400, 'BAD_REQUEST',
        $chunked . 'f' x 17 . "\r\n");
refused('a chunk longer than it says', 400, 'BAD_REQUEST',
        "${chunked}2\r\n{}}}}\r\n0\r\n\r\n");
refused('chunks that are too large together', 413, 'PAYLOAD_TOO_LARGE',
        $chunked . NchatTest::chunks('x' x 1_100_000, 50000));
refused('a chunk that is announced too large', 413, 'PAYLOAD_TOO_LARGE',
        "${chunked}7fffffff\r\n{");

# Where the body is not wanted the answer is the same, but the connection's
# last.

for my $case ([ 'GET /api/health', 200 ], [ 'POST /api/nothing', 404 ],
              [ 'DELETE /api/config', 405 ], [ 'POST /api/config', 401 ])
{
    my ($line, $status) = @$case;
    my ($r) = $n->raw("$line HTTP/1.1\r\nHost: localhost\r\n"
                      . "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
                      timeout => 10);
    is($r && $r->status, $status, "broken chunks at $line");
    is($r && $r->header('connection'), 'close', "and the connection ends");
}

# A path may be written in many ways, and it is the API's all the same.

for my $path ('//api/config', '/%61pi/config', '/x/../api/config',
              '/./api//config', '/api%2Fconfig', 'http://h/%61pi/config') {
    refused("a malformed Host at $path", 400, 'BAD_REQUEST',
            head("GET $path HTTP/1.1", 'Host: a/b'));
    refused("a header that is too large at $path", 400, 'BAD_REQUEST',
            head("GET $path HTTP/1.1", @host, 'X-A: ' . 'a' x 40000));
    my $r = refused("TRACE at $path", 405, 'METHOD_NOT_ALLOWED',
                    head("TRACE $path HTTP/1.1", @host));
    is($r->header('allow'), 'GET, HEAD, POST, PATCH, OPTIONS', 'with Allow');
}

# Conditions are no matter of answers that have nothing to compare with.

for my $condition ('If-Match: "x"',
                   'If-Unmodified-Since: Mon, 01 Jan 2024 00:00:00 GMT') {
    my ($r) = $n->raw(head('GET /api/health HTTP/1.1', @host, $condition));
    is_ok($r, "health with $condition");
    my $body = encode_json({ map { $_ => $owner->{$_} } qw(email password) });
    ($r) = $n->raw(head('POST /api/auth/signin HTTP/1.1', @host, $condition,
                        'Content-Length: ' . length $body,
                        'Content-Type: application/json') . $body);
    is_ok($r, "what is done with $condition is not called refused");
}

$r = refused('a configuration that is another', 412, 'BAD_REQUEST',
             head('GET /api/config HTTP/1.1', @host, 'If-Match: "x"'));

# HTTP/0.9 has no headers and no status, just the answer.

my $old = $n->connection;
$old->send_some("GET /api/health\r\n");
ok($old->is_closed_within(5), 'HTTP/0.9 ends with the connection');
is(decode_json($old->{in})->{status}, 'healthy', 'HTTP/0.9 has the answer');

($r) = $n->raw("GET /api/health HTTP/1.0\r\n\r\n");
is_ok($r, 'HTTP/1.0 without Host');
($r) = $n->raw("GET http://localhost/api/health HTTP/1.1\r\n"
               . "Host: other\r\nConnection: close\r\n\r\n");
is_ok($r, 'an absolute URI');

# Plain HTTP on the port of HTTPS.

$r = $n->get('/api/health', on => $n->connection(port => $n->{tls_port}));
is_error($r, 400, 'BAD_REQUEST', 'plain HTTP on the port of HTTPS');

# HTTP/2.

is_error($n->http2('POST', '/api/config', body => 'x' x 2_000_000), 413,
         'PAYLOAD_TOO_LARGE', 'HTTP/2: too large');
is_error($n->http2('GET', '/api/health', headers => { Host => 'a/b' }), 400,
         'BAD_REQUEST', 'HTTP/2: malformed host');
is_error($n->http2('GET', '/api/' . 'a' x 8000), 404, 'NOT_FOUND',
         'HTTP/2: a long path');
is_error($n->http2('GET', '/api/he%00lth'), 400, 'BAD_REQUEST',
         'HTTP/2: an escaped NUL');

# Beyond /api/, nginx's own pages stay.

for my $case ([ 404, 'GET / HTTP/1.1', @host ],
              [ 405, 'TRACE / HTTP/1.1', @host ],
              [ 400, 'GET / HTTP/1.1', 'Host: a/b' ],
              [ 400, 'GET /x/%61pi/ HTTP/1.1', 'Host: a/b' ],
              [ 413, 'GET / HTTP/1.1', @host, 'Content-Length: 2000000' ])
{
    my ($status, @head) = @$case;
    my $body = $status == 413 ? 'x' x 2_000_000 : '';
    my ($r) = $n->raw(head(@head) . $body, timeout => 10);
    is($r->status, $status, "elsewhere: $status");
    like($r->body, qr/^<html>/, "elsewhere: $status is nginx's own");
}

finish();
