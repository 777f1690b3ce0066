# The configuration: merging, caps, history, notifications.

use strict;
use warnings;

use lib 't/lib', 't/sql/lib';

use JSON::PP ();
use Test::More;

use SqlTest;

my $db = new_database();
my ($owner, $module) = @$db{qw(owner module)};

my $admin = uuid();
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

sub update {
    return call($module, 'nchat_config_update', shift, $admin,
                'admin@example.com', 'admin', '10.0.0.1', 'req-1');
}

sub config { call($module, 'nchat_config_get') }

subtest 'a fresh database' => sub {
    my $config = config();
    is($config->{version}, 1, 'version');
    is_deeply([sort keys %{ $config->{doc} }],
              [sort qw(setup owner branding landingTheme homepage authProviders
                       authPermissions features integrations moderation
                       encryption theme seo legal social enterprise)],
              'all sections');
    is($config->{doc}{branding}{appName}, 'nChat', 'the defaults');
    is_deeply(body($module, 'nchat_config_history')->{history}, [], 'no history');
};

subtest 'merging' => sub {
    my $row = update({ branding => { appName => 'A' },
                       social => { x => { url => 'u', n => undef } },
                       seo => { keywords => ['one'] } });

    is($row->{status}, 200, 'status');
    is($row->{version}, 2, 'the version grows');
    is($row->{body}{message}, 'Configuration updated successfully', 'message');
    is_deeply($row->{body}{config}, $row->{doc}, 'the whole document');
    is_deeply($row->{doc}{branding},
              { appName => 'A', tagline => 'Team Communication Platform',
                logoScale => 1 }, 'objects merge');
    is_deeply($row->{doc}{seo}{keywords}, ['one'], 'arrays replace');
    is_deeply($row->{doc}{social}, { x => { url => 'u' } }, 'null is nothing');
    is_deeply(update({ social => { x => { url => undef, b => [undef] } } })
                  ->{doc}{social},
              { x => { b => [undef] } }, 'null removes, but not within an array');
    is_deeply(update({ social => { x => 'text' } })->{doc}{social}, { x => 'text' },
              'a scalar replaces an object');
    is_deeply(update({ social => { x => { y => { z => undef } } } })->{doc}{social},
              { x => { y => {} } }, 'an object replaces a scalar');
    is_deeply(config()->{doc}, update({})->{doc}, 'nothing changes nothing');
};

subtest 'steps of the setup' => sub {
    is_deeply(update({ setup => { currentStep => 3 } })->{doc}{setup},
              { isCompleted => $false, currentStep => 3, visitedSteps => [0, 3] },
              'the current one joins the visited ones');
    is_deeply(update({ setup => { currentStep => 0 } })->{doc}{setup}{visitedSteps},
              [0, 3], 'once');
};

subtest 'what everybody sees' => sub {
    update({ owner => { email => 'o@example.com', name => 'O' },
             integrations => { slack => { clientSecret => 's', teamTOKEN => 't',
                                          apikey => 'k', tokens => 5,
                                          list => [{ password => 'p', a => 1 }] } },
             authProviders => { emailPassword => $true } });
    my $config = config();

    is_deeply($config->{open_doc}{owner}, { name => 'O' }, 'no email of the owner');
    my $slack = $config->{open_doc}{integrations}{slack};
    is_deeply([@$slack{qw(clientSecret teamTOKEN apikey tokens list)}],
              [undef, undef, undef, 5, [{ a => 1 }]], 'no secret strings');
    is($config->{open_doc}{authProviders}{emailPassword}, $true,
       'what is no string stays');
    is($config->{open_doc}{enterprise}{compliance}{passwordPolicy}{minLength}, 8,
       'also below');
    is($config->{doc}{integrations}{slack}{clientSecret}, 's', 'admins see all');

    my $text = value($owner, "SELECT string_agg(entry, '') FROM audit_log");
    unlike($text, qr/"clientSecret": "s"/, 'no secret is in the audit log');
    like($text, qr/"clientSecret": "\[hidden\]"/, 'but that it changed');
};

subtest 'history and audit' => sub {
    update({ landingTheme => 'community', branding => { appName => "N$_" } })
        for 1 .. 11;

    my $body = body($module, 'nchat_config_history');
    is(scalar @{ $body->{history} }, 10, 'the last ten');
    is_deeply($body->{history}[0]{changes},
              { landingTheme => 'community', branding => { appName => 'N11' } },
              'newest first, what was asked for');
    is($body->{history}[0]{updatedBy}, 'admin@example.com', 'by whom');
    like($body->{history}[0]{timestamp}, qr/^\d{4}-\d\d-\d\dT.*\.\d{3}Z$/, 'when');
    is($body->{config}{branding}{appName}, 'N11', 'the configuration');
    is($body->{version}, config()->{version}, 'and its version, a string');

    my $entry = row($owner, 'SELECT entry FROM audit_log ORDER BY seq DESC LIMIT 1')
                    ->{entry};
    is_deeply([@$entry{qw(category action ipAddress requestId)}],
              ['config', 'config_update', '10.0.0.1', 'req-1'], 'the audit entry');
    is_deeply([@{ $entry->{resource} }{qw(previousValue newValue)}],
              [{ branding => { appName => 'N10' } },
               { branding => { appName => 'N11' } }], 'only what changed');
};

