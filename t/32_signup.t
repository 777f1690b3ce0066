# What the live configuration says about sign-up and sign-in: providers, modes,
# domains, the password policy, and the first account.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n = NchatTest->new(http => 'nchat_signin_limit address=1000 email=1000;');
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my ($owner, $count);

# A sign-up that has everything.
sub signup {
    my %data = @_;
    $count++;
    return $n->post('/api/auth/signup', {
        email    => "new$count-$$\@example.com",
        username => "new${count}_$$",
        password => 'Passw0rd',
        %data
    });
}

sub configure {
    my $r = $n->patch('/api/config', $_[0], token => $owner->{token});
    $r->status == 200 or die 'no configuration: ' . $r->summary . "\n";
}

sub permissions { configure({ authPermissions => {@_} }) }

sub policy {
    configure({ enterprise => { compliance => { passwordPolicy => {@_} } } });
}

sub is_refused {
    my ($r, $name) = @_;
    is_error($r, 403, 'FORBIDDEN', $name);
    is($r->json->{accessToken}, undef, "$name: no token");
}


subtest 'the first account is exempt' => sub {

    # as an operator might have prepared it, before there is anybody

    $n->psql(q(UPDATE config SET version = version + 1,
                      doc = nchat_config_merge(doc, '{
                          "authProviders": {"emailPassword": false},
                          "authPermissions": {"mode": "admin-only",
                                              "requireApproval": true}}');
               SELECT pg_notify('nchat', 'config 2')));
    ok(wait_for(sub {
        $n->get('/api/config')->json->{config}{authPermissions}{mode}
            eq 'admin-only'
    }, 5), 'nobody may sign up');

    is_error(signup(password => 'weak'), 400, 'VALIDATION_ERROR',
             'the first one too needs a password');
    $owner = $n->owner;
    is($owner->{role}, 'owner', 'and becomes owner');
    is_refused(signup(), 'the second one');
    is_ok($n->post('/api/auth/signin', $owner), 'the owner signs in');

    configure({ authProviders   => { emailPassword => $true },
                authPermissions => { mode => 'allow-all',
                                     requireApproval => $false } });
    my $r = signup(role => 'owner');
    is_ok($r, 'now the second one');
    is($r->json->{user}{role}, 'member', 'a member, whatever it asks for');
};


subtest 'passwords as a way in' => sub {
    my $user = $n->signup;
    my $try = sub {
        $n->post('/api/auth/signin', { email => $_[0], password => $_[1] })
    };

    configure({ authProviders => { emailPassword => $false } });
    is_refused(signup(), 'sign-up');
    my @refused = map { $try->(@$_) } [$user->{email}, $user->{password}],
                                      [$user->{email}, 'Wr0ngOne'],
                                      [$owner->{email}, 'Wr0ngOne'],
                                      ['nobody@example.com', 'Wr0ngOne'];
    is_refused($refused[0], 'sign-in');
    is($_->status . $_->body, '403' . $refused[0]->body,
       'the same for everyone') for @refused[1 .. 3];
    is_ok($try->($owner->{email}, $owner->{password}), 'the owner excepted');
    is_ok($n->get('/api/auth/me', token => $user->{token}), 'sessions live on');
    is_ok($n->post('/api/auth/refresh', { refreshToken => $user->{refresh} }),
          'and are refreshed');
    is_ok($n->post('/api/auth/verify-password',
                   { password => $user->{password} },
                   token => $user->{token}), 'passwords are verified');

    configure({ authProviders => { emailPassword => $true } });
    is_ok($n->post('/api/auth/signin', $user), 'and back');
};


subtest 'modes' => sub {
    for my $mode (qw(admin-only verified-only idme-roles)) {
        permissions(mode => $mode);
        is_refused(signup(), $mode);
    }
    is_ok($n->post('/api/auth/signin', $owner), 'who has an account signs in');

    permissions(mode => 'allow-all', requireApproval => $true);
    is_refused(signup(), 'requireApproval');
    permissions(requireApproval => $false);
    is_ok(signup(), 'allow-all');
};


