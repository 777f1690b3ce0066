# Link previews of servers, names and URLs that mean harm.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Compress::Zlib ();
use File::Temp ();
use Time::HiRes ();
use NchatTest;
use NchatTest::Cluster qw(slurp);
use NchatTest::Dns;
use NchatTest::Peer;

*page       = \&NchatTest::Peer::page;
*redirect   = \&NchatTest::Peer::redirect;
*send_bytes = \&NchatTest::Peer::send_bytes;

my $head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";

# Another server of the machine's own, which nobody may reach.
my $inside = NchatTest::Peer->new(routes => { '*' => page('<title>secret</title>') });
my $in     = $inside->port;

sub endless {
    my ($socket, $piece) = @_;
    send_bytes($socket, "$head\r\n<title>Endless</title>");
    send_bytes($socket, $piece x 1000) while 1;
}

my $zeros = "\0" x 1_048_576;

my $peer = NchatTest::Peer->new(routes => {
    '/x'            => page('<title>x</title>'),
    '/slow-head'    => sub {
        for my $byte (split //, $head x 100) { send_bytes($_[0], $byte); select undef, undef, undef, 0.5 }
    },
    '/slow-body'    => sub {
        send_bytes($_[0], "$head\r\n<title>");
        for (1 .. 100) { send_bytes($_[0], 'a'); select undef, undef, undef, 0.5 }
    },
    '/silent'       => sub { sleep 60 },
    '/half'         => sub { send_bytes($_[0], "$head\r\n<title>Half</title>"); sleep 60 },
    '/endless'      => sub { endless($_[0], '<p>more</p>') },
    '/endless-head' => sub { endless($_[0], '<meta name=a content=b>') },
    '/endless-nest' => sub { endless($_[0], '<div>') },
    '/endless-line' => sub {
        send_bytes($_[0], "HTTP/1.1 200 OK\r\nX-Long: ");
        send_bytes($_[0], 'a' x 65536) while 1;
    },
    '/many-headers' => "HTTP/1.1 200 OK\r\n" . join('', map { "X-$_: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" } 1 .. 3000)
                       . "Content-Length: 0\r\n\r\n",
    '/short'        => "${head}Content-Length: 1000\r\n\r\n<title>Short</title>",
    '/long'         => "${head}Content-Length: 5\r\n\r\n<title>Long</title>",
    '/negative'     => "${head}Content-Length: -5\r\n\r\n<title>Negative</title>",
    '/not-a-number' => "${head}Content-Length: five\r\n\r\n<title>x</title>",
    '/bad-chunks'   => "${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n<title>x</title>",
    '/huge-chunk'   => "${head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n<title>x</title>",
    '/no-http'      => 'SSH-2.0-OpenSSH_9.2p1 Debian' . "\r\n" x 4,
    '/nothing'      => '',
    '/101'          => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\ntunnel",
    '/204'          => "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    '/304'          => "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
    '/accel'        => "${head}X-Accel-Redirect: /api/health\r\nContent-Length: 0\r\n\r\n",
    '/accel-named'  => "${head}X-Accel-Redirect: \@x\r\nContent-Length: 0\r\n\r\n",
    '/accel-buffer' => "${head}X-Accel-Buffering: yes\r\nX-Accel-Limit-Rate: 1\r\n\r\n<title>Buffered</title>" . ' ' x 200_000,
    '/cookie'       => "${head}Set-Cookie: a=b\r\nX-Evil: 1\r\nServer: evil\r\n\r\n<title>Cookie</title>",
    '/bomb'         => page(Compress::Zlib::memGzip('<title>Bomb</title>' . $zeros x 20), 'Content-Encoding' => 'gzip'),
    '/bomb-endless' => sub {
        my $deflate = Compress::Zlib::memGzip($zeros x 8);
        send_bytes($_[0], "${head}Content-Encoding: gzip\r\n\r\n");
        send_bytes($_[0], $deflate) while 1;
    },
    '/bad-gzip'     => page('this is no gzip', 'Content-Encoding' => 'gzip'),
    '/cut-gzip'     => page(substr(Compress::Zlib::memGzip('<title>Cut</title>' . join '', map { chr 32 + rand 90 } 1 .. 5000), 0, 1000),
                            'Content-Encoding' => 'gzip'),
    '/brotli'       => page('xxx', 'Content-Encoding' => 'br'),
    '/nest10m'      => page('<title>Nest</title>' . '<div>' x 2_000_000),
    '/attributes'   => page('<meta ' . join(' ', map { "a$_=1" } 1 .. 90_000) . '><title>Attributes</title>'),
    '/end-tags'     => page('<title>Tags</title>' . '<i></b>' x 150_000),
    '/loop'         => redirect('/loop'),
    '/ping'         => redirect('/pong'),
    '/pong'         => redirect('/ping'),
    '/r1' => redirect('/r2'), '/r2' => redirect('/r3'), '/r3' => redirect('/r4'), '/r4' => redirect('/r5'),
    '/r5' => redirect('/x'), '/r0' => redirect('/r1'),
    '/to-nowhere'   => "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    '/to-ftp'       => redirect('ftp://peer.test/'),
    '/to-file'      => redirect('file:///etc/passwd'),
    '/to-js'        => redirect('javascript:alert(1)'),
    '/to-userinfo'  => redirect("http://a:b\@peer.test/"),
    '/to-loopback'  => redirect("http://127.0.0.1:$in/"),
    '/to-loopback6' => redirect("http://[::1]:$in/"),
    '/to-mapped'    => redirect("http://[::ffff:127.0.0.1]:$in/"),
    '/to-decimal'   => redirect("http://2130706433:$in/"),
    '/to-octal'     => redirect("http://0177.1:$in/"),
    '/to-metadata'  => redirect('http://169.254.169.254/latest/meta-data/'),
    '/to-localhost' => redirect("http://localhost:$in/"),
    '/to-private'   => redirect('http://10.0.0.1/'),
    '/to-port'      => redirect('http://peer.test:22/'),
    '/to-rebound'   => redirect("http://rebound.test:$in/"),
});
my $port = $peer->port;

my $dns = NchatTest::Dns->new(
    'peer.test'     => ['127.0.0.1'],
    'mixed.test'    => ['198.41.0.4 10.0.0.1'],
    'mixed6.test'   => ['198.41.0.4 ::1'],
    'private.test'  => ['10.0.0.1'],
    'loop.test'     => ['127.0.0.1'],
    'meta.test'     => ['169.254.169.254'],
    'six.test'      => ['::1'],
    'ula.test'      => ['fd00::1'],
    'mapped.test'   => ['::ffff:127.0.0.1'],
    'nat64.test'    => ['64:ff9b::7f00:1'],
    'zero.test'     => ['0.0.0.0'],
    'rebound.test'  => ['127.0.0.2'],
    'rebind.test'   => [ '127.0.0.1', '10.0.0.1' ],
    'empty.test'    => [''],
    'silent.test'   => ['SILENCE'],
    'dead.test'     => ['127.0.0.3 127.0.0.1'],
);

my $n = NchatTest->new(
    set  => { resolver => $dns->directive },
    http => "nchat_fetch_allow 127.0.0.0/29 $port;\nresolver_timeout 3s;\nnchat_rate_limit_window 1s;\n"
);
my $base = "http://peer.test:$port";
my $host = 0;

sub encoded { $_[0] =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger }
sub preview { $n->get('/api/link-preview?url=' . encoded($_[0])) }

sub is_refused {
    my ($url, $code, $name) = @_;
    my $r;

    # ten fetches of a host in a window of a second
    for (1 .. 20) {
        $r = preview($url);
        last if $r->status != 429;
        select undef, undef, undef, 0.3;
    }

    return is_error($r, 400, $code, $name // "$url: $code")
        && $r->json->{errorCode} eq $code;
}

sub has_title {
    my ($url, $title, $name) = @_;
    my $r;

    for (1 .. 20) {
        $r = preview($url);
        last if $r->status != 429;
        select undef, undef, undef, 0.3;
    }

    is($r->json->{title}, $title, $name // "$url: $title") or diag($r->summary);
}


# Addresses that must never be reached, in every notation.

for my $blocked (
    "127.0.0.1:$in", "127.1:$in", "2130706433:$in", "0x7f000001:$in", "0x7f.1:$in", "017700000001:$in", "0177.0.0.1:$in",
    "127.0.0.1.:$in", "[::1]:$in", "[::]:$in", "[::ffff:127.0.0.1]:$in", "[::ffff:7f00:1]:$in", "[::127.0.0.1]:$in",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001::1]", "[fd00::1]", "[fe80::1]", "[ff02::1]",
    '0.0.0.0', '0', '10.0.0.1', '100.64.0.1', '100.100.100.200', '169.254.169.254', '0xa9fea9fe', '172.16.0.1', '192.0.2.1',
    '192.168.0.1', '192.168.257', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1', '255.255.255.255', '168.63.129.16',
    "localhost:$in", "LOCALHOST:$in", "localhost.:$in", "a.localhost:$in", 'printer.local', 'metadata.google.internal', 'intranet',
    "%6cocalhost:$in", "%31%32%37.0.0.1:$in", "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:$in", "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1:$in",
    'peer.test:22', 'peer.test:8080', 'peer.test:25', '198.41.0.4:8080',
) {
    is_refused("http://$blocked/", 'BLOCKED');
}

# The same by names.

is_refused("http://$_.test/", 'BLOCKED')
    for qw(mixed mixed6 private loop meta six ula mapped nat64 zero);
is_refused('http://empty.test/', 'FETCH_FAILED', 'a name without addresses');
is_refused('http://nosuch.test/', 'FETCH_FAILED', 'a name that is not there');
my $start = Time::HiRes::time();
is_refused('http://silent.test/', 'TIMEOUT', 'a name server that says nothing');
cmp_ok(Time::HiRes::time() - $start, '<', 6, 'is not waited for for long');

# First a good address, then a bad one.

has_title("http://rebind.test:$port/x", 'x', 'rebinding: the first time');
select undef, undef, undef, 2.1;
is_refused("http://rebind.test:$port/x?2", 'BLOCKED', 'rebinding: the second time');

# The next address when one does not answer.

has_title("http://dead.test:$port/x", 'x', 'the second address of a name');

# By redirects.

is_refused("$base/$_", 'BLOCKED') for qw(to-loopback to-loopback6 to-mapped to-decimal to-octal to-metadata to-localhost
                                         to-private to-port to-rebound);
is_refused("$base/$_", 'FETCH_FAILED') for qw(to-nowhere to-ftp to-file to-js to-userinfo loop ping r0);
has_title("$base/r1", 'x', 'five redirects');
is(scalar $inside->requests, 0, 'nobody has reached the server inside');


# Servers that misbehave.

has_title("$base/$_->[0]", $_->[1]) for
    ['endless', 'Endless'], ['endless-head', 'Endless'], ['endless-nest', 'Endless'], ['short', 'Short'],
    ['bomb', 'Bomb'], ['cut-gzip', 'Cut'], ['nest10m', 'Nest'], ['attributes', 'Attributes'], ['end-tags', 'Tags'],
    ['accel', 'peer.test'], ['accel-named', 'peer.test'], ['accel-buffer', 'Buffered'], ['cookie', 'Cookie'],
    ['negative', 'Negative'], ['not-a-number', 'x'];
has_title("$base/bomb-endless", 'peer.test', 'an endless bomb is a page without a title');
has_title("$base/long", 'peer.test', 'only what Content-Length says is read');
is_refused("$base/$_", 'FETCH_FAILED') for qw(endless-line many-headers bad-gzip brotli nothing 101 304);

my $r = preview("$base/cookie");
ok(!(grep { /evil|cookie/i } %{ $r->headers }), 'no header of the page reaches the client');
ok((grep { $_ eq $r->header('x-request-id') } $r->header('x-request-id')), 'our own are there');

# A client that asks for an upgrade does not get a tunnel.

$r = $n->get('/api/link-preview?url=' . encoded("$base/101?2"),
             headers => { Upgrade => 'websocket', Connection => 'Upgrade' });
is_error($r, 400, 'FETCH_FAILED', 'no tunnel');

# Slow ones: ten seconds in all, all at once.

$start = Time::HiRes::time();
my @slow = $n->parallel(map { [ GET => '/api/link-preview?url=' . encoded("$base/$_") ] } qw(slow-head slow-body silent half));
my $took = Time::HiRes::time() - $start;
is(join(' ', map { $_->json->{code} // $_->json->{title} } @slow), 'TIMEOUT TIMEOUT TIMEOUT Half', 'slow servers');
cmp_ok($took, '<', 12, 'ten seconds and no more');
cmp_ok($took, '>', 7, 'but they had their time');

# The worker serves others meanwhile.

my $busy = $n->connection;
$busy->queue('GET', $n->request('GET', '/api/link-preview?url=' . encoded("$base/nest10m?2")));
$start = Time::HiRes::time();
is_ok($n->get('/api/health'), 'health meanwhile') for 1 .. 10;
cmp_ok(Time::HiRes::time() - $start, '<', 2, 'at once');
$busy->close;


# A client that leaves takes its fetch with it; who waits for the same takes over.

my $first = $n->connection;
$first->queue('GET', $n->request('GET', '/api/link-preview?url=' . encoded("$base/silent?leave")));
$first->on_writable;
wait_for(sub { scalar $peer->requests(qr{/silent\?leave }) });
my $second = $n->connection;
$second->queue('GET', $n->request('GET', '/api/link-preview?url=' . encoded("$base/silent?leave")));
$second->on_writable;
select undef, undef, undef, 0.5;
is(scalar $peer->requests(qr{/silent\?leave }), 1, 'one fetch for both');
$first->abort;
ok(wait_for(sub { $peer->requests(qr{/silent\?leave }) == 2 }), 'the other one fetches now');
$second->abort;

is_ok($n->get('/api/health'), 'all is well');


# An operator who forgot proxy_ignore_headers, and lets nginx buffer.

my $conf = "$n->{home}/nchat.conf";
my $text = slurp($conf);
my %old  = map { $_ => 1 } $n->workers;

$text =~ s/proxy_ignore_headers[^;]*;//g;
$text =~ s/proxy_buffering +off;//g;
open my $file, '>', $conf or die "$conf: $!\n";
print $file $text;
close $file;
kill 'HUP', $n->master;
wait_for(sub { !grep { $old{$_} } $n->workers });

is_refused("$base/$_?3", 'FETCH_FAILED', "$_, not ignored") for qw(accel accel-named);
like($n->error_log, qr/a fetch came to a location without nchat_fetch/, 'the guard says so');
has_title("$base/$_->[0]?3", $_->[1], "$_->[0], buffered") for
    ['x', 'x'], ['endless', 'Endless'], ['short', 'Short'], ['bomb', 'Bomb'], ['nest10m', 'Nest'],
    ['accel-buffer', 'Buffered'];
is_refused("$base/bad-gzip?3", 'FETCH_FAILED', 'bad gzip, buffered');

unlike($n->error_log, qr/exited on signal/, 'no worker died');

finish();
