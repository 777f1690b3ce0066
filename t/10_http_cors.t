# Cross-origin requests: nothing without nchat_cors_origin, and no more than
# what it names.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

my $app = 'https://app.example.com';
my $n   = NchatTest->new(
    http => "nchat_cors_origin $app http://localhost:8080;"
);
my @exposed = qw(X-RateLimit-Limit X-RateLimit-Remaining X-RateLimit-Reset
                 RateLimit RateLimit-Policy Retry-After X-Request-Id);

sub from { return (headers => { Origin => $_[0], @_[1 .. $#_] }) }

for my $origin ($app, 'http://localhost:8080') {
    my $r = $n->get('/api/config', from($origin));

    is($r->header('access-control-allow-origin'), $origin, "$origin is allowed");
    like($r->header('access-control-expose-headers'), qr/(^|, )\Q$_\E(,|$)/,
         "$origin may read $_") for @exposed;
    is($r->header('access-control-allow-credentials'), undef,
       'no credentials without a cookie');
    like($r->header('vary'), qr/\bOrigin\b/, 'caches are told');
}

for my $origin ('https://evil.example.com', "$app.evil.com", "$app:444",
                'http://app.example.com', 'null', "x$app", "$app/", '*', '')
{
    my $r = $n->get('/api/config', from($origin));

    is($r->header('access-control-allow-origin'), undef,
       "'$origin' is not allowed");
    like($r->header('vary'), qr/\bOrigin\b/, 'caches are told all the same');
}

my $r = $n->options('/api/config',
                    from($app, 'Access-Control-Request-Method' => 'PATCH',
                         'Access-Control-Request-Headers' => 'authorization'));
is($r->status, 204, 'preflight');
is($r->header('access-control-allow-origin'), $app, 'preflight: origin');
is($r->header('access-control-allow-methods'), $r->header('allow'),
   'preflight: methods');
like($r->header('access-control-allow-headers'), qr/\b$_\b/,
     "preflight: $_ may be sent")
    for qw(Authorization Content-Type Idempotency-Key X-Request-Id);
like($r->header('access-control-max-age'), qr/^\d+$/, 'preflight: for how long');

$r = $n->options('/api/config', from('https://evil.example.com'));
is($r->header("access-control-allow-$_"), undef, "others: no allow-$_")
    for qw(origin methods headers);

# What is refused can be read, too.

for my $case ([ GET => '/api/nothing', 404 ], [ GET => '/api/auth/me', 401 ],
              [ PUT => '/api/config', 405 ],
              [ POST => '/api/auth/signin', 400 ])
{
    my ($method, $path, $status) = @$case;
    my $r = $n->http($method, $path, from($app));
    is($r->status, $status, "$method $path");
    is($r->header('access-control-allow-origin'), $app,
       "$method $path may be read");
}

($r) = $n->raw("POST /api/config HTTP/1.1\r\nHost: localhost\r\n"
               . "Origin: $app\r\nContent-Length: 1100000\r\n"
               . "Connection: close\r\n\r\n" . 'x' x 1_100_000);
is($r->status, 413, 'too large');
is($r->header('access-control-allow-origin'), $app, 'too large may be read');

$r = $n->get('/api/config', headers => { Origin => $app, 'If-None-Match' =>
                                 $n->get('/api/config')->header('etag') });
is($r->status, 304, 'not modified');
is($r->header('access-control-allow-origin'), $app, 'not modified may be read');

finish();
