# Link previews of pages that behave.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Test::More;
use Compress::Zlib ();
use NchatTest;
use NchatTest::Dns;
use NchatTest::Peer;

*page     = \&NchatTest::Peer::page;
*redirect = \&NchatTest::Peer::redirect;

my $full = <<'HTML';
<!DOCTYPE html><html><head><meta charset="utf-8"><title>Plain &amp; simple</title>
<meta name="description" content="plain description">
<meta property="og:title" content="Graph title"><meta property="og:site_name" content="Graph site">
<meta property="og:description" content="Graph description"><meta property="og:type" content="article">
<meta property="og:image" content="/i/big.png"><meta property="og:image:width" content="1200">
<meta property="og:image:height" content="630"><meta property="og:image:alt" content="A picture">
<meta name="twitter:title" content="Card title"><meta name="author" content="Jane Doe">
<meta property="article:published_time" content="2026-01-02T03:04:05+01:00">
<meta name="theme-color" content="#112233"><link rel="icon" href="f.ico">
<meta property="og:video" content="https://v.example/1.mp4"><meta property="og:audio" content="/a.mp3">
<link rel="alternate" type="application/json+oembed" href="/oembed?x=1"></head><body></body></html>
HTML

my $peer = NchatTest::Peer->new(routes => {
    '/full'    => page($full),
    '/plain'   => page('<title>Plain</title><body>'),
    '/empty'   => page(''),
    '/no-type' => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<title>Untyped</title>",
    '/chunked' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                  . "Content-Type: text/html\r\nConnection: close\r\n\r\n"
                  . "8\r\n<title>C\r\n7\r\nhunked<\r\n8\r\n/title>\n\r\n0\r\n\r\n",
    '/gzip'    => page(Compress::Zlib::memGzip('<title>Packed</title>'),
                       'Content-Encoding' => 'gzip'),
    '/deflate' => page(Compress::Zlib::compress('<title>Deflated</title>'),
                       'Content-Encoding' => 'deflate'),
    '/latin1'  => page("<title>caf\xe9</title>", 'Content-Type' => 'text/html; charset=iso-8859-1'),
    '/sjis'    => page("<title>\x93\xfa\x96\x7b</title>", 'Content-Type' => 'text/html; charset=Shift_JIS'),
    '/broken'  => page("<title>a\xff\xfe\xe2\x82b\xed\xa0\x80</title>", 'Content-Type' => 'text/html; charset=utf-8'),
    '/cat%20picture.png' => page('PNG', 'Content-Type' => 'image/png'),
    '/clip.mp4' => page('MP4', 'Content-Type' => 'video/mp4'),
    '/song.mp3' => page('MP3', 'Content-Type' => 'audio/mpeg'),
    '/data.json' => page('{}', 'Content-Type' => 'application/json'),
    '/dir/hop1' => redirect('hop2', 301),
    '/dir/hop2' => redirect('/dir/hop3?x=1', 303),
    '/dir/hop3' => redirect('//peer.test:PORT/plain', 307),
    '/missing' => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    '/gone'    => "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    '/nowhere' => "HTTP/1.1 302 Found\r\nLocation: \r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    '/error'   => "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    '/denied'  => "HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    '/echo'    => sub {
        my ($socket, $head) = @_;
        NchatTest::Peer::send_bytes($socket, page('<title>Echo</title>'));
    },
    '/slowish' => sub {
        my ($socket) = @_;
        sleep 1;
        NchatTest::Peer::send_bytes($socket, page('<title>Slow</title>'));
    },
});
my $port = $peer->port;
my $dns  = NchatTest::Dns->new('peer.test' => ['127.0.0.1'], 'xn--bcher-kva.test' => ['127.0.0.1']);

# the route has the port in it, which was not known
my $hop = NchatTest::Peer->new(routes => {
    '/dir/hop3' => redirect("//peer.test:$port/plain", 307),
});

my $n = NchatTest->new(
    set  => { resolver => $dns->directive },
    http => "nchat_fetch_allow 127.0.0.1 $port;\nnchat_fetch_allow 127.0.0.1 "
            . $hop->port . ";\nnchat_rate_limit_window 2s;\n"
);
my $base = "http://peer.test:$port";

