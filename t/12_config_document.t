# The configuration: what a fresh install has, how it is served, how updates are
# merged, and what is kept of them.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Test::More;
use Compress::Zlib qw(memGunzip);
use NchatTest;

my $n = NchatTest->new;
my ($true, $false) = (JSON::PP::true(), JSON::PP::false());


# A fresh install.

my $r      = $n->get('/api/config');
my $config = $r->json->{config};

is_ok($r, 'the configuration is public');
is_deeply($r->json->{data}, { config => $config, version => $r->json->{version} },
          'the payload is config and version');
is(join(' ', sort keys %$config),
   'authPermissions authProviders branding encryption enterprise features '
   . 'homepage integrations landingTheme legal moderation owner seo setup '
   . 'social theme', 'all sections are there');
is($config->{branding}{appName}, 'nChat', 'a default text');
is($config->{branding}{logoScale}, 1, 'a default number');
is_deeply($config->{setup},
          { isCompleted => $false, currentStep => 0, visitedSteps => [0] },
          'a default section');
is($config->{landingTheme}, 'simple-landing', 'a section that is a text');
is($config->{enterprise}{compliance}{passwordPolicy}{minLength}, 8,
   'a default deep inside');
is_deeply($config->{owner}, { name => '' }, 'owner.email is not public');
ok(!ref $r->json->{version} && $r->body =~ /"version":"\d+"/,
   'version is a text');


# Caching.

my $cached = 'public, max-age=300, s-maxage=300, stale-while-revalidate=600';
my $etag   = $r->header('etag');

is($r->header('cache-control'), $cached, 'Cache-Control');
like($etag, qr/^"[^"]+"$/, 'a strong ETag');

for my $match ($etag, "W/$etag", '*', "\"x\", $etag", "\"x\",W/$etag , \"y\"") {
    my $same = $n->get('/api/config', headers => { 'If-None-Match' => $match });
    is($same->status, 304, "not modified: $match");
    is($same->body, '', 'and nothing comes');
    is($same->header('etag'), $etag, 'with the ETag');
    is($same->header('cache-control'), $cached, 'and Cache-Control');
    like($same->header('x-request-id'), qr/./, 'and a request id');
    like($same->header('x-ratelimit-limit'), qr/^\d+$/, 'and the rate limit');
}

is($n->head('/api/config', headers => { 'If-None-Match' => $etag })->status,
   304, 'HEAD: not modified');
is($n->get('/api/config', headers => { 'If-None-Match' => $_ })->status, 200,
   "modified: $_") for '"x"', substr($etag, 0, -2) . '"', $etag =~ s/"//gr, '';

my $zipped = $n->get('/api/config', headers => { 'Accept-Encoding' => 'gzip' });
is($zipped->header('content-encoding'), 'gzip', 'gzip, where it is accepted');
is(memGunzip($zipped->body), $r->body, 'with the same content');
is($zipped->header('etag'), "W/$etag", 'under a weak ETag');
like($zipped->header('vary'), qr/Accept-Encoding/, 'and Vary');
cmp_ok(length $zipped->body, '<', length($r->body) / 3, 'it pays');
is($n->get('/api/config', headers => { 'If-None-Match' => "W/$etag",
                                       'Accept-Encoding' => 'gzip' })->status,
   304, 'gzip: not modified');

is($n->get('/api/config?x=1')->header('etag'), $etag, 'other arguments');
is($n->get('/api/config?history=false')->header('etag'), $etag, 'history=false');
is_error($n->get('/api/config?history=%74rue'), 401, 'UNAUTHORIZED',
         'history=true, encoded');


# Who may change it, and who may see more.

my $owner   = $n->owner;
my %refused = (guest => 403, member => 403, moderator => 403, admin => 200);

for my $role (sort keys %refused) {
    my $account = $n->account($role);
    my @token   = (token => $account->{token});

    is($n->get('/api/config?history=true', @token)->status, $refused{$role},
       "history as $role");
    is($n->post('/api/config', {}, @token)->status, $refused{$role},
       "POST as $role");
    is($n->patch('/api/config', {}, @token)->status, $refused{$role},
       "PATCH as $role");
    is($n->get('/api/config', @token)->status, 200, "GET as $role");
}

