# What an update of the configuration may hold: every rule, with the exact
# sentence where the contract has one.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n       = NchatTest->new;
my $owner   = $n->owner;
my $version = $n->get('/api/config')->json->{version};
my ($true, $false) = (JSON::PP::true(), JSON::PP::false());

# nested(PATH, VALUE): { a => { b => VALUE } } for "a.b".
sub nested {
    my ($path, $value) = @_;
    $value = { $_ => $value } for reverse split /\./, $path;
    return $value;
}

sub update {
    return $n->patch('/api/config', $_[0], token => $owner->{token});
}

sub name { return "$_[0] = " . substr encode_json($_[1]), 0, 40 }

# refused(PATH, VALUE, CONSTRAINT, SENTENCE): POST and PATCH alike.
sub refused {
    my ($path, $value, $constraint, $sentence) = @_;
    my $name = name($path, $value);
    my $r    = update(nested($path, $value));

    is_error($r, 400, 'VALIDATION_ERROR', "$name is refused") or return;
    is($r->json->{details}{field}, $path, "$name: field");
    is($r->json->{details}{constraint}, $constraint, "$name: constraint");
    like($r->json->{error}, qr/^Validation failed: \Q$path\E /,
         "$name: sentence");
    is($r->json->{error}, $sentence, "$name: exactly") if $sentence;
    is($n->post('/api/config', nested($path, $value),
                token => $owner->{token})->body =~ s/"requestId":"[^"]*"//r,
       $r->body, "$name: POST says the same");
}

sub accepted {
    my ($path, $value) = @_;
    my $r = update(nested($path, $value));

    is($r->status, 200, name($path, $value) . ' is accepted')
        or diag($r->summary);
    $version++ if $r->status == 200;

    my $got = $r->json->{config};
    $got = $got->{$_} for split /\./, $path;
    is_deeply($got, $value, name($path, $value) . ' is stored');
}


# branding

my $appname = 'Validation failed: branding.appName must be 1-50 characters';

refused('branding.appName', '', 'length', $appname);
refused('branding.appName', 'x' x 51, 'length', $appname);
refused('branding.appName', 'ä' x 51, 'length', $appname);
refused('branding.appName', $_, 'type') for 1, $true, [], {}, undef;
accepted('branding.appName', $_)
    for 'x', 'x' x 50, "\x{1F600}" x 50, 'ä' x 50, '<b>"\\';

refused('branding.logoScale', $_, 'range')
    for 0, 0.49, 2.01, -1, 1e9;
refused('branding.logoScale', $_, 'type') for '1', $true, [], undef;
accepted('branding.logoScale', $_) for 0.5, 1, 1.25, 2;

refused('branding.tagline', $_, 'type') for 1, undef, [];


# theme

for my $color (map({ "${_}Color" } qw(primary secondary accent background surface
                   text muted border success warning error info)),
               qw(buttonPrimaryBg buttonPrimaryText buttonSecondaryBg
                  buttonSecondaryText))
{
    accepted("theme.$color", '#a0B1c2');
    my ($value, $constraint) = @{ [ [ 'red', 'format' ], [ '#12345', 'format' ],
        [ '#1234567', 'format' ], [ '#12345g', 'format' ], [ '', 'format' ],
        [ '123456', 'format' ], [ 0x123456, 'type' ] ]->[
            length($color) % 7 ] };
    refused("theme.$color", $value, $constraint);
}

refused('theme.primaryColor', $_, 'format')
    for 'red', '#fff', '#12345', '#1234567', '#12345g', '', ' #123456',
        '#123456 ', "#123456\n", "#\x{ff11}23456";
accepted('theme.colorScheme', $_) for qw(light dark system);
refused('theme.colorScheme', $_, 'enum') for 'auto', '', 'Light';
refused('theme.colorScheme', 1, 'type');


# one of a list

accepted('landingTheme', $_)
    for qw(login-only simple-landing full-homepage corporate community);
refused('landingTheme', $_, 'enum') for 'other', '';
refused('landingTheme', $_, 'type') for 1, {}, undef;

accepted('authPermissions.mode', $_)
    for qw(verified-only idme-roles domain-restricted admin-only allow-all);
refused('authPermissions.mode', $_, 'enum') for 'open', '';
refused('authPermissions.mode', undef, 'type');


# addresses and lists

accepted('owner.email', $_) for 'a@b.cd', '', 'x+y@sub.example.com';
refused('owner.email', $_, 'format')
    for 'x', 'a@b', '@b.cd', 'a@', 'a@@b.cd', 'a b@c.de', 'a@b.cd@e.fg';
refused('owner.email', $_, 'type') for 1, [], undef;

accepted('authPermissions.allowedDomains', $_)
    for [], ['example.com'], [ 'a.example', 'b.example' ];
refused('authPermissions.allowedDomains', $_, 'type') for 'example.com', {}, 1;
is_error(update(nested('authPermissions.allowedDomains', [ 'x', 1 ])), 400,
         'VALIDATION_ERROR', 'a list of texts has texts only');
is(update({ authPermissions => { allowedDomains => undef } })->status, 200,
   'an optional list can be removed');
$version++;


# numbers and steps