sub preview {
    my ($url, $more) = @_;
    $url =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
    return $n->get("/api/link-preview?url=$url" . ($more // ''));
}

# a host may be asked ten times in a window; tests need more
sub fresh { NchatTest::wait_for(sub { select undef, undef, undef, 2.1; 1 }) }

sub is_refused {
    my ($r, $code, $name) = @_;
    my $status = $code eq 'RATE_LIMITED' ? 429 : 400;
    is_error($r, $status, $code, $name)
        && is($r->json->{errorCode}, $code, "$name: errorCode");
}


# Everything that a page may say.

my $r = preview("$base/full");
is_ok($r, 'a preview');
my $p = $r->json->{preview};

my $fetched = delete $p->{fetchedAt};
like($fetched, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'fetchedAt');
is_deeply($p, {
    url => "$base/full", title => 'Card title', description => 'Graph description',
    image => "$base/i/big.png", imageWidth => 1200, imageHeight => 630,
    imageAlt => 'A picture', siteName => 'Graph site', favicon => "$base/f.ico",
    type => 'article', video => 'https://v.example/1.mp4', audio => "$base/a.mp3",
    author => 'Jane Doe', publishedDate => '2026-01-02T02:04:05.000Z',
    domain => 'peer.test', themeColor => '#112233', oEmbed => "$base/oembed?x=1"
}, 'preview: all members');
is_deeply(
    { map { $_ => $r->json->{$_} } qw(url title description image siteName cached) },
    { url => "$base/full", title => 'Card title', description => 'Graph description',
      image => "$base/i/big.png", siteName => 'Graph site', cached => JSON::PP::false() },
    'the members at the top');

my @heads = $peer->requests(qr{^GET /full });
is(scalar @heads, 1, 'one request');
like($heads[0], qr/^Host: peer\.test:$port\r$/mi, 'Host is the name');
unlike($heads[0], qr/^(?:cookie|authorization|x-|referer|origin)/mi, 'nothing of the client');


# Nothing of the client's goes out.

my $account = $n->signup;
$n->get("/api/link-preview?url=$base/echo", token => $account->{token}, headers => {
    Cookie => 'a=b', Referer => 'http://secret.example/', Range => 'bytes=0-1',
    Upgrade => 'websocket', Connection => 'Upgrade, keep-alive', 'X-Secret' => '1',
    'If-None-Match' => '"x"', 'X-Forwarded-For' => '1.2.3.4', 'User-Agent' => 'Secret/1'
});
my ($echo) = $peer->requests(qr{^GET /echo });
unlike($echo, qr/^(?:cookie|authorization|referer|range|upgrade|x-|if-)|secret/mi,
       'no header of the client reaches the page');
like($echo, qr/^User-Agent: .*nchat link preview/mi, 'it says who asks');


# The cache.

$r = preview("$base/full");
is($r->json->{cached}, JSON::PP::true(), 'the second time it is cached');
is($r->json->{preview}{fetchedAt}, $fetched, 'with the time of its fetch');
preview("$base/full#fragment");
preview("HTTP://PEER.test:$port/x/../full");
is(scalar $peer->requests(qr{^GET /full }), 1, 'other spellings of the URL are the same');
$r = preview("$base/full", '&skipCache=true');
is($r->json->{cached}, JSON::PP::false(), 'skipCache asks again');
is(scalar $peer->requests(qr{^GET /full }), 2, 'and it did');

my ($workers) = scalar $n->workers;
is($workers, 2, 'two workers');
is((preview("$base/full")->json->{cached}), JSON::PP::true(), "cached for worker $_") for 1 .. 4;


# Several callers share one fetch, over both workers.

fresh();
my @answers = $n->parallel(map { [GET => "/api/link-preview?url=$base/slowish"] } 1 .. 12);
is(scalar(grep { $_->status == 200 && $_->json->{title} eq 'Slow' } @answers), 12, 'all have it');
is(scalar $peer->requests(qr{^GET /slowish }), 1, 'one asked');
is(scalar(grep { !$_->json->{cached} } @answers), 1, 'the others had it from the cache');


# Forms of pages.

fresh();
is(preview("$base/plain")->json->{title}, 'Plain', 'plain HTML');
is(preview("$base/plain")->json->{siteName}, 'peer.test', 'the host as site name');
is(preview("$base/plain")->json->{preview}{favicon}, "$base/favicon.ico", 'the usual favicon');
is(preview("$base/empty")->json->{title}, 'peer.test', 'an empty page');
is(preview("$base/no-type")->json->{title}, 'Untyped', 'no Content-Type');
is(preview("$base/chunked")->json->{title}, 'Chunked', 'chunked');
is(preview("$base/gzip")->json->{title}, 'Packed', 'gzip');
is(preview("$base/deflate")->json->{title}, 'Deflated', 'deflate');
is(preview("$base/latin1")->json->{title}, 'café', 'ISO-8859-1');
is(preview("$base/sjis")->json->{title}, '日本', 'Shift_JIS');
like(preview("$base/broken")->json->{title}, qr/^a\x{fffd}+b\x{fffd}+$/, 'broken UTF-8');

fresh();
$p = preview("$base/cat%20picture.png")->json->{preview};
is_deeply([ @$p{qw(title image type)} ], [ 'cat picture.png', "$base/cat%20picture.png", 'image' ], 'an image');
$p = preview("$base/clip.mp4")->json->{preview};
is_deeply([ @$p{qw(title video type)} ], [ 'clip.mp4', "$base/clip.mp4", 'video' ], 'a video');
$p = preview("$base/song.mp3")->json->{preview};
is_deeply([ @$p{qw(title audio type)} ], [ 'song.mp3', "$base/song.mp3", 'audio' ], 'a sound');
is_refused(preview("$base/data.json"), 'PARSE_ERROR', 'something else');
is_refused(preview("$base/missing"), 'NOT_FOUND', 'a page that is not there');
is_refused(preview("$base/gone"), 'FETCH_FAILED', 'a page that is gone');
is_refused(preview("$base/error"), 'FETCH_FAILED', 'an error of the server');
is_refused(preview("$base/denied"), 'FETCH_FAILED', 'a refusal');
$r = preview("$base/nowhere");
is_refused($r, 'FETCH_FAILED', 'a redirect to nowhere');
like($r->json->{error}, qr/nowhere/, 'says so');


# Redirects; names that are not ASCII; HEAD.

fresh();
$r = preview('http://peer.test:' . $hop->port . '/dir/hop3');
is($r->json->{title}, 'Plain', 'a redirect to another server');
is($r->json->{url}, 'http://peer.test:' . $hop->port . '/dir/hop3', 'the URL that was asked');
is($r->json->{preview}{url}, "$base/plain", 'and where it led');
my ($last) = reverse $peer->requests(qr{^GET /plain });
like($last, qr/^Host: peer\.test:$port\r$/mi, 'with the right Host');
is(preview("http://b%C3%BCcher.test:$port/plain")->json->{preview}{domain}, 'xn--bcher-kva.test', 'IDN');
$r = $n->head("/api/link-preview?url=$base/full");
is($r->status, 200, 'HEAD');
is(length($r->body // ''), 0, 'HEAD has no body');


# Wrong URLs.

for my $case (
    ['', 'INVALID_URL'], ['nonsense', 'INVALID_URL'], ['ftp://peer.test/', 'INVALID_URL'],
    ['javascript:alert(1)', 'INVALID_URL'], ['file:///etc/passwd', 'INVALID_URL'], ['http://', 'INVALID_URL'],
    ['http:///x', 'INVALID_URL'], ['http://user:pass@peer.test/', 'INVALID_URL'], ['http://user@peer.test/', 'INVALID_URL'],
    ['http://peer.test:99999/', 'INVALID_URL'], ['http://[::1', 'INVALID_URL'], ['http://a b.test/', 'INVALID_URL'],
    ['//peer.test/', 'INVALID_URL'], ['http://' . 'a' x 5000, 'INVALID_URL'],
) {
    is_refused(preview($case->[0]), $case->[1], 'URL ' . substr $case->[0], 0, 40);
}
is_refused($n->get('/api/link-preview'), 'INVALID_URL', 'no URL');
is_error($n->get('/api/link-preview?url=%ff'), 400, 'BAD_REQUEST', 'a URL that is not UTF-8');
is_error($n->post('/api/link-preview', {}), 405, 'METHOD_NOT_ALLOWED', 'POST');
is_error($n->get("/api/link-preview?url=$base/plain", token => 'x.y.z'), 401, 'INVALID_TOKEN', 'a bad token');


# Ten fetches per host and window; the cache does not count.

fresh();
preview("$base/plain?$_") for 1 .. 10;
$r = preview("$base/plain?11");
is_refused($r, 'RATE_LIMITED', 'the eleventh');
like($r->header('retry-after'), qr/^[12]$/, 'Retry-After');
is_ok(preview("$base/plain?3"), 'the cache answers all the same');
is_ok(preview('http://peer.test:' . $hop->port . '/dir/hop3'), 'cached, another port of the host');
is_ok(preview("http://xn--bcher-kva.test:$port/plain?z"), 'another host has its own window');
fresh();
is_ok(preview("$base/plain?12"), 'the next window');

finish();