subtest 'domains' => sub {
    permissions(mode => 'domain-restricted');
    is_refused(signup(), 'none is allowed');

    permissions(allowedDomains => ['Example.org', 'two.example']);
    is_ok(signup(email => "a-$$\@example.ORG"), 'one of them');
    is_ok(signup(email => "b-$$\@two.example"), 'another one');
    is_refused(signup(email => "c-$$\@$_"), $_)
        for qw(example.com sub.example.org xexample.org example.org.evil.com
               two.examples);

    permissions(allowedDomains => []);
    is_refused(signup(email => "d-$$\@example.org"), 'none again');
    permissions(mode => 'allow-all', allowedDomains => undef);
    is_ok(signup(), 'allow-all');
};


subtest 'the password policy' => sub {
    my $user = $n->signup;
    my $refused = sub {
        my ($password, $constraint, $text) = @_;
        my $r = signup(password => $password);
        is_error($r, 400, 'VALIDATION_ERROR', "$password: $constraint");
        is_deeply([@{ $r->json->{details} }{qw(field constraint)}],
                  ['password', $constraint], 'field and constraint');
        like($r->json->{error}, qr/^Validation failed: password .*$text/, 'text');

        $r = $n->post('/api/auth/change-password',
                      { currentPassword => $user->{password},
                        newPassword     => $password },
                      token => $user->{token});
        is_error($r, 400, 'VALIDATION_ERROR', 'change-password: the same');
        is($r->json->{details}{field}, 'newPassword', 'by its name');
    };

    $refused->('Passw0r', 'length', '8');
    $refused->('Aa1' . 'x' x 70, 'length', '72');
    $refused->("Aa1" . "\x{e4}" x 35, 'length', '72');
    $refused->('passw0rd', 'format', 'upper-case');
    $refused->('PASSW0RD', 'format', 'lower-case');
    $refused->('Password', 'format', 'digit');
    is_ok(signup(password => 'Aa1' . 'x' x 69), '72 bytes');

    policy(minLength => 12.5, requireSymbols => $true);
    $refused->('Passw0rd-123', 'length', '13');
    $refused->('Passw0rd12345', 'format', 'symbol');
    is_ok(signup(password => 'Passw0rd-1234'), 'longer, and with a symbol');

    policy(minLength => 9, requireSymbols => $false, requireUppercase => $false,
           requireNumbers => $false);
    is_ok(signup(password => 'smallones'), 'fewer rules');
    $refused->('NOSMALLONES', 'format', 'lower-case');
    policy(requireLowercase => $false);
    is_ok(signup(password => '123456789'), 'none but the length');

    for my $least (0, -5, 3) {
        policy(minLength => $least);
        is_error(signup(password => '1234567'), 400, 'VALIDATION_ERROR',
                 "minLength $least is 8");
        is_ok(signup(password => '12345678'), 'eight');
    }
    policy(minLength => 1000);
    is_ok(signup(password => 'x' x 72), 'what bcrypt reads is always enough');
    policy(minLength => 8, requireUppercase => $true, requireLowercase => $true,
           requireNumbers => $true);
    is(signup(password => '12345678')->status, 400, 'and back');
};


subtest 'the welcome' => sub {
    my $r  = signup(displayName => ' Jo Doe ');
    my $id = $r->json->{user}{id};
    is_deeply($r->json->{user},
              { id => $id, email => "new$count-$$\@example.com",
                username => "new${count}_$$", displayName => 'Jo Doe',
                role => 'member', status => 'online' }, 'the account');
    is($n->psql("SELECT string_agg(c.name, ',') FROM channel_members m
                   JOIN channels c ON c.id = m.channel_id
                  WHERE m.user_id = '$id'"), 'general',
       'is a member of the channel for new ones');

    my $new = $n->signup;
    $n->psql("UPDATE channels SET type = 'private' WHERE name = 'general'");
    $id = signup()->json->{user}{id};
    is($n->psql("SELECT count(*) FROM channel_members
                  WHERE user_id = '$id'"), 0,
       'unless that is private');

    for my $case ([{ email => uc $new->{email} }, 'email'],
                  [{ username => uc $new->{username} }, 'username'])
    {
        my $r = signup(%{ $case->[0] });
        is_error($r, 409, 'CONFLICT', "a taken $case->[1]");
        is($r->json->{details}{field}, $case->[1], 'the field');
    }
};

finish();
