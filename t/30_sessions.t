# The signed-in: their password, their sessions, their refresh tokens.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes ();
use NchatTest;
use NchatTest::Token;

my $n     = NchatTest->new(http => 'nchat_signin_limit address=50;');
my $owner = $n->owner;
my $key   = server_key($n);

sub me      { $n->get('/api/auth/me', token => $_[0]) }
sub refresh { $n->post('/api/auth/refresh', { refreshToken => $_[0] }) }

# is_invalid(RESPONSE, NAME): a token that is not accepted.
sub is_invalid {
    my ($r, $name) = @_;
    is_error($r, 401, 'INVALID_TOKEN', $name);
    is($r->header('www-authenticate'), 'Bearer error="invalid_token"',
       "$name: the challenge");
}

# Who one is.

my $r = me($owner->{token});
is_ok($r, 'me');
is_deeply($r->json->{user},
          { id => $owner->{id}, email => $owner->{email}, role => 'owner',
            username => $owner->{username}, status => 'online',
            displayName => $owner->{username} }, 'as the token says');
is($r->header('cache-control'), 'no-store', 'and nobody keeps it');

my $claims = claims_of($owner->{token});
is_deeply([sort keys %$claims],
          [sort qw(sub email username displayName role sid ver typ iat exp
                   jti)], 'claims of an access token');
is($claims->{exp} - $claims->{iat}, 86400, 'for a day');
is($claims->{ver}, 1, 'the first version');
is_invalid(me(changed_token($owner->{token}, $key, ver => $_)), "version $_")
    for 0, -1;

my $long = claims_of($owner->{refresh});
is($long->{exp} - $long->{iat}, 30 * 86400, 'a refresh token: 30 days');
is($long->{typ}, 'refresh', 'its type');
is($long->{sid}, $claims->{sid}, 'of the same session');
is($long->{email}, undef, 'nothing about the user');

is($n->psql('SELECT version FROM config'), 1, 'nothing else was changed');