is_error($n->get('/api/config?history=true', token => $n->account('member')
                 ->{token}), 403, 'FORBIDDEN', 'too low');
is_error($n->get('/api/config?history=true'), 401, 'UNAUTHORIZED', 'nobody');
is_error($n->get('/api/config?history=true', token => 'x'), 401,
         'INVALID_TOKEN', 'a bad token');
is($n->get('/api/config', token => 'x')->status, 200,
   'where no token is needed, none is looked at');
is_error($n->post('/api/config', {}), 401, 'UNAUTHORIZED', 'POST as nobody');
is_error($n->patch('/api/config', {}, token => 'x'), 401, 'INVALID_TOKEN',
         'PATCH with a bad token');


# Updates are merged.

# update(METHOD, DATA): the configuration as the answer has it.
sub update {
    my ($method, $data) = @_;
    my $r = $n->http($method, '/api/config', json => $data,
                     token => $owner->{token});

    is_ok($r, "$method " . substr encode_json($data), 0, 60);
    is($r->json->{message}, 'Configuration updated successfully', 'the message');
    is_deeply([ sort keys %{ $r->json->{data} } ], [qw(config message)],
              'config and message');
    return $r->json->{config};
}

# What one gets may be sent back as it is.

my $whole = $n->get('/api/config?history=true', token => $owner->{token})
              ->json->{config};
is($whole->{owner}{email}, '', 'nobody is the owner by default');
is_deeply(update('POST', $whole), $whole, 'the whole document');

my $before = $n->get('/api/config')->json;
my $new    = update('POST', { branding => { appName => 'My Team Chat' } });

is($new->{branding}{appName}, 'My Team Chat', 'POST: what was asked for');
is($new->{branding}{tagline}, 'Team Communication Platform',
   'POST: the rest of the section stays');
is_deeply($new->{theme}, $before->{config}{theme}, 'POST: so do others');

my $after = $n->get('/api/config');
is($after->json->{config}{branding}{appName}, 'My Team Chat',
   'what was changed is served at once');
isnt($after->header('etag'), $etag, 'under another ETag');
cmp_ok($after->json->{version}, '>', $before->{version}, 'and version');
is($n->get('/api/config', headers => { 'If-None-Match' => $etag })->status,
   200, 'the old ETag does not match any more');

$new = update('PATCH', {
    seo      => { keywords => ['one'] },
    homepage => { landingPages => { pricing => $true } },
    social   => { site => { name => 'x', list => [ 1, { a => 2 } ] } }
});
is_deeply($new->{seo}{keywords}, ['one'], 'arrays replace');
is_deeply($new->{homepage}{landingPages},
          { %{ $before->{config}{homepage}{landingPages} }, pricing => $true },
          'objects merge at any depth');
is_deeply($new->{social}{site}, { name => 'x', list => [ 1, { a => 2 } ] },
          'members without a default are stored as they come');
is($new->{branding}{appName}, 'My Team Chat', 'earlier changes stay');

$new = update('PATCH', { social => { site => { name => undef } } });
is_deeply($new->{social}{site}, { list => [ 1, { a => 2 } ] },
          'null removes an optional member');
