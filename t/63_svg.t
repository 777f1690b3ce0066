# SVG files: what is taken, from whom, and how it is served.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n = NchatTest->new;

sub svg { '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">' . ($_[0] // '<circle r="4"/>') . '</svg>' }

sub save {
    my ($name, $svg, $account, $on) = @_;
    return ($on // $n)->post('/api/save-svg', { filename => $name, svg => $svg // svg() },
                             $account ? (token => $account->{token}) : ());
}

# Before the setup is completed anyone may.

my $r = save('logo.svg');
is_ok($r, 'anonymous');
is_deeply($r->json->{data}, { path => '/logo.svg' }, 'the path');

$r = $n->get('/logo.svg');
is($r->status, 200, 'it is served');
is($r->body, svg(), 'as it was');
is($r->header('content-type'), 'image/svg+xml', 'type');
is($r->header('x-content-type-options'), 'nosniff', 'nosniff');
is($r->header('content-security-policy'),
   "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox", 'CSP');
like($r->header('etag'), qr/^"[0-9a-f]{64}"$/, 'a strong ETag');
is($r->header('x-ratelimit-limit'), undef, 'a download counts against no limit');

my $etag = $r->header('etag');
is($n->get('/logo.svg', headers => { 'If-None-Match' => $etag })->status, 304, 'unchanged');
is($n->get('/logo.svg', headers => { 'If-None-Match' => '"x"' })->status, 200, 'changed');
is_error($n->get('/logo.svg', headers => { 'If-Match' => '"x"' }), 412, 'BAD_REQUEST', 'another one was meant');
is($n->get('/logo.svg', headers => { 'If-Match' => $etag })->status, 200, 'this one was meant');
is($n->head('/logo.svg')->status, 200, 'HEAD');
is_error($n->get('/other.svg'), 404, 'NOT_FOUND', 'a file that is not there');
is($n->options('/logo.svg')->header('allow'), 'GET, HEAD, OPTIONS', 'its methods');

is_ok(save('logo.svg', svg('<rect/>')), 'replaced');
is($n->get('/logo.svg')->body, svg('<rect/>'), 'the new one is served by every worker') for 1 .. 6;
isnt($n->get('/logo.svg')->header('etag'), $etag, 'with another ETag');
is($n->get('/logo.svg', headers => { 'If-None-Match' => $etag })->status, 200, 'the old one is no longer good');

# Names.

is(save('My Logo (1).svg')->json->{path}, '/MyLogo1.svg', 'what is left of the name');
is(save("a\x{e4}b_c.svg")->json->{path}, '/abc.svg', 'letters and digits');
is(save('x' x 96 . '.svg')->json->{path}, '/' . 'x' x 96 . '.svg', '100 characters');
is($n->get('/' . 'x' x 96 . '.svg')->status, 200, 'they are served');
for my $bad ('../../etc/passwd.svg', '.svg', '.hidden.svg', 'logo.png', 'logo.svg.html', 'LOGO.SVG', '_', 'x' x 97 . '.svg') {
    $r = save($bad);
    is_error($r, 400, 'VALIDATION_ERROR', "no name: $bad");
    is($r->json->{details}{field}, 'filename', "no name: $bad: field");
}

# What is refused, and where.

for my $case (
    [ '<script>alert(1)</script>', 1, 'script' ], [ "\n<g>\n<g onload='x()'/></g>", 3, 'onload' ],
    [ '<foreignObject/>', 1, 'foreignObject' ], [ "\n\n<use href='http://e.example/x.svg#a'/>", 3, '#id' ],
    [ '<image href="https://e.example/x.png"/>', 1, 'data:' ], [ '<style>@import "x"</style>', 1, 'at-rule' ],
    [ '<rect style="fill:url(//e.example)"/>', 1, 'url' ], [ '&nope;', 1, 'nope' ], [ '<g>', 1, 'well-formed' ],
    [ "<a href='#x'/>", 1, 'not allowed' ], [ '<?php ?>', 1, 'processing instruction' ],
) {
    $r = save('bad.svg', svg($case->[0]));
    is_error($r, 400, 'VALIDATION_ERROR', "refused: $case->[0]");
    like($r->json->{error}, qr/^Validation failed: svg is refused in line $case->[1]: .*\Q$case->[2]\E/, 'why and where');
}
is(save('bad.svg', svg('<script/>'))->json->{error},
   'Validation failed: svg is refused in line 1: the element "script" is not allowed', 'a sentence');
is(save('bad.svg', svg('<use href="x"/>'))->json->{error},
   'Validation failed: svg is refused in line 1: the attribute "href" may only point to "#id"', 'of an attribute');
$r = save('bad.svg', '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' . svg('&x;'));
is_error($r, 400, 'VALIDATION_ERROR', 'a document type');
unlike($r->body, qr/root:/, 'nothing of the file');
is_error(save('bad.svg', svg('x' x 262144)), 400, 'VALIDATION_ERROR', 'more than 256 KiB');
is_ok(save('large.svg', svg('<!--' . 'x' x (262144 - length(svg('<!---->'))) . '-->')), 'exactly 256 KiB');
is(length $n->get('/large.svg')->body, 262144, 'and it comes back');
is_error($n->post('/api/save-svg', $_->[0]), 400, 'VALIDATION_ERROR', $_->[1])
    for [ {}, 'nothing' ], [ { svg => svg() }, 'no name' ], [ { filename => 'a.svg' }, 'no image' ],
        [ { svg => 1, filename => 'a.svg' }, 'a number' ];
is($n->get('/bad.svg')->status, 404, 'nothing of it was kept');


# Twenty files and 2 MiB before the setup is completed.

my $q = NchatTest->new;
my @saved = map { save("f$_.svg", undef, undef, $q) } 1 .. 20;
is(scalar(grep { $_->status == 200 } @saved), 20, 'twenty files');
is_error(save('f21.svg', undef, undef, $q), 403, 'FORBIDDEN', 'the twenty-first');
is_ok(save('f20.svg', svg('<rect/>'), undef, $q), 'a replacement is no new one');
my $big = svg('<!--' . 'x' x 262000 . '-->');
is(save("f$_.svg", $big, undef, $q)->status, 200, 'a large one') for 1 .. 7;
is_error(save('f8.svg', $big, undef, $q), 403, 'FORBIDDEN', 'more than 2 MiB');

my $p = NchatTest->new;
my @answers = $p->parallel(map { [ POST => '/api/save-svg', json => { filename => "p$_.svg", svg => $big } ] } 0 .. 11);
is(scalar(grep { $_->status == 200 } @answers), 8, 'also when they come at once');
my ($sum) = $p->rows('SELECT sum(size) FROM svg_files');
cmp_ok($sum->[0], '<=', 2 * 1024 * 1024, 'no more than 2 MiB are kept');

# An admin's file stays.

my $owner  = $q->owner;
my $member = $q->account('member');
my $guest  = $q->account('guest');
is_ok(save('brand.svg', svg('<path d="M0 0"/>'), $owner, $q), 'an admin, beyond the twenty');
is_error(save('brand.svg', svg(), undef, $q), 403, 'FORBIDDEN', 'nobody anonymous replaces it');
is_error(save('brand.svg', svg(), $member, $q), 403, 'FORBIDDEN', 'nor a member');
is_error(save('f1.svg', svg(), $guest, $q), 403, 'FORBIDDEN', 'a guest may not at all');
is($q->get('/brand.svg')->body, svg('<path d="M0 0"/>'), 'it is still there');
is_ok(save('brand.svg', svg('<g/>'), $owner, $q), 'an admin does');
is_error($q->post('/api/save-svg', { filename => 'a.svg', svg => svg() }, token => 'x.y.z'), 401, 'INVALID_TOKEN', 'a bad token');

# After the setup: admins only.

is_ok($q->post('/api/config', { setup => { isCompleted => JSON::PP::true() } }, token => $owner->{token}), 'completed');
ok(wait_for(sub { save('f1.svg', undef, undef, $q)->status == 401 }, 5), 'anonymous callers are asked who they are');
$r = save('f1.svg', undef, undef, $q);
is_error($r, 401, 'UNAUTHORIZED', 'anonymous');
is($r->header('www-authenticate'), 'Bearer', 'WWW-Authenticate');
is_error(save('f1.svg', svg(), $member, $q), 403, 'FORBIDDEN', 'a member');
is_error(save('f1.svg', 'x', $member, $q), 403, 'FORBIDDEN', 'a member, before the image is looked at');
is_ok(save('f1.svg', svg('<g/>'), $owner, $q), 'the owner');
is_ok(save('f1.svg', svg('<g/>'), $q->account('admin'), $q), 'an admin');

# The statement decides, whatever the worker knew.

like($q->psql("SELECT status FROM nchat_svg_save('f1.svg', '<svg/>', NULL, NULL, NULL, NULL, '::1', 'r')"), qr/^401/, 'SQL: anonymous');
like($q->psql("SELECT status FROM nchat_svg_save('f1.svg', '<svg/>', '$member->{id}', 'member', NULL, NULL, '::1', 'r')"), qr/^403/, 'SQL: a member');

# Recorded, and seen by other nodes.

my ($entry) = $q->rows("SELECT actor_email, resource_id FROM audit_log WHERE action = 'svg_save' AND actor_email = '$owner->{email}' ORDER BY seq LIMIT 1");
is($entry->[1], 'brand.svg', 'it is in the audit log');

my $other = NchatTest->new(share => $q);
is($other->get('/brand.svg')->body, svg('<g/>'), 'another node serves it');
save('brand.svg', svg('<g id="new"/>'), $owner, $q);
ok(wait_for(sub { $other->get('/brand.svg')->body eq svg('<g id="new"/>') }, 3), 'and its replacement soon');

finish();
