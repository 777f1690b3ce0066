# The description and the page /api-docs, as files and in a browser.

use strict;
use warnings;
use lib 't/lib';

use File::Temp ();
use JSON::PP ();
use Test::More;

use NchatTest;

my $n = NchatTest->new;

my $yaml = $n->get('/openapi.yaml');
is($yaml->status, 200, '/openapi.yaml');
is($yaml->header('content-type'), 'application/yaml; charset=utf-8',
   'its type');

my $json = $n->get('/openapi.json');
is($json->status, 200, '/openapi.json');
is($json->header('content-type'), 'application/json', 'its type');
is($json->json->{openapi}, '3.0.3', 'it is OpenAPI 3.0');

my @paths = $yaml->body =~ m{^  (/[^:\s]*):$}mg;
is_deeply([ sort @paths ], [ sort keys %{ $json->json->{paths} } ],
          'both have the same paths');

for my $path (qw(/openapi.yaml /openapi.json)) {
    my $r = $n->get($path);
    my $again = $n->get($path, headers => {
        'If-None-Match' => $r->header('etag') });
    is($again->status, 304, "$path again: 304");
    is($n->head($path)->status, 200, "HEAD $path");
}

SKIP: {
    if (!-e 'build/www/api-docs/index.html') {
        diag("\n*** /api-docs is NOT TESTED: npm could not fetch Swagger UI\n");
        skip 'no Swagger UI', 1;
    }

    page();
    browser();
}

# page: what is sent, and that nothing of it comes from elsewhere.
sub page {
    my $r = $n->get('/api-docs');
    is($r->status, 200, '/api-docs');
    is($n->get('/api-docs/')->body, $r->body, 'also with a slash');
    is($n->get('/api-docs', headers => { 'If-None-Match' => $r->header('etag') })
         ->status, 304, '/api-docs again: 304');

    my $csp = $r->header('content-security-policy');
    like($csp, qr/default-src 'none'/, 'nothing is allowed by default');
    unlike($csp, qr/unsafe|https?:|\*/, 'nothing inline, nothing from elsewhere');
    unlike($r->body, qr/<script(?![^>]*\bsrc=)|\bon\w+=|\bstyle=|https?:/,
           'the page has nothing inline, and nothing from elsewhere');

    for my $file ($r->body =~ /(?:src|href)="([^"]+)"/g) {
        my $part = $n->get($file);
        is($part->status, 200, $file);
        is($part->header('x-content-type-options'), 'nosniff', 'not sniffed');
    }

    is($n->get('/api-docs/package.json')->status, 404, 'no other files');
    is($n->get('/api-docs/../nginx.conf')->status, 404, 'not those beside it');
}

sub missing {
    return 'chromium is not installed' if !-x '/usr/bin/chromium';
    my ($node) = (qx(node --version 2>/dev/null) // '') =~ /^v(\d+)/;
    return 'node is older than 20' if ($node // 0) < 20;
    return 'npm could not fetch playwright-core'
        if system('bin/nchat-docs --tools >/dev/null') != 0;
    return;
}

sub browser {
    if (my $missing = missing()) {
        diag("\n*** /api-docs is NOT TESTED IN A BROWSER: $missing\n");
        return;
    }

    my $owner  = $n->owner;
    my $folder = File::Temp->newdir;
    my $output = qx(node t/browser/api-docs.js '@{[ $n->url ]}' \\
                    $owner->{email} $owner->{password} $owner->{token} $folder);
    my $seen   = eval { JSON::PP->new->utf8->decode($output) } // {};

    is($seen->{failed}, undef, 'everything was found and clicked') or return;
    is_deeply($seen->{problems}, [], 'no errors, no violations of the policy');
    is_deeply([ grep { index($_, $n->url . '/') != 0 } @{ $seen->{requests} } ],
              [], 'nothing was fetched from elsewhere');

    like($seen->{title}, qr/nchat for nginx/, 'the title');
    is($seen->{operations},
       scalar(map { grep { /^(?:get|head|put|post|patch|delete)$/ } keys %$_ }
              values %{ $json->json->{paths} }), 'every operation is there');

    like($seen->{authorized}, qr/Authorized/, 'Authorize took the token');
    is($seen->{config}{status}, 200, 'GET /api/config?history=true');
    like($seen->{config}{body}, qr/"history":/, 'as the owner sees it');
    like($seen->{config}{curl}, qr/Authorization: Bearer \Q$owner->{token}\E/,
         'the token was sent');

    is($seen->{signin}{status}, 200, 'POST /api/auth/signin');
    my ($token) = $seen->{signin}{body} =~ /"accessToken": "([^"]+)"/;
    isnt($token, undef, 'the answer has a token');

    is($seen->{me}{status}, 200, 'GET /api/auth/me');
    like($seen->{me}{body}, qr/"email": "\Q$owner->{email}\E"/, 'says who');
    like($seen->{me}{curl}, qr/Authorization: Bearer \Q$token\E/,
         'with the token that the sign-in brought');
}

finish();
