# Request bodies of every kind, and that the connection stays in step after
# each of them.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n     = NchatTest->new(
    tls  => 1,
    http => 'nchat_signin_limit address=10000 email=10000;'
);
my $owner = $n->owner;

# body(NAME, STATUS, CODE, BODY, OPTION => VALUE...): signs in with BODY on a
# connection that must serve the next request as well.
sub body {
    my ($name, $status, $code, $body, %options) = @_;
    my $path       = delete $options{path} // '/api/auth/signin';
    my $connection = $n->connection;

    my $r = $n->http('POST', $path, body => $body, on => $connection,
                     %options);
    is_error($r, $status, $code, $name);

    is($n->get('/api/health', on => $connection)->json->{status}, 'healthy',
       "$name: the connection goes on");
    return $r;
}

sub deep { '[' x $_[0] . ']' x $_[0] }

# wrapped(TEXT): a sign-in with one member more.
sub wrapped { '{"email":"nobody@example.com","password":"x","more":'
              . $_[0] . '}' }


# What is no JSON object.

for my $chunked (0, 1) {
    my %how = $chunked ? (chunked => 3) : ();
    my $how = $chunked ? ' in chunks' : '';

    body("empty$how", 400, 'BAD_REQUEST', '', %how);
    body("broken$how", 400, 'BAD_REQUEST', '{"email":', %how);
    body("more behind the end$how", 400, 'BAD_REQUEST',
         wrapped(1) . 'x', %how);
    body("wrong password$how", 401, 'UNAUTHORIZED', wrapped(1), %how);
}

body('only blanks', 400, 'BAD_REQUEST', "  \r\n\t ");
is(body("a body that is $_", 400, 'BAD_REQUEST', $_)->json->{error},
   'The request body must be a JSON object', 'it says so')
    for '[]', '"text"', '1', 'true', 'null', '[{}]';
body("not JSON: $_", 400, 'BAD_REQUEST', $_)
    for "{'a':1}", '{"a":1,}', '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":NaN}',
        '{"a":Infinity}', '{a:1}', '{"a":1}{"b":2}', '// x', '{"a":"\x41"}',
        '{"a":tru}', "{\"a\":\"\t\"}", "\x{feff}{}" =~ s/^./\xEF\xBB\xBF/r;

my $none = $n->http('POST', '/api/auth/signin');
is_error($none, 400, 'BAD_REQUEST', 'no body at all');


# Depth: the object, and 31 arrays in it, are 32.

body('32 deep', 401, 'UNAUTHORIZED', wrapped(deep(31)));
body('33 deep', 400, 'BAD_REQUEST', wrapped(deep(32)));
body('objects 33 deep', 400, 'BAD_REQUEST',
     wrapped('{"a":' x 32 . '1' . '}' x 32));
body('a hundred thousand deep', 400, 'BAD_REQUEST', wrapped(deep(100_000)));
body('a hundred thousand open', 400, 'BAD_REQUEST', '[' x 100_000);


# Members and texts.

body('a member twice', 400, 'BAD_REQUEST',
     '{"email":"a@example.com","email":"b@example.com","password":"x"}');
body('a member twice, once escaped', 400, 'BAD_REQUEST',
     '{"email":"a@example.com","em\u0061il":"b@example.com","password":"x"}');
body('a member twice further inside', 400, 'BAD_REQUEST',
     wrapped('[{"a":1,"a":2}]'));

