# What every answer of the API has, whoever made it: the envelope, ids, headers,
# methods, paths.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n  = NchatTest->new(tls => 1);
my $id = qr/^[0-9a-f]{32}$/;


# The envelope in its three shapes.

my $r = $n->get('/api/health');

is_ok($r, 'health answers');
my %data = %{ $r->json->{data} };
is_deeply({ success => JSON::PP::true(), data => \%data, %data }, $r->json,
          'both: members under data and beside it');
like($data{timestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
     'a time is RFC 3339 in UTC with milliseconds');
is_deeply([ sort keys %data ],
          [qw(environment status timestamp uptime version)], 'health: members');
is($data{status}, 'healthy', 'health: status');
like($data{uptime}, qr/^\d+$/, 'health: uptime is a number');
like($r->header('x-response-time'), qr/^\d+ms$/, 'health: X-Response-Time');
is($r->header('cache-control'), 'no-cache', 'health: Cache-Control');
is($r->header('content-type'), 'application/json; charset=utf-8',
   'content type');

$r = $n->get('/api/ready');
is_ok($r, 'ready answers');
is(join(' ', map { $_->{name} } grep { $_->{ready} } @{ $r->json->{checks} }),
   join(' ', map { $_->{name} } @{ $r->json->{checks} }),
   'every check is ready');
like(join(' ', map { $_->{name} } @{ $r->json->{checks} }),
     qr/^database schema auth\b/, 'ready: names of the checks');

is_error($n->get('/api/nothing'), 404, 'NOT_FOUND', 'an error in shape');
is_deeply([ sort keys %{ $n->get('/api/nothing')->json } ],
          [qw(code details error success)], 'an error has nothing else');

$n->reconfigure(http => 'nchat_envelope data;');
is_deeply([ sort keys %{ $n->get('/api/health')->json } ], [qw(data success)],
          'data: members only there');

$n->reconfigure(http => 'nchat_envelope flat;');
is_deeply([ sort keys %{ $n->get('/api/health')->json } ],
          [ sort keys(%data), 'success' ], 'flat: no data');
is_error($n->get('/api/nothing'), 404, 'NOT_FOUND', 'flat: errors are the same');

$n->reconfigure(http => '');


# Request ids.

for my $own ('a', 'A-1._z', 'x' x 128) {
    is($n->get('/api/health', headers => { 'X-Request-Id' => $own })
         ->header('x-request-id'), $own, 'the own id of ' . length($own));
}

for my $bad ('x' x 129, 'a b', "a\tb", 'ä', 'a"b', '', '../x') {
    like($n->get('/api/health', headers => { 'X-Request-Id' => $bad })
           ->header('x-request-id'), $id, 'another id than a bad one');
}

isnt($n->get('/api/health')->header('x-request-id'),
     $n->get('/api/health')->header('x-request-id'), 'new ids are different');

for my $request ([GET => '/api/nothing'], [PUT => '/api/config'],
                 [GET => '/api/auth/me'], [OPTIONS => '/api/config'])
{
    my ($method, $path) = @$request;
    is($n->http($method, $path, headers => { 'X-Request-Id' => 'mine' })
         ->header('x-request-id'), 'mine', "the own id at $method $path");
}

$n->http('POST', '/api/config', body => 'x' x 1_100_000,
         headers => { 'X-Request-Id' => 'in-the-log-1' }, close => 1);
like($n->error_log, qr/too large body.*request_id: in-the-log-1\b/,
     'the id is in the lines of the error log');


# HEAD is GET without the body.

for my $path (qw(/api/health /api/ready /api/metrics /api/config /api/nothing
                 /api/auth/me /api/auth/signin /api/config?history=true))
{
    my $connection = $n->connection;
    my $get  = $n->get($path, on => $connection);
    my $head = $n->head($path, on => $connection);

    is($head->status, $get->status, "HEAD $path has GET's status");
    is($head->body, '', "HEAD $path has no body");
    is($n->get('/api/health', on => $connection)->status, 200,
       "the connection goes on after HEAD $path");
}

is($n->head('/api/config')->header('etag'), $n->get('/api/config')->header('etag'),
   'HEAD has the ETag');


# OPTIONS and Allow.

my %allow = (
    '/api/health'      => 'GET, HEAD, OPTIONS',
    '/api/config'      => 'GET, HEAD, POST, PATCH, OPTIONS',
    '/api/config/'     => 'GET, HEAD, POST, PATCH, OPTIONS',
    '/api/auth/signin' => 'POST, OPTIONS',
    '/api/auth/me'     => 'GET, HEAD, OPTIONS',
);

for my $path (sort keys %allow) {
    $r = $n->options($path);
    is($r->status, 204, "OPTIONS $path");
    is($r->header('allow'), $allow{$path}, "OPTIONS $path: Allow");
    is($r->header('content-length'), undef, 'no length where nothing comes');
    is($r->header('access-control-allow-origin'), undef,
       'no origin is allowed by default');

    for my $method ('DELETE', 'PUT', 'BREW', 'TRACE', 'PROPFIND') {
        $r = $n->http($method, $path);
        is_error($r, 405, 'METHOD_NOT_ALLOWED', "$method $path");
        is($r->header('allow'), $allow{$path}, "$method $path: Allow");
    }
}

$r = $n->http('TRACE', '/api/config?a=b');
is_error($r, 405, 'METHOD_NOT_ALLOWED', 'TRACE with arguments');
is($r->header('allow'), $allow{'/api/config'}, 'and with Allow');

is_error($n->options('/api/nothing'), 404, 'NOT_FOUND', 'OPTIONS nowhere');
is_error($n->http('CONNECT', '/api/config'), 405, 'METHOD_NOT_ALLOWED',
         'CONNECT');


# Paths.

is($n->get($_)->status, 200, "$_ is found")
    for qw(/api/health/ /api/config/ /api/ready/ //api//health /api/./health
           /api/health// /api/x/../health /api/%68ealth /api/health?x=y /api/health/?x);

is_error($n->get($_), 404, 'NOT_FOUND', "$_ is not")
    for qw(/api /api/ /api/healthy /api/health/x /api/Health
           /api/auth /api/config/x /api/auth/me/x), '/api/..%5c';

for my $path ('/', '/API/health', '/apihealth', '/apis/') {
    $r = $n->get($path);
    is($r->status, 404, "$path is not of the API");
    is($r->header('x-ratelimit-limit'), undef, 'and has no rate limit');
}

is($n->get('/__nchat_error')->status, 404, 'the internal page is internal');


# 401 says how to do better.

$r = $n->get('/api/auth/me');
is_error($r, 401, 'UNAUTHORIZED', 'no token');
is($r->header('www-authenticate'), 'Bearer', 'the challenge');

$r = $n->get('/api/auth/me', token => 'nonsense');
is_error($r, 401, 'INVALID_TOKEN', 'a bad token');
is($r->header('www-authenticate'), 'Bearer error="invalid_token"',
   'the challenge of a bad token');


# Over HTTP/2 everything is the same.

for my $request ([GET => '/api/health', 200], [HEAD => '/api/health', 200],
                 [GET => '/api/nothing', 404], [DELETE => '/api/config', 405],
                 [BREW => '/api/config', 405], [TRACE => '/api/config', 405],
                 [OPTIONS => '/api/config', 204], [GET => '/api/auth/me', 401])
{
    my ($method, $path, $status) = @$request;
    $r = $n->http2($method, $path);
    is($r->status, $status, "HTTP/2: $method $path");
    like($r->header('x-request-id'), $id, "HTTP/2: $method $path: request id");
    like($r->header('x-ratelimit-limit'), qr/^\d+$/,
         "HTTP/2: $method $path: rate limit");
    is(ref $r->json, 'HASH', "HTTP/2: $method $path: JSON")
        if $method ne 'HEAD' && $status != 204;
}

finish();