subtest 'caps' => sub {
    my $before = config();
    my $deep = { a => 1 };
    $deep = { a => $deep } for 1 .. 30;

    is(update({ social => { big => 'x' x 262_144 } })->{body}{details}{constraint},
       'length', '256 KiB');
    is(update({ social => { deep => $deep } })->{body}{code}, 'VALIDATION_ERROR',
       'depth 33');
    is(update({ social => { deep => { a => [[]] } } })->{status}, 200, 'less deep');
    is(update({ social => { deep => undef } })->{status}, 200, 'taken back');
    is_deeply(config()->{doc}, $before->{doc}, 'a refusal changes nothing');

    my $fits = { a => 1 };
    $fits = { a => $fits } for 1 .. 29;
    is(update({ social => { deep => $fits } })->{status}, 200, 'depth 32');
};

subtest 'a member that has a default keeps its type' => sub {
    my $before = config();

    my @wrong = (
        [{ features => { search => 'yes' } }, 'features.search', 'a boolean'],
        [{ features => { search => 0 } }, 'features.search', 'a boolean'],
        [{ branding => { appName => 1 } }, 'branding.appName', 'a string'],
        [{ features => { maxCallParticipants => '50' } },
         'features.maxCallParticipants', 'a number'],
        [{ seo => { keywords => 'one' } }, 'seo.keywords', 'an array'],
        [{ seo => { keywords => {} } }, 'seo.keywords', 'an array'],
        [{ authProviders => { idme => $true } }, 'authProviders.idme',
         'an object'],
        [{ social => [] }, 'social', 'an object'],
        [{ landingTheme => {} }, 'landingTheme', 'a string'],
        [{ enterprise => { compliance => { passwordPolicy =>
             { minLength => [8] } } } },
         'enterprise.compliance.passwordPolicy.minLength', 'a number'],
        [{ features => { search => undef } }, 'features.search', 'a boolean'],
        [{ theme => undef }, 'theme', 'an object']
    );

    for (@wrong) {
        my ($patch, $field, $type) = @$_;
        my $row = update($patch);

        is_deeply([@$row{qw(status version doc)}, $row->{body}],
                  [400, undef, undef,
                   { error => "Validation failed: $field must be $type",
                     code => 'VALIDATION_ERROR',
                     details => { field => $field, constraint => 'type' } }],
                  "$field: " . JSON::PP->new->allow_nonref->encode($patch));
    }

    is_deeply(update({ seo => undef, features => { gifs => 1, new => 1 } })
                  ->{body}{details},
              { field => 'features.gifs', constraint => 'type', errors => [
                  { field => 'features.gifs', constraint => 'type',
                    message => 'features.gifs must be a boolean' },
                  { field => 'seo', constraint => 'type',
                    message => 'seo must be an object' }] },
              'several at once');
    is_deeply(config(), $before, 'nothing changed');

    is(update({ branding => { logoScale => 1.5 } })->{status}, 200,
       'a real for an integer');
    is(update({ moderation => { thresholds => { toxic => 1 } } })->{status},
       200, 'an integer for a real');
    is(update({ branding => { logo => [1], tagline => '' },
                features => { new => 'x' } })->{status}, 200,
       'without a default: anything');
    is(update({ features => { new => 1 } })->{status}, 200, 'and another type');
    is(update({ features => { new => undef }, branding => { logo => undef } })
           ->{status}, 200, 'and null');
};

subtest 'concurrent updates of different members' => sub {
    my $version = config()->{version};
    my @rows = at_once($module, map {
        ['nchat_config_update', { social => { "m$_" => $_ } }, $admin, 'a@b.c', 'a',
         undef, undef] } 1 .. 20);

    is(scalar(grep { $_->{status} == 200 } @rows), 20, 'all succeed');
    is(join(' ', map { config()->{doc}{social}{"m$_"} } 1 .. 20),
       join(' ', 1 .. 20), 'all survive');
    is(config()->{version}, $version + 20, 'each has its version');
};

like(value($owner, "LISTEN nchat; SELECT version FROM nchat_config_update('{}',
        '$admin', 'a\@b.c', 'a', NULL, NULL);"),
     qr/(\d+)\nAsynchronous notification "nchat" with payload "config \1"/,
     'listeners are told the version');

done_testing();