body('bad UTF-8: ' . join(' ', map { sprintf '%02x', ord } split //, $_), 400,
     'BAD_REQUEST', wrapped("\"$_\""))
    for "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xe2\x82", "\xf0\x8f\xbf\xbf", "\x80";
body('bad UTF-8 in a name', 400, 'BAD_REQUEST', "{\"\xff\":1}");

body('NUL', 400, 'BAD_REQUEST', wrapped("\"a\0b\""));
body('NUL outside of texts', 400, 'BAD_REQUEST', "{}\0");
body('an escaped NUL', 400, 'BAD_REQUEST', wrapped('"a\u0000b"'));
body('an escaped NUL in a name', 400, 'BAD_REQUEST', '{"a\u0000b":1}');
body('half a surrogate pair', 400, 'BAD_REQUEST', wrapped('"\ud800"'));
body('the other half', 400, 'BAD_REQUEST', wrapped('"\udc00x"'));
body('a whole pair', 401, 'UNAUTHORIZED', wrapped('"\ud83d\ude00"'));
body('text of four bytes', 401, 'UNAUTHORIZED', wrapped("\"\xf0\x9f\x98\x80\""));
body('escapes that do not make NUL', 401, 'UNAUTHORIZED',
     wrapped('"\\\\u0000"'));
body('a huge number', 400, 'BAD_REQUEST', wrapped('1' . '0' x 400));
body('a number too small for Postgres', 400, 'BAD_REQUEST', wrapped('1e-20000'));
body('unknown members', 401, 'UNAUTHORIZED', wrapped('{"a":[1,2]}'));


# Size: in one buffer, in several, in a file, over the limit.

for my $size (1, 1000, 16_000, 70_000, 300_000, 1_000_000) {
    my $text = wrapped('"' . 'x' x $size . '"');
    body("$size bytes", 401, 'UNAUTHORIZED', $text);
    body("$size bytes in chunks of 5000", 401, 'UNAUTHORIZED', $text,
         chunked => 5000);
}

my $limit  = 1024 * 1024;
my $fill   = $limit - length wrapped('""');
my $chunks = NchatTest::chunks(wrapped('"' . 'x' x ($fill + 1) . '"'), 65536);
body('1 MiB exactly', 401, 'UNAUTHORIZED', wrapped('"' . 'x' x $fill . '"'));
body('1 MiB exactly, in chunks', 401, 'UNAUTHORIZED',
     wrapped('"' . 'x' x $fill . '"'), chunked => 65536);

is_error($n->http('POST', '/api/auth/signin',
                  body => wrapped('"' . 'x' x ($fill + 1) . '"')),
         413, 'PAYLOAD_TOO_LARGE', '1 MiB and a byte');
is_error(($n->raw("POST /api/auth/signin HTTP/1.1\r\nHost: localhost\r\n"
                  . "Transfer-Encoding: chunked\r\n\r\n$chunks"))[0],
         413, 'PAYLOAD_TOO_LARGE', '1 MiB and a byte, in chunks');

body('many members', 401, 'UNAUTHORIZED',
     wrapped('{' . join(',', map { "\"m$_\":$_" } 1 .. 50_000) . '}'));


# The type does not matter, but for multipart and encodings.

for my $type (undef, 'text/plain', 'application/x-www-form-urlencoded', 'x',
              'application/json; charset=latin1', '')
{
    body('as ' . ($type // 'nothing'), 401, 'UNAUTHORIZED', wrapped(1),
         headers => { 'Content-Type' => $type });
}

for my $type ('multipart/form-data; boundary=x', 'Multipart/Mixed',
              'multipart/')
{
    my $r = body($type, 415, 'UNSUPPORTED_MEDIA_TYPE', wrapped(1),
                 headers => { 'Content-Type' => $type });
    like($r->json->{error}, qr{/api/upload}, 'it names the way for files');
}

for my $encoding (qw(gzip deflate br identity x)) {
    body("encoded: $encoding", 415, 'UNSUPPORTED_MEDIA_TYPE', wrapped(1),
         headers => { 'Content-Encoding' => $encoding });
}

body('multipart of 500,000 bytes', 415, 'UNSUPPORTED_MEDIA_TYPE',
     'x' x 500_000, headers => { 'Content-Type' => 'multipart/form-data' });


# A body where none is wanted, or where nobody reads it, is skipped.

for my $case ([ GET => '/api/health', 200 ], [ GET => '/api/config', 200 ],
              [ GET => '/api/ready', 200 ], [ HEAD => '/api/health', 200 ],
              [ POST => '/api/nothing', 404 ], [ DELETE => '/api/config', 405 ],
              [ OPTIONS => '/api/config', 204 ],
              [ POST => '/api/config', 401 ],
              [ GET => '/api/auth/me', 401 ])
{
    my ($method, $path, $status) = @$case;

    for my $size (10, 5000, 400_000) {
        for my $chunked (0, 1) {
            my $connection = $n->connection;
            my $r = $n->http($method, $path, body => '{"a":1}' . ' ' x $size,
                             chunked => $chunked, on => $connection);
            is($r->status, $status, "$method $path with $size bytes");
            is($n->get('/api/health', on => $connection)->status, 200,
               '- and the connection goes on');
        }
    }
}


# Pipelined requests are answered in order, also behind a body.

my $signin = $n->request('POST', '/api/auth/signin', body => wrapped(1));
my $health = $n->request('GET', '/api/health');
my $ready  = $n->request('GET', '/api/ready');
my $last   = $n->request('GET', '/api/nothing', close => 1);
my $twice  = $n->request('POST', '/api/auth/signin', body => '{',
                         chunked => 1);

is(join(' ', map { $_->status }
        $n->raw($health . $signin . $ready . $twice . $health . $signin . $last)),
   '200 401 200 400 200 401 404', 'seven requests in one piece');
is(join(' ', map { $_->status } $n->raw($health x 200 . $last)),
   '200 ' x 200 . '404', 'two hundred requests in one piece');

my $slow = $n->connection;
for my $byte (split //, $signin . $health) {
    $slow->send_some($byte);
}
$slow->queue(POST => '');
$slow->queue(GET => '');
is($slow->receive->status, 401, 'byte by byte');
is($slow->receive->status, 200, 'and the one behind it');

my $late = $n->connection;
$late->send_some(substr $signin, 0, -5);
is($n->get('/api/health')->status, 200, 'others are served meanwhile');
$late->send(POST => substr $signin, -5);
is($late->receive->status, 401, 'a body whose end comes later');

my $expect = $n->connection;
$expect->send(POST => $n->request('POST', '/api/auth/signin',
                                  body => wrapped(1),
                                  headers => { Expect => '100-continue' }));
is($expect->receive->status, 401, 'Expect: 100-continue');


# Clients that leave in the middle of a body are no failures of ours.

for (1 .. 20) {
    my $gone = $n->connection;
    $gone->send_some(substr $signin, 0, -5);
    $_ % 2 ? $gone->abort : $gone->close;
}
is($n->get('/api/health')->status, 200, 'clients that left half-way');


# HTTP/2.

is_error($n->http2('POST', '/api/auth/signin', body => $_->[1]), $_->[2],
         $_->[3], "HTTP/2: $_->[0]")
    for [ 'broken', '{"a"', 400, 'BAD_REQUEST' ],
        [ 'empty', '', 400, 'BAD_REQUEST' ],
        [ '300,000 bytes', wrapped('"' . 'x' x 300_000 . '"'), 401,
          'UNAUTHORIZED' ],
        [ '33 deep', wrapped(deep(32)), 400, 'BAD_REQUEST' ];

# Nothing of what was refused has been kept as a body's temporary file.

is(join(' ', map { s{.*/}{}r } grep { -f } glob $n->home . '/tmp/client_body/*'),
   '', 'no temporary files are left');

finish();
