# The paths and request ids of the access log: no arguments, no secrets, and what
# the client asked for, whatever nginx made of it.

use strict;
use warnings;
use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use NchatTest;

my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
    or die "no port: $!\n";
my ($silent_port, $bare_port) = ($silent->sockport, free_port());

my $n = NchatTest->new(
    http   => "server {
                   listen 127.0.0.1:$bare_port;
                   location / { return 200; }
                   location /away { try_files /nothing /there; }
               }",
    server => "location /other/ { return 200; }
               location /v2/    { rewrite ^/v2/(.*) /api/\$1 last; }
               location /hooks/ { rewrite ^/hooks/(.*) /api/webhook/\$1 last; }
               location /away/  { try_files /nothing /slow; }
               location = /slow { proxy_pass http://127.0.0.1:$silent_port; }");

my $id    = '6f1f3b0c-1b1a-4c1e-9f58-0a2f6b7c8d9e';
my $token = 'SECRETofTHEhook';
my ($count, @expected) = (0);

sub id { return sprintf 'log-test-%03d', ++$count }

# logged(ASKED, PATH): a request line's target and its path in the log.
sub logged {
    my ($asked, $path, %options) = @_;
    my $id = id();

    $n->raw(join("\r\n", ($options{method} // 'GET') . " $asked HTTP/1.1",
                 "X-Request-Id: $id", $options{host} // 'Host: localhost',
                 'Connection: close', '', ''));
    push @expected, [ $asked, $path, $id ];
}

logged('/api/health', '/api/health');
logged('/api/health?a=b', '/api/health');
logged('/api/nothing/here/', '/api/nothing/here/');
logged('/', '/');
logged('/other/page?secret=1', '/other/page');
logged('/API/health', '/API/health');
logged('http://localhost/api/health?x', '/api/health');
logged('http://localhost', '/');
logged('/api/health#there', '/api/health');
logged('/api/a+b', '/api/a+b');

# As nginx understands it.

logged('/api/%68ealth', '/api/health');
logged('//api///health', '/api/health');
logged('/api/./x/../health', '/api/health');
logged('/other/%C3%A9', '/other/\xC3\xA9');
logged('/other/%22%0A', '/other/\x22\x0A');
logged('/other/a%3fb=c', '/other/a');

# Of a webhook only its id, if it is one.

for my $before ('/api/webhook', '/webhook', '/v1/x/webhook', '/API/Webhook',
                '/other/webhook') {
    logged("$before/$id/$token", "$before/$id/***");
    logged("$before/\U$id/$token", "$before/\U$id/***");
    logged("$before/$id/$token/", "$before/$id/***");
    logged("$before/$id/$token/webhook/$id", "$before/$id/***");
    logged("$before/$id?token=$token", "$before/$id");
    logged("$before/$id/?token=$token", "$before/$id/");
    logged("$before/$id/?token=/webhook/$token", "$before/$id/");
    logged("$before/$id$token", "$before/$id***");
    logged("$before/$token", "$before/***");
    logged("$before/$token/$id", "$before/***");
    logged("$before/webhook/$id/$token", "$before/***");
    logged("$before/" . '0' x 36 . "/$token", "$before/***");
    logged("$before/", "$before/");
    logged("$before?token=$token", $before);
}

logged("/api/%77ebhook/$id/$token", "/api/webhook/$id/***");
logged("/api/webhook%2f$id%2F$token", "/api/webhook/$id/***");
logged("//api//webhook//$id//$token", "/api/webhook/$id/***");
logged("/api/x/../webhook/$id/$token", "/api/webhook/$id/***");
logged("/api/webhook/../webhook/$token", '/api/webhook/***');

# After a rewrite the API's own path is what the error log has too.

logged('/v2/health?x', '/api/health');
logged("/hooks/$id/$token", "/api/webhook/$id/***");

# What nginx refuses, once it knows the path and before.

logged("/api/webhook/$id/$token", "/api/webhook/$id/***", host => 'Host: a/b');
logged("//api/%77ebhook/$id/$token?x", "/api/webhook/$id/***",
       host => 'Host: a/b');
logged("/other/./x?$token", '/other/x', host => 'Host: a/b');
logged("http://localhost?$token", '/', host => 'Host: a/b');
logged("/api/webhook/$id/$token", "/api/webhook/$id/***", method => 'TRACE');

my @unknown;

for my $line ("GET /api/webhook/$id/$token%00 HTTP/1.1",
              "GET /api/webhook/$id/$token" . 'x' x 40000 . ' HTTP/1.1',
              "GET /api/webhook/$id/$token HTTP/x", $token) {
    my ($r) = $n->raw("$line\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    push @unknown, [ $r->header('x-request-id'), substr $line, 0, 70 ];
}

# A server without the API.

$n->get("/webhook/$id/$token", on => $n->connection(port => $bare_port),
        headers => { 'User-Agent' => 'bare-first' });
$n->get("/./%77ebhook/$id/$token?x",
        on => $n->connection(port => $bare_port),
        headers => { 'User-Agent' => 'bare-unusual' });
$n->get("/away/webhook/$token?x", on => $n->connection(port => $bare_port),
        headers => { 'User-Agent' => 'bare-redirected' });

# A client that leaves while it waits for what a redirect led to.

my $gone = id();
my $c = $n->connection(timeout => 3);
$c->send_some("GET /away/x?y HTTP/1.1\r\nHost: localhost\r\n"
              . "X-Request-Id: $gone\r\n\r\n");
ok(my $waiting = $silent->accept, 'a request that waits');
undef $c;
ok(wait_for(sub { $n->access_log =~ / \Q$gone\E / }, 10),
   'a request whose client left has its id');
like($n->access_log, qr{"GET /away/x HTTP/1.1" 499 .* \Q$gone\E },
     'and its path');

# Each worker writes its lines once a second.

wait_for(sub {
    my $log = $n->access_log;
    return !grep { $log !~ / \Q$_\E / } map { $_->[2] } @expected;
}, 5);

my $log = $n->access_log;

for (@expected) {
    my ($asked, $path, $id) = @$_;
    my ($found) = $log =~ /"\w+ (.*) HTTP.*" \d+ \d+ \S+ \Q$id\E "/;
    is($found, $path, "asked for $asked");
}

for (@unknown) {
    my ($id, $line) = @$_;
    like($log, qr/"\S+ - \S*" 4\d\d \d+ \S+ \Q$id\E "/, "no path: $line");
}

like($log, qr{"GET /webhook/$id/\*\*\* HTTP/1.1" 200 \d+ \S+ - "bare-first"},
     'a server without the API');
like($log, qr{"GET /webhook/$id/\*\*\* HTTP/1.1" .* "bare-unusual"},
     'a path that is written in an unusual way');
like($log, qr{"GET /away/webhook/\*\*\* HTTP/1.1" .* "bare-redirected"},
     'what was asked for, not where it led to');
unlike($log, qr/\Q$token/, 'no token anywhere');

# A configuration that still has a map of this name goes on as it was.

$n->reconfigure(http => 'map $uri $nchat_log_path {
                             ~^(?<nchat_path>/api/h) "map:$nchat_path";
                             default                 $uri;
                         }');
$n->get('/api/health', headers => { 'X-Request-Id' => 'the-map' });
ok(wait_for(sub { $n->access_log =~ / the-map / }, 10), 'with a map');
like($n->access_log, qr{"GET map:/api/h HTTP/1.1" 200 .* the-map },
     'the map wins');

finish();
