# Translation and GIFs: through services of the operator's choice.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Test::More;
use Compress::Zlib ();
use File::Temp ();
use NchatTest;
use NchatTest::Peer;

*page       = \&NchatTest::Peer::page;
*send_bytes = \&NchatTest::Peer::send_bytes;

my $key = 'S3cretKey-0123456789';
my $dir = File::Temp->newdir;

sub key_file {
    my $name = "$dir/$_[0]";
    open my $file, '>', $name or die "$name: $!\n";
    print $file "$key\n";
    return $name;
}

sub json_page { page(encode_json($_[0]), 'Content-Type' => 'application/json', @_[1 .. $#_]) }


# A translator with LibreTranslate's API.

my $calls = File::Temp->new;
my $translator = NchatTest::Peer->new(routes => {
    '/translate' => sub {
        my ($socket, $head, $body) = @_;
        my $asked = decode_json($body);
        my $q     = $asked->{q};

        open my $log, '>>', $calls->filename;
        print $log $body, "\n";
        close $log;

        send_bytes($socket, "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}"), return if $q eq 'fail';
        send_bytes($socket, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"translatedText\":"), return if $q eq 'broken off';
        send_bytes($socket, page('no json')), return if $q eq 'no json';
        send_bytes($socket, json_page([1])), return if $q eq 'array';
        send_bytes($socket, json_page({ translatedText => 1 })), return if $q eq 'number';
        send_bytes($socket, NchatTest::Peer::redirect('/elsewhere')), return if $q eq 'redirect';
        send_bytes($socket, json_page({ error => 'no such language' })), return if $asked->{target} eq 'xx';

        my %answer = (translatedText => uc $q);
        $answer{detectedLanguage} = { confidence => 90, language => 'de' } if $asked->{source} eq 'auto';
        send_bytes($socket, json_page(\%answer));
    },
});

my $n = NchatTest->new(http => 'nchat_translate ' . $translator->url . '/ key_file=' . key_file('t') . ';');

sub translate { $n->post('/api/translate', { @_ }) }
sub calls { NchatTest::Cluster::slurp($calls->filename) }

my $r = translate(text => 'guten Tag', targetLanguage => 'en');
is_ok($r, 'a translation');
is_deeply($r->json->{data}, {
    translatedText => 'GUTEN TAG', sourceLanguage => 'de', targetLanguage => 'en',
    translated => JSON::PP::true(), provider => 'libretranslate', cached => JSON::PP::false()
}, 'its members');
is_deeply(decode_json((split /\n/, calls())[0]), {
    q => 'guten Tag', source => 'auto', target => 'en', format => 'text', api_key => $key
}, 'what the service is asked');

$r = translate(text => '  guten Tag ', targetLanguage => 'en');
is_deeply([ @{ $r->json }{qw(translatedText cached)} ], [ 'GUTEN TAG', JSON::PP::true() ], 'cached, also with spaces around');
is(scalar(split /\n/, calls()), 1, 'the service was asked once');
$r = translate(text => 'guten Tag', targetLanguage => 'en', sourceLanguage => 'de');
is_deeply([ @{ $r->json }{qw(sourceLanguage cached)} ], [ 'de', JSON::PP::false() ], 'other languages are another translation');
is(translate(text => "„äöü\"\\\n\x{1f600}", targetLanguage => 'fr')->json->{translatedText}, "„ÄÖÜ\"\\\n\x{1f600}", 'any characters');
is(translate(text => 'x' x 5000, targetLanguage => 'pt-BR')->json->{translatedText}, 'X' x 5000, '5000 characters');
is(translate(text => "\x{1f600}" x 5000, targetLanguage => 'en')->json->{translated}, JSON::PP::true(), '5000 of four bytes');

# It fails softly.

for my $bad ('fail', 'broken off', 'no json', 'array', 'number', 'redirect') {
    $r = translate(text => " $bad ", targetLanguage => 'en');
    is($r->status, 200, "$bad: 200");
    is_deeply($r->json->{data}, {
        translatedText => " $bad ", sourceLanguage => 'auto', targetLanguage => 'en', translated => JSON::PP::false()
    }, "$bad: the text as it came");
}
is(translate(text => 'a', targetLanguage => 'xx')->json->{translated}, JSON::PP::false(), 'a language that the service does not know');
is(translate(text => 'a', targetLanguage => 'en', sourceLanguage => 'EN')->json->{translated}, JSON::PP::false(), 'into the same language');

# Validation.

for my $case (
    [ { targetLanguage => 'en' }, 'text', 'required' ],
    [ { text => ' ', targetLanguage => 'en' }, 'text', 'length' ],
    [ { text => 'x' x 5001, targetLanguage => 'en' }, 'text', 'length' ],
    [ { text => 5, targetLanguage => 'en' }, 'text', 'type' ],
    [ { text => 'a' }, 'targetLanguage', 'required' ],
    [ { text => 'a', targetLanguage => 'e' }, 'targetLanguage', 'length' ],
    [ { text => 'a', targetLanguage => '../x' }, 'targetLanguage', 'format' ],
    [ { text => 'a', targetLanguage => 'en', sourceLanguage => 'd!' }, 'sourceLanguage', 'format' ],
) {
    $r = $n->post('/api/translate', $case->[0]);
    is_error($r, 400, 'VALIDATION_ERROR', "$case->[1] $case->[2]");
    is_deeply([ @{ $r->json->{details} }{qw(field constraint)} ], [ @$case[1, 2] ], "$case->[1] $case->[2]: details");
}

$translator->stop;
is(translate(text => 'nobody there', targetLanguage => 'en')->json->{translated}, JSON::PP::false(), 'the service is gone');
is(translate(text => 'guten Tag', targetLanguage => 'en')->json->{cached}, JSON::PP::true(), 'the cache is still there');
unlike($n->error_log . $n->access_log, qr/\Q$key\E/, 'the key is in no log');

my $m = NchatTest->new;
$r = $m->post('/api/translate', { text => 'a', targetLanguage => 'en' });
is_deeply($r->json->{data}, {
    translatedText => 'a', sourceLanguage => 'auto', targetLanguage => 'en', translated => JSON::PP::false()
}, 'no service: the text as it came');


# GIFs without a provider.

is_deeply($m->get('/api/gif')->json->{data}, { available => JSON::PP::false() }, 'no provider');
is_error($m->get('/api/gif?q=cat'), 503, 'SERVICE_UNAVAILABLE', 'search without a provider');
is_error($m->get('/api/gif?action=trending'), 503, 'SERVICE_UNAVAILABLE', 'trending without a provider');


# Giphy.

sub giphy_item {
    my $id = shift;
    my $at = "https://media.example/$id";
    return {
        id => "$id", title => "GIF $id", rating => 'g', url => "https://giphy.example/gifs/$id", username => 'u',
        images => {
            original => { url => "$at/o.gif", width => '480', height => '270', size => '123456' },
            downsized_medium => { url => "$at/m.gif" }, fixed_width_still => { url => "$at/s.gif" },
            preview_gif => { url => "$at/p.gif" }
        }
    };
}

my $giphy = NchatTest::Peer->new(routes => {
    '/v1/gifs/search' => sub {
        my ($socket, $head) = @_;
        my %arg = $head =~ /[?&](\w+)=([^& ]*)/g;
        my $q = $arg{q};

        send_bytes($socket, "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}"), return if $q eq 'denied';
        send_bytes($socket, "HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\n{}"), return if $q eq 'often';
        send_bytes($socket, page('oops')), return if $q eq 'oops';
        send_bytes($socket, json_page({ data => 1 })), return if $q eq 'shape';
        sleep 30, return if $q eq 'slow';

        my $item = giphy_item('bad');
        $item->{images}{original}{url} = 'javascript:alert(1)';
        my @items = $q eq 'bad' ? ($item, 1, undef, [], {}, giphy_item(1))
                                : map { giphy_item($arg{offset} + $_) } 0 .. $arg{limit} - 1;
        send_bytes($socket, page(Compress::Zlib::memGzip(encode_json({
            data => \@items, pagination => { total_count => 120, count => scalar @items, offset => $arg{offset} + 0 }
        })), 'Content-Encoding' => 'gzip', 'Content-Type' => 'application/json'));
    },
    '/v1/gifs/trending' => json_page({
        data => [ giphy_item(1), giphy_item(2) ], pagination => { total_count => 2, count => 2, offset => 0 }
    }),
    '/v1/gifs/random' => json_page({ data => giphy_item(7) }),
    '/v1/gifs/categories' => json_page({
        data => [ map { { name => "Category $_", gif => giphy_item($_) } } 1 .. 3 ]
    }),
});

$m->reconfigure(http => 'nchat_gif giphy key_file=' . key_file('g') . ' url=' . $giphy->url . ';');

is_deeply($m->get('/api/gif')->json->{data}, { provider => 'giphy', available => JSON::PP::true() }, 'Giphy is there');

$r = $m->get('/api/gif?q=' . 'hei%C3%9Fe%20Katze%26x&limit=2&offset=4&rating=pg-13&lang=de');
is_ok($r, 'a search');
is_deeply($r->json->{gifs}[0], {
    id => '4', title => 'GIF 4', provider => 'giphy', url => 'https://media.example/4/m.gif',
    previewUrl => 'https://media.example/4/s.gif', previewGifUrl => 'https://media.example/4/p.gif',
    originalUrl => 'https://media.example/4/o.gif', width => 480, height => 270, size => 123456,
    aspectRatio => 1.778, rating => 'g', sourceUrl => 'https://giphy.example/gifs/4'
}, 'one of Giphy');
is_deeply($r->json->{pagination}, {
    totalCount => 120, count => 2, offset => 4, hasMore => JSON::PP::true()
}, 'pagination');
is($r->json->{provider}, 'giphy', 'provider');
my ($line) = $giphy->requests(qr{^GET /v1/gifs/search});
like($line, qr{api_key=\Q$key\E&q=hei%C3%9Fe%20Katze%26x&lang=de&limit=2&offset=4&rating=pg-13 HTTP}, 'what Giphy is asked');

$m->get('/api/gif?q=' . 'hei%C3%9Fe%20Katze%26x&limit=2&offset=4&rating=pg-13&lang=de') for 1 .. 3;
is(scalar $giphy->requests(qr{^GET /v1/gifs/search}), 1, 'cached');
is(scalar @{ $m->get('/api/gif?q=a')->json->{gifs} }, 25, '25 by default');
is(scalar @{ $m->get('/api/gif?q=a&limit=1000')->json->{gifs} }, 50, '50 at most');
is($m->get('/api/gif?q=a&limit=50&offset=70')->json->{pagination}{hasMore}, JSON::PP::false(), 'the last page');
is(scalar @{ $m->get('/api/gif?action=trending')->json->{gifs} }, 2, 'trending');
is($m->get('/api/gif?action=random')->json->{gifs}[0]{id}, '7', 'random');
$m->get('/api/gif?action=random&q=cat');
like(($giphy->requests(qr{/random}))[1], qr{tag=cat&}, 'random with a tag');
is(scalar $giphy->requests(qr{/random}), 2, 'random is not cached');
$r = $m->get('/api/gif?action=categories');
is_deeply($r->json->{categories}[1], { name => 'Category 2', searchTerm => 'Category 2', image => 'https://media.example/2/s.gif' }, 'categories');
is($r->json->{gifs}[1]{id}, '2', 'with GIFs that stand for them');
is_deeply([ map { $_->{id} } @{ $m->get('/api/gif?q=bad')->json->{gifs} } ], ['1'], 'what cannot be used is left out');
is(scalar @{ $m->post('/api/gif', { action => 'search', query => 'dog', limit => 3 })->json->{gifs} }, 3, 'POST');
is(scalar @{ $m->post('/api/gif', { action => 'trending' })->json->{gifs} }, 2, 'POST trending');

is_error($m->get('/api/gif?q=denied'), 502, 'UPSTREAM_ERROR', 'a refused key');
is_error($m->get('/api/gif?q=often'), 503, 'SERVICE_UNAVAILABLE', 'asked too often');
is_error($m->get('/api/gif?q=oops'), 502, 'UPSTREAM_ERROR', 'no JSON');
is_error($m->post('/api/gif', { action => 'search', query => 'oops' }), 502, 'UPSTREAM_ERROR', 'no JSON, by POST');
is_error($m->get('/api/gif?q=shape'), 502, 'UPSTREAM_ERROR', 'another shape');
is_error($m->get('/api/gif?q=slow'), 504, 'UPSTREAM_TIMEOUT', 'too slow');

is_error($m->get("/api/gif?$_"), 400, 'VALIDATION_ERROR', $_)
    for 'action=dance', 'action=search', 'q=', 'q=%20', 'q=' . 'x' x 101, 'q=a&rating=x', 'q=a&lang=e', 'q=a&lang=e%26n';
is_error($m->get("/api/gif?q=a&$_"), 400, 'BAD_REQUEST', $_) for 'limit=0', 'limit=-1', 'limit=x', 'offset=-1', 'offset=5000';
is_error($m->post('/api/gif', $_->[0]), 400, 'VALIDATION_ERROR', $_->[1])
    for [ { action => 'dance' }, 'POST: action' ], [ {}, 'POST: nothing' ], [ { query => 1 }, 'POST: query' ],
        [ { query => 'a', limit => 0 }, 'POST: limit' ], [ { query => 'a', rating => 'x' }, 'POST: rating' ];

unlike($m->error_log . $m->access_log, qr/\Q$key\E/, 'the key is in no log');
unlike(join('', map { $_->body // '' } $m->get('/api/gif?q=a'), $m->get('/api/gif?q=denied'), $m->get('/api/gif')),
       qr/\Q$key\E/, 'nor in an answer');


# The configuration switches GIFs off.

$m->post('/api/config', { features => { gifs => JSON::PP::false() } }, token => $m->owner->{token});
ok(wait_for(sub { $m->get('/api/gif')->status == 403 }, 5), 'switched off');
is_error($m->get('/api/gif?q=a'), 403, 'FORBIDDEN', 'also a search');
is_error($m->post('/api/gif', { action => 'trending' }), 403, 'FORBIDDEN', 'also by POST');
$m->post('/api/config', { features => { gifs => JSON::PP::true() } }, token => $m->owner->{token});
wait_for(sub { $m->get('/api/gif')->status == 200 }, 5);


# Tenor.

sub tenor_item {
    my $id = shift;
    my $at = "https://media.example/$id";
    return {
        id => "$id", title => '', content_description => "Tenor $id", itemurl => "https://tenor.example/$id",
        tags => [ 'a', 'b', 1 ],
        media_formats => {
            gif => { url => "$at/o.gif", dims => [ 300, 200 ], size => 9999 },
            tinygif => { url => "$at/t.gif", dims => [ 30, 20 ] }, gifpreview => { url => "$at/p.png" }
        }
    };
}

# 130 of them, in pages that a token opens
sub tenor_page {
    my ($socket, $head) = @_;
    my %arg  = $head =~ /[?&](\w+)=([^& ]*)/g;
    my $from = ($arg{pos} // '') =~ /^at-(\d+)$/ ? $1 : 0;
    my $to   = $from + $arg{limit} - 1;

    $to = 129 if $to > 129;
    send_bytes($socket, json_page({
        results => [ map { tenor_item($_) } $from .. $to ], next => $to < 129 ? 'at-' . ($to + 1) : ''
    }));
}

my $tenor = NchatTest::Peer->new(routes => {
    '/v2/search'     => \&tenor_page,
    '/v2/featured'   => \&tenor_page,
    '/v2/categories' => json_page({ tags => [ map { { searchterm => "t$_", image => "https://media.example/c$_.gif" } } 1 .. 4 ] }),
});

$m->reconfigure(http => 'nchat_gif tenor key_file=' . key_file('g') . ' url=' . $tenor->url . ';');

$r = $m->get('/api/gif?q=cat&limit=3&rating=pg&lang=en_US');
is_ok($r, 'Tenor');
is_deeply($r->json->{gifs}[0], {
    id => '0', title => 'Tenor 0', provider => 'tenor', url => 'https://media.example/0/o.gif',
    previewUrl => 'https://media.example/0/p.png', previewGifUrl => 'https://media.example/0/t.gif',
    originalUrl => 'https://media.example/0/o.gif', width => 300, height => 200, size => 9999,
    aspectRatio => 1.5, tags => [ 'a', 'b' ], sourceUrl => 'https://tenor.example/0'
}, 'one of Tenor');
($line) = $tenor->requests(qr{/v2/search});
like($line, qr{key=\Q$key\E&contentfilter=medium&locale=en_US&q=cat&limit=3&}, 'what Tenor is asked');

for my $case ([ g => 'high' ], [ 'pg-13' => 'low' ], [ r => 'off' ]) {
    $m->get("/api/gif?q=cat&limit=1&rating=$case->[0]");
    like(($tenor->requests)[-1], qr{contentfilter=$case->[1]&}, "rating $case->[0]");
}

sub ids { join ' ', map { $_->{id} } @{ $_[0]->json->{gifs} } }

is(ids($m->get('/api/gif?q=a&limit=3&offset=40')), '40 41 42', 'an offset among the first fifty');
is(ids($m->get('/api/gif?q=a&limit=3&offset=49')), '49 50 51', 'an offset across them');
is(ids($m->get('/api/gif?q=a&limit=25&offset=100')), join(' ', 100 .. 124), 'a far offset');
$r = $m->get('/api/gif?q=a&limit=25&offset=110');
is(ids($r), join(' ', 110 .. 129), 'the last ones');
is_deeply($r->json->{pagination}, { totalCount => 130, count => 20, offset => 110, hasMore => JSON::PP::false() }, 'and no more');
is(ids($m->get('/api/gif?q=a&offset=500')), '', 'an offset behind the end');
is($m->get('/api/gif?action=trending&limit=5')->json->{pagination}{count}, 5, 'trending');
is($m->get('/api/gif?action=random')->json->{pagination}{count}, 1, 'random');
is_deeply($m->get('/api/gif?action=categories&limit=2&offset=1')->json->{categories},
          [ map { { name => "t$_", searchTerm => "t$_", image => "https://media.example/c$_.gif" } } 2, 3 ], 'categories');

$tenor->stop;
is_error($m->get('/api/gif?q=gone'), 502, 'UPSTREAM_ERROR', 'the service is gone');

finish();