subtest 'verify-password' => sub {
    my $user = $n->signup;
    my $verify = sub {
        $n->post('/api/auth/verify-password', $_[0],
                 token => $_[1] // $user->{token})
    };

    my $r = $verify->({ password => $user->{password} });
    is_ok($r, 'the right one');
    is($r->json->{valid}, JSON::PP::true, 'valid');
    is_deeply($r->json->{data}, { valid => JSON::PP::true }, 'nothing more');

    $r = $verify->({ password => 'Passw0rD' });
    is_error($r, 401, 'UNAUTHORIZED', 'a wrong one');
    is($r->header('www-authenticate'), 'Bearer', 'the challenge');
    is_error($verify->({ password => 'x' x 73 }), 401, 'UNAUTHORIZED',
             'one longer than bcrypt reads');
    is_error($verify->({}), 400, 'VALIDATION_ERROR', 'none');
    is_error($verify->({ password => 5 }), 400, 'VALIDATION_ERROR', 'a number');
    is_error($n->post('/api/auth/verify-password', { password => 'x' }), 401,
             'UNAUTHORIZED', 'without a token');
    is(me($user->{token})->status, 200, 'the token is still good');
};


subtest 'change-password' => sub {
    my $user  = $n->signup;
    my $other = $n->signin($user);
    my $change = sub {
        my ($data, $token) = @_;
        $n->post('/api/auth/change-password',
                 { currentPassword => $user->{password},
                   newPassword     => 'An0therOne', %$data },
                 token => $token // $user->{token})
    };

    is_error($change->({ userId => $owner->{id} }), 403, 'FORBIDDEN',
             q(somebody else's));
    is_error($change->({ userId => $user->{id} }, $owner->{token}), 403,
             'FORBIDDEN', 'not for the owner either');
    is_error($change->({ userId => 'nobody' }), 403, 'FORBIDDEN',
             'a user id that is none');
    is_error($change->({ userId => 1 }), 400, 'VALIDATION_ERROR',
             'a number as user id');
    is_error($change->({ currentPassword => 'Wr0ngOne' }), 401, 'UNAUTHORIZED',
             'a wrong password');
    for my $case (['short', 'Sh0rt', 'length'], ['long', 'Aa1' x 25, 'length'],
                  ['without a digit', 'NoDigitHere', 'format'],
                  ['in small letters', 'small1etters', 'format'])
    {
        my $r = $change->({ newPassword => $case->[1] });
        is_error($r, 400, 'VALIDATION_ERROR', "a new one: $case->[0]");
        is_deeply([@{ $r->json->{details} }{qw(field constraint)}],
                  ['newPassword', $case->[2]], 'why');
    }
    is(me($user->{token})->status, 200, 'nothing has happened so far');

    my $r = $change->({ userId => uc $user->{id} });
    is_ok($r, 'changed');
    my $body = $r->json;
    is($body->{message}, 'Password updated successfully', 'message');
    is_deeply([sort keys %{ $body->{data} }],
              [qw(accessToken expiresIn message refreshToken)], 'a fresh pair');
    is($body->{expiresIn}, 86400, 'its life');
    is(claims_of($body->{accessToken})->{ver}, 2, 'the version is raised');

    is_invalid(me($user->{token}), 'the token that changed it: at once');
    ok(wait_for(sub { me($other->{token})->status == 401 }, 3),
       'another session');
    is_invalid(refresh($user->{refresh}), 'its refresh token');
    is_invalid(refresh($other->{refresh}), q(the other's));
    is_ok(me($body->{accessToken}), 'the fresh one');
    is_ok(refresh($body->{refreshToken}), 'and its refresh token');

    is($n->post('/api/auth/signin', $user)->status, 401, 'the old password');
    $user->{password} = 'An0therOne';
    is($n->post('/api/auth/signin', $user)->status, 200, 'the new one');

    is_deeply([$n->rows("SELECT entry::jsonb ->> 'action', entry::jsonb #>> '{actor,id}'
                           FROM audit_log WHERE entry::jsonb ->> 'action'
                                = 'password_change'")],
              [['password_change', $user->{id}]], 'in the audit log, once');
};


subtest 'two changes at once: one of them' => sub {
    my $user = $n->signup;
    my @answers = $n->parallel(map {
        ['POST', '/api/auth/change-password', token => $user->{token},
         json => { currentPassword => $user->{password},
                   newPassword     => "An0ther$_" }] } 1 .. 6);
    my @done = grep { $_->status == 200 } @answers;

    is(scalar @done, 1, 'one has won');
    is(scalar(grep { $_->status == 401 } @answers), 5, 'the others are refused');
    is_ok(me($done[0]->json->{accessToken}), q(the winner's pair is good));
};


subtest 'sign-out of one session' => sub {
    my $user  = $n->signup;
    my $other = $n->signin($user);

    my $r = $n->post('/api/auth/signout', {}, token => $user->{token});
    is_ok($r, 'signed out');
    is($r->header('set-cookie'), undef, 'no cookies');
    is_invalid(me($user->{token}), 'its access token: at once');
    is_invalid(refresh($user->{refresh}), 'its refresh token');
    is_ok(me($other->{token}), 'the other session');
    is_invalid($n->post('/api/auth/signout', {}, token => $user->{token}),
               'twice');

    is_ok($n->http('POST', '/api/auth/signout', token => $other->{token}),
          'without a body');
    is_invalid(me($other->{token}), 'that one too');
    is_error($n->post('/api/auth/signout', {}), 401, 'UNAUTHORIZED',
             'without a token');
};


subtest 'sign-out everywhere' => sub {
    my $user  = $n->signup;
    my @other = map { $n->signin($user) } 1 .. 2;

    is_error($n->post('/api/auth/signout', { everywhere => 'yes' },
                      token => $user->{token}), 400, 'VALIDATION_ERROR',
             'everywhere is a boolean');
    is_ok($n->post('/api/auth/signout', { everywhere => JSON::PP::true },
                   token => $user->{token}), 'signed out');
    is_invalid(me($user->{token}), 'at once');

    for (@other) {
        my $token = $_->{token};
        ok(wait_for(sub { me($token)->status == 401 }, 3), 'another session');
        is_invalid(refresh($_->{refresh}), 'its refresh token');
    }
    is_ok(me($n->signin($user)->{token}), 'a new one');
    is_ok(me($owner->{token}), 'nobody else');
};


subtest 'refresh' => sub {
    my $user = $n->signup;

    my $r = refresh($user->{refresh});
    is_ok($r, 'a new pair');
    my $next = $r->json;
    is($next->{user}{id}, $user->{id}, 'the user');
    isnt($next->{refreshToken}, $user->{refresh}, 'another refresh token');
    is(claims_of($next->{refreshToken})->{sid},
       claims_of($user->{refresh})->{sid}, 'of the same session');
    is_ok(me($next->{accessToken}), 'the new access token');
    is_ok(me($user->{token}), 'the old one lives on');

    my $again = refresh($user->{refresh});
    is_ok($again, 'the same again, within 10 seconds');
    is($again->json->{refreshToken}, $next->{refreshToken},
       'the same successor');
    is_ok(refresh($next->{refreshToken}), 'which is good');

    is_invalid(refresh($user->{refresh}), 'one that is older than the last');
    is_invalid(refresh($next->{refreshToken}), 'that ends the family');
    ok(wait_for(sub { me($next->{accessToken})->status == 401 }, 3),
       'and its access tokens');
    is($n->psql("SELECT count(*) FROM audit_log WHERE entry::jsonb ->> 'action'
                 = 'refresh_reuse'"), 1, 'the audit log has it');

    my $late = $n->signup;
    my $new  = refresh($late->{refresh})->json->{refreshToken};
    $n->psql("UPDATE sessions SET used_at = used_at - interval '11 seconds'
               WHERE user_id = '$late->{id}'");
    is_invalid(refresh($late->{refresh}), 'the last one, after 11 seconds');
    is_invalid(refresh($new), 'ends the family as well');
};


subtest 'nothing but a refresh token' => sub {
    my $user  = $n->signup;
    my $token = $user->{refresh};
    my $now   = time;

    is_invalid(refresh($user->{token}), 'an access token');
    is_invalid(me($token), 'a refresh token for access');
    is_invalid(refresh(changed_token($token, $key, exp => $now - 31)),
               'expired');
    is_invalid(refresh(changed_token($token, $key, typ => 'reset')),
               'for another purpose');
    is_invalid(refresh(changed_token($token, $key, typ => undef)),
               'for no purpose');
    is_invalid(refresh(changed_token($token, $key, iat => $now + 60)),
               'from the future');
    is_invalid(refresh(changed_token($token, 'k' x 32)), 'of another key');
    is_invalid(refresh(changed_token($token, $key, sid => $user->{id})),
               'of no session');
    is_invalid(refresh($token =~ s/\.[^.]*\z/./r), 'without a signature');
    is_invalid(refresh($token =~ s/\.(.)/'.' . ($1 eq 'A' ? 'B' : 'A')/er),
               'tampered with');
    is_invalid(refresh('nonsense'), 'none at all');
    is_error($n->post('/api/auth/refresh', {}), 400, 'VALIDATION_ERROR',
             'nothing');
    is_ok(refresh($token), 'after all of that it is still good');

    my $other = $n->signup;
    is_invalid(refresh(changed_token($other->{refresh}, $key,
                                     jti => $user->{id})),
               'a token of the session that was never given out');
    is_invalid(refresh($other->{refresh}), 'ends it');
};


subtest 'an access token' => sub {
    my $user  = $n->signup;
    my $token = $user->{token};
    my $now   = time;

    is_ok(me(changed_token($token, $key, exp => $now - 20)),
          'expired within the skew');
    is_invalid(me(changed_token($token, $key, exp => $now - 31)), 'expired');
    is_invalid(me(changed_token($token, $key, iat => $now - 86400 - 40)),
               'older than access tokens get, whatever it says');
    is_invalid(me(changed_token($token, $key, nbf => $now + 60)),
               'not valid yet');
    is_invalid(me(changed_token($token, $key, ver => undef)), 'no version');
    is_invalid(me(changed_token($token, $key, ver => '1')),
               'a version that is a string');
    is_invalid(me(changed_token($token, $key, role => 'emperor')),
               'an unknown role');
    is_invalid(me(changed_token($token, $key, sid => undef)), 'no session');
    is_invalid(me(changed_token($token, $key, sub => 'me')), 'no user id');
};


subtest '50 refreshes of one token at once' => sub {
    my $user    = $n->signup;
    my @answers = $n->parallel(map {
        ['POST', '/api/auth/refresh',
         json => { refreshToken => $user->{refresh} }] } 1 .. 50);

    is(scalar(grep { $_ && $_->status == 200 } @answers), 50, 'all succeed');
    my %refresh = map { $_->json->{refreshToken} => 1 } @answers;
    is(scalar keys %refresh, 1, 'with one successor');
    is_ok(refresh(keys %refresh), 'which is good');
    is($n->psql("SELECT count(*) FROM sessions
                  WHERE user_id = '$user->{id}'"), 1, 'and one session');
};


subtest 'nothing that is a token is stored' => sub {
    my $dump = $n->psql('SELECT s.* FROM sessions s') . $n->psql(
        'SELECT users FROM users') . $n->psql('SELECT entry FROM audit_log');
    unlike($dump, qr/eyJ/, 'no token');
    unlike($dump, qr/Passw0rd|An0ther/, 'no password');
    unlike($n->error_log, qr/eyJ[\w-]+\.|Passw0rd|An0ther/, 'nor in the log');
};


subtest 'guests' => sub {
    my $guest = $n->account('guest');

    is($guest->{role}, 'guest', 'a guest');
    is_ok(me($guest->{token}), 'who one is');
    is_ok($n->post('/api/auth/verify-password', { password => 'Passw0rd' },
                   token => $guest->{token}), 'verify-password');
    is_error($n->post('/api/upload', { filename => 'a.png', size => 5,
                                       contentType => 'image/png' },
                      token => $guest->{token}), 403, 'FORBIDDEN',
             'uploads nothing');
    is_error($n->post('/api/audit', { category => 'user', action => 'x',
                                      description => 'y' },
                      token => $guest->{token}), 403, 'FORBIDDEN',
             'records nothing');
    is_ok($n->get('/api/search?q=hello', token => $guest->{token}),
          'searches');
    is_ok($n->post('/api/auth/signout', {}, token => $guest->{token}),
          'signs out');
};

finish();