$new = update('PATCH', { social => { site => 'text' } });
is($new->{social}{site}, 'text', 'a scalar replaces an object');
$new = update('PATCH', { social => { site => { back => [] } } });
is_deeply($new->{social}{site}, { back => [] }, 'and the reverse');
$new = update('PATCH', { social => { site => undef, none => undef } });
is_deeply($new->{social}, {}, 'removing what is not there is no failure');
$new = update('PATCH', { social => { none => { inside => undef } } });
ok(!grep({ !defined } values %{ $new->{social}{none} // {} }),
   'null is never stored');

is_deeply(update('PATCH', {}), $new, 'an empty update changes nothing');

my $odd = { 'ключ' => "\x{1F600} \"\\/\b\f\n\r\t", "a.b" => [ 1.5, -2, 1e3, '',
            $true ] };
$new = update('PATCH', { social => { odd => $odd } });
is_deeply($new->{social}{odd}, $odd, 'texts and numbers as they were');
is_deeply($n->get('/api/config')->json->{config}{social}{odd}, $odd,
          'also where they are served');
like($n->get('/api/config')->body, qr/1\.5,/, 'numbers are not padded');

$new = update('PATCH', { setup => { currentStep => 3 } });
is_deeply($new->{setup}{visitedSteps}, [ 0, 3 ],
          'a step that is current has been visited');
$new = update('PATCH', { setup => { currentStep => 3 } });
is_deeply($new->{setup}{visitedSteps}, [ 0, 3 ], 'once');
$new = update('PATCH', { setup => { currentStep => 1, visitedSteps => [ 7 ] } });
is_deeply($new->{setup}{visitedSteps}, [ 7, 1 ], 'with the steps that come along');


# A number that no integer can hold is one all the same, and does not stop later
# updates.

is_ok($n->http('PATCH', '/api/config', body => '{"social":{"many":1e19}}',
               token => $owner->{token}), 'a large number');
is($n->get('/api/config')->json->{config}{social}{many}, '10000000000000000000',
   'is served');
update('PATCH', { features => { search => $false } });
is_error($n->get('/api/search?q=anything'), 403, 'FORBIDDEN',
         'what comes after it is in force');
update('PATCH', { features => { search => $true }, social => { many => undef } });


# Secrets are for admins only.

$new = update('PATCH', {
    owner  => { email => 'boss@example.com', name => 'Boss' },
    legal  => { supportEmail => 'help@example.com' },
    social => {
        none   => undef,
        apiKey => 's3cret-1', API_TOKEN => 's3cret-2', myPassword => 's3cret-3',
        PrivateKeyPem => 's3cret-4', secretSauce => 's3cret-5',
        tokens => [ 'kept', { clientSecret => 's3cret-6', id => 'kept' } ],
        tokenCount => 5, passwordless => $true, secrets => { a => 'kept' }
    }
});
is($new->{social}{apiKey}, 's3cret-1', 'an admin sees them');
is($new->{owner}{email}, 'boss@example.com', 'and the owner\'s address');

my $public = $n->get('/api/config');
unlike($public->body, qr/s3cret/, 'nobody else does');
unlike($public->body, qr/boss\@example/, 'nor that address');
is_deeply($public->json->{config}{social}, {
    odd => $odd, tokens => [ 'kept', { id => 'kept' } ],
    tokenCount => 5, passwordless => $true, secrets => { a => 'kept' }
}, 'only texts are left out');
is($public->json->{config}{legal}{supportEmail}, 'help@example.com',
   'other addresses stay');


# History.

update('PATCH', { branding => { tagline => "Number $_" } }) for 1 .. 12;
$r = $n->get('/api/config?history=true', token => $owner->{token});
is_ok($r, 'history');
is($r->header('cache-control'), 'no-store', 'history is not stored');
is_deeply([ sort keys %{ $r->json->{data} } ], [qw(config history version)],
          'config, version and history');
is($r->json->{config}{social}{apiKey}, 's3cret-1', 'history has everything');

my @history = @{ $r->json->{history} };
is(scalar @history, 10, 'the last ten');
is_deeply([ map { $_->{changes} } @history ],
          [ map { { branding => { tagline => "Number $_" } } }
            reverse 3 .. 12 ], 'newest first, with what was asked for');
is(scalar(grep { $_->{updatedBy} eq $owner->{email} } @history), 10, 'by whom');
is(scalar(grep { $_->{timestamp} =~
                 /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ } @history), 10,
   'and when');
is($r->json->{version}, $n->get('/api/config')->json->{version},
   'the version is the same');
is($n->head('/api/config?history=true', token => $owner->{token})->body, '',
   'HEAD of the history');


# Every update has its entry in the audit log, without the secrets.

my ($entries) = $n->psql(
    "SELECT count(*) FROM audit_log WHERE action = 'config_update'");
my ($versions) = $n->psql('SELECT count(*) FROM config_history');
is($entries, $versions, 'one audit entry for each update');
is($n->psql("SELECT count(*) FROM audit_log a WHERE a::text ~ 's3cret'"), 0,
   'without secrets');

finish();