accepted('setup.currentStep', $_) for 0, 1, 12;
refused('setup.currentStep', $_, 'type') for 1.5, '1', $true, undef;
refused('setup.currentStep', -1, 'range');


# A member that has a default keeps its type.

for my $case (
    [ 'setup.isCompleted',                 $true,  0, 'true', undef ],
    [ 'setup.visitedSteps',                [1],    0, {}, 'x', undef ],
    [ 'owner.name',                        'Me',   1, undef, [] ],
    [ 'homepage.mode',                     'x',    1, undef ],
    [ 'homepage.landingPages',             undef,  [], 1, $true, undef ],
    [ 'homepage.landingPages.hero',        $false, 1, 'true', undef ],
    [ 'authProviders.google',              $true,  1, 'on', undef ],
    [ 'authProviders.idme',                undef,  $true, [], undef ],
    [ 'authProviders.idme.enabled',        $true,  1, undef ],
    [ 'features.search',                   $true,  0, 'false', undef ],
    [ 'features.maxCallParticipants',      20,     '20', $true, undef ],
    [ 'integrations.webhooks.customEndpoints', ['x'], {}, 'x' ],
    [ 'moderation.thresholds.toxic',       0.5,    '0.5', undef ],
    [ 'encryption.keyRotationDays',        30,     '30', undef ],
    [ 'seo.title',                         'T',    5, undef ],
    [ 'seo.keywords',                      [],     'a,b', undef ],
    [ 'legal.supportEmail',                'x@y.z', 5, undef ],
    [ 'enterprise.compliance.passwordPolicy.minLength', 10, '10', undef ],
    [ 'enterprise.security.rateLimiting',  $false, 0, undef ])
{
    my ($path, $good, @bad) = @$case;
    accepted($path, $good) if defined $good;
    refused($path, $_, 'type') for @bad;
}


# Sections.

for my $section (qw(setup owner branding homepage authProviders authPermissions
                    features integrations moderation encryption theme seo legal
                    social enterprise))
{
    refused($section, $_, 'type') for [], 'x';
    is_error(update({ $section => undef }), 400, 'VALIDATION_ERROR',
             "$section cannot be removed");
}

for my $section ('other', 'Branding', '', 'branding.appName', '__proto__',
                 'x' x 300)
{
    my $r = update({ $section => {} });
    is_error($r, 400, 'VALIDATION_ERROR', "no section '$section'");
    is($r->json->{details}{field}, $section, 'it is named');
    is($r->json->{details}{constraint}, 'enum', 'as one of those that are not');
}

is_error($n->http('PATCH', '/api/config', body => $_,
                  token => $owner->{token}), 400, 'BAD_REQUEST',
         "an update that is '$_'") for '[]', '"x"', '1', 'null', '', '{';


# Several failures at once: the first, and all of them.

my $r = update({ branding => { appName => '', logoScale => 9 },
                 theme => { primaryColor => 'x' }, nothing => 1 });
is_error($r, 400, 'VALIDATION_ERROR', 'several failures');
my $details = $r->json->{details};
is(scalar @{ $details->{errors} }, 4, 'all of them are listed');
is_deeply({ field => $details->{field}, constraint => $details->{constraint} },
          { map { $_ => $details->{errors}[0]{$_} } qw(field constraint) },
          'the first one is described');
is_deeply([ sort map { $_->{field} } @{ $details->{errors} } ],
          [qw(branding.appName branding.logoScale nothing theme.primaryColor)],
          'with their fields');
is(scalar(grep { $_->{message} && $_->{constraint} } @{ $details->{errors} }),
   4, 'constraints and messages');
is($r->json->{error}, "Validation failed: $details->{errors}[0]{message}",
   'the sentence is the first one\'s');

$r = update({ seo => { title => 1, keywords => 1 } });
is(scalar @{ $r->json->{details}{errors} // [] }, 2,
   'several types that are wrong');

# Nothing of an update with a failure is stored.

$r = update({ social => { kept => 1 }, features => { search => 'x' } });
is($r->status, 400, 'one member is wrong');
is($n->get('/api/config')->json->{config}{social}{kept}, undef,
   'then none is stored');


# Size and depth of the whole.

my $large = 'x' x 60_000;
for my $i (1 .. 4) {
    is(update({ social => { "l$i" => $large } })->status, 200, "$i of 4 fit");
    $version++;
}
$r = update({ social => { l5 => $large } });
is_error($r, 400, 'VALIDATION_ERROR', 'the fifth is too much');
is($r->json->{details}{constraint}, 'length', 'for its length');
is(length $n->get('/api/config')->json->{config}{social}{l4}, 60_000,
   'a configuration of 240 KiB is served');
is($n->get('/api/config', headers => { 'Accept-Encoding' => 'gzip' })->status,
   200, 'also zipped');
is(update({ social => { map { ("l$_" => undef) } 1 .. 4 } })->status, 200,
   'there is room again');
$version++;

my $deep = 1;
$deep = { a => $deep } for 1 .. 31;    # with the whole: 32
is(update({ social => $deep })->status, 200, '32 levels');
$version++;
is_error(update({ social => { a => $deep } }), 400, 'BAD_REQUEST',
         '33 levels in the request');

is($n->get('/api/config')->json->{version}, $version,
   'only what was accepted made a version');

finish();
