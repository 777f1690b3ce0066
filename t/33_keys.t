# Keys: rotation, and those of an existing identity service.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Test::More;
use NchatTest;
use NchatTest::Cluster qw(slurp spew);
use NchatTest::Token;

my $folder = File::Temp->newdir('nchat-keys-XXXXXX', TMPDIR => 1);
my $iss    = 'https://id.example.com/';
my %secret = (old => 'old-secret-' . 'o' x 32, new => 'new-secret-' . 'n' x 32);

spew("$folder/$_.key", "$secret{$_}\n") for keys %secret;
my ($rsa, $rsa_public) = make_key_pair("$folder", 'rsa', 'RS256');
my ($ec,  $ec_public)  = make_key_pair("$folder", 'ec', 'ES256');
my ($odd)              = make_key_pair("$folder", 'odd', 'RS256');

sub own { "nchat_jwt_key file:$folder/$_[0].key kid=$_[0];\n" }

my %external = (
    RS256 => "nchat_jwt_key file:$rsa_public alg=RS256 kid=rsa iss=$iss"
             . " aud=nchat roles=staff:moderator,acme:boss:admin;\n",
    ES256 => "nchat_jwt_key file:$ec_public alg=ES256 iss=urn:other aud=nchat;\n"
);

my $n = NchatTest->new(set => { nchat_jwt_key => '' }, http => own('old'));
my $owner = $n->owner;

sub me { $n->get('/api/auth/me', token => $_[0]) }

sub is_invalid {
    my ($token, $name) = @_;
    is_error(me($token), 401, 'INVALID_TOKEN', $name);
}

sub admin {
    local $ENV{NCHAT_DATABASE_URL} = $n->database_url;
    system("$NchatTest::root/bin/nchat-admin @_ >/dev/null") == 0
        or die "nchat-admin @_ failed\n";
}


subtest 'rotation' => sub {
    is(header_of($owner->{token})->{kid}, 'old', 'tokens name their key');

    $n->reconfigure(http => own('new') . own('old'));
    is_ok(me($owner->{token}), 'a token of the second key');
    my $again = $n->signin($owner);
    is(header_of($again->{token})->{kid}, 'new', 'the first key signs');
    is_ok(me($again->{token}), 'its tokens are good');
    my $r = $n->post('/api/auth/refresh',
                     { refreshToken => $owner->{refresh} });
    is_ok($r, 'a refresh token of the second key');
    is(header_of($r->json->{$_})->{kid}, 'new', "gives a new $_")
        for qw(accessToken refreshToken);

    my $claims = claims_of($owner->{token});
    is_ok(me(sign_token($secret{old}, $claims)), 'a token that names no key');
    is_invalid(sign_token($secret{old}, $claims, kid => 'new'),
               'one that names another key');
    is_invalid(sign_token($secret{old}, $claims, kid => 'none'),
               'one that names an unknown key');

    $n->reconfigure(http => own('new'));
    is_invalid($owner->{token}, 'a token of a key that is gone');
    is_error($n->post('/api/auth/refresh', { refreshToken => $owner->{refresh} }),
             401, 'INVALID_TOKEN', 'a refresh token');
    is_invalid(sign_token($secret{old}, $claims), 'nor without a name');
    is_ok(me($again->{token}), 'of the key that is left');
    $owner = $again;
};


subtest 'tokens of an identity service' => sub {
    $n->reconfigure(http => own('new') . $external{RS256} . $external{ES256});
    is_ok(me($owner->{token}), 'our own tokens');

    my $user  = $n->signup;
    my $other = $n->signup;
    my $now   = time;

    # theirs(CLAIM => VALUE...): of the service that signs with RS256
    my $theirs = sub {
        my %claims = (iss => $iss, aud => 'nchat', sub => 'user|1',
                      exp => $now + 600, email => 'theirs@example.com', @_);
        delete @claims{ grep { !defined $claims{$_} } keys %claims };
        sign_token($rsa, \%claims, alg => 'RS256', kid => 'rsa')
    };

    is_invalid($theirs->(), 'somebody whom nobody here knows');
    admin('user', 'link', $user->{email}, $iss, "'user|1'");

    my $r = me($theirs->());
    is_ok($r, 'linked');
    is_deeply([@{ $r->json->{user} }{qw(id email role)}],
              [$user->{id}, $user->{email}, 'member'], 'it is our user');
    is_ok(me($theirs->(aud => ['x', 'nchat'])), 'one audience of several');
    is_ok(me($theirs->(iat => $now, nbf => $now, ver => 1)), 'more claims');

    my $ec_token = sign_token($ec, { iss => 'urn:other', aud => 'nchat',
                                     sub => 'user|1', exp => $now + 600 },
                              alg => 'ES256');
    is_invalid($ec_token, 'the same subject of another issuer');
    admin('user', 'link', $other->{username}, 'urn:other', "'user|1'");
    is(me($ec_token)->json->{user}{id}, $other->{id}, 'is somebody else');

    is_invalid($theirs->(%{ $_->[1] }), $_->[0]) for (
        ['expired',           { exp => $now - 31 }],
        ['without an expiry', { exp => undef }],
        ['not valid yet',     { nbf => $now + 60 }],
        ['from the future',   { iat => $now + 60 }],
        ['of another issuer', { iss => 'urn:other' }],
        ['of no issuer',      { iss => undef }],
        ['for others',        { aud => 'them' }],
        ['for others, a list', { aud => ['them', 'nchat2'] }],
        ['for nobody',        { aud => undef }],
        ['of nobody',         { sub => undef }],
        ['of an empty name',  { sub => '' }]);

    # roles

    my $history = sub {
        $n->get('/api/config?history=true', token => $theirs->(role => $_[0]))
          ->status
    };
    is(me($theirs->(role => 'staff'))->json->{user}{role}, 'moderator',
       'a role that is mapped');
    is(me($theirs->(role => $_))->json->{user}{role}, 'member',
       "the role $_ is not") for qw(owner admin boss Staff);
    is($history->('staff'), 403, 'too low a role');
    is($history->('acme:boss'), 200, 'one with a colon, mapped to admin');
    admin('user', 'role', $user->{email}, 'admin');
    ok(wait_for(sub { $history->('nothing') == 200 }, 3),
       'the role that the user has here');
    is($history->('staff'), 403, 'the mapped one counts before it');
    admin('user', 'role', $user->{email}, 'guest');
    ok(wait_for(sub { me($theirs->())->json->{user}{role} eq 'guest' }, 3),
       'a change, soon');

    # no database read per request

    my $misses = sub {
        $n->get('/api/metrics')->body
            =~ /^nchat_cache_total\{cache="session",result="miss"\} (\d+)/m
    };
    is_ok(me($theirs->()), 'one request finds out who it is');
    my ($before) = $misses->();
    is(join(' ', map { me($theirs->())->status } 1 .. 20),
       join(' ', (200) x 20), 'twenty more');
    cmp_ok(($misses->())[0] - $before, '<', 5, 'are remembered');
    is($history->('acme:boss'), 200, 'what is remembered has no role');
    is($history->('staff'), 403, 'but the token its own');

    # nothing but access

    is_error($n->post('/api/auth/refresh', { refreshToken => $theirs->() }), 401,
             'INVALID_TOKEN', 'it refreshes nothing');
    is_ok($n->post('/api/auth/signout', {}, token => $theirs->()), 'sign-out');
    is_ok(me($theirs->()), 'has no session to end');
    is_ok(me($user->{token} = $n->signin($user)->{token}),
          'the user signs in here too');

    # their end

    admin('user', 'deactivate', $user->{email});
    ok(wait_for(sub { me($theirs->())->status == 401 }, 3), 'deactivated');
    is_invalid($theirs->(), 'the code');
    admin('user', 'activate', $user->{email});
    is_ok(me($theirs->()), 'activated');
    admin('user', 'unlink', $user->{email});
    ok(wait_for(sub { me($theirs->())->status == 401 }, 3), 'no longer linked');
};


subtest 'no algorithm but the key\'s own' => sub {
    my $user   = $n->signup;
    my $now    = time;
    my $claims = claims_of($owner->{token});
    my $pem    = slurp($rsa_public);
    my %theirs = (iss => $iss, aud => 'nchat', sub => 'user|9',
                  exp => $now + 600);
    admin('user', 'link', $user->{email}, $iss, "'user|9'");
    is_ok(me(sign_token($rsa, \%theirs, alg => 'RS256')), 'theirs, as it should be');

    for my $secret ($pem, $pem =~ s/\n\z//r) {
        for my $kid ([], [kid => 'rsa'], [kid => 'new']) {
            is_invalid(sign_token($secret, $_, @$kid),
                       'HS256 by the text of a public key')
                for $claims, \%theirs;
        }
    }

    for my $alg (qw(none None HS384 HS512 RS384 PS256 ES384 hs256), '') {
        is_invalid(sign_token($secret{new}, $claims, alg => $alg,
                              real => $alg eq 'none' ? 'none' : 'HS256'),
                   "ours, saying \"$alg\"");
        is_invalid(sign_token($rsa, \%theirs, alg => $alg, real => 'RS256'),
                   "theirs, saying \"$alg\"");
    }

    is_invalid(sign_token($secret{new}, $claims, alg => 'RS256', real => 'HS256'),
               'ours, saying RS256');
    is_invalid(sign_token($rsa, \%theirs, alg => 'HS256', real => 'RS256'),
               'theirs, saying HS256');
    is_invalid(sign_token($rsa, \%theirs, alg => 'ES256', real => 'RS256'),
               'theirs, saying ES256');
    is_invalid(sign_token($ec, \%theirs, alg => 'ES256'),
               'theirs, by the key of another service');
    is_invalid(sign_token($odd, \%theirs, alg => 'RS256'), 'by an unknown key');
    is_invalid(sign_token($rsa, $claims, alg => 'RS256'),
               'our claims, by their key');
    is_invalid(sign_token($rsa, { %$claims, iss => $iss, aud => 'nchat' },
                          alg => 'RS256'),
               'our claims and theirs, by their key');
    is_invalid(sign_token($secret{new}, \%theirs), 'their claims, by our key');
    is_invalid(sign_token($secret{new}, $claims, jwk => { kty => 'oct', k => 'a' },
                          crit => ['exp']), 'a header that must be understood');
};


subtest 'what nginx refuses to start with' => sub {
    $n->allow(qr/nchat_jwt_key|needs a key to sign/);

    for my $case (
        ['a public key without iss and aud',
         own('new') . "nchat_jwt_key file:$rsa_public alg=RS256;",
         qr/needs iss= and aud=/],
        ['nothing to sign with', $external{RS256}, qr/needs a key to sign/],
        ['a secret as RS256',
         "nchat_jwt_key file:$folder/new.key alg=RS256 iss=a aud=b;",
         qr/nchat_jwt_key/],
        ['a public key as a secret', "nchat_jwt_key file:$rsa_public;",
         qr/nchat_jwt_key/],
        ['the owner by a mapped role', own('new')
         . "nchat_jwt_key file:$rsa_public alg=RS256 iss=a aud=b roles=x:owner;",
         qr/roles=/],
        ['a file that is missing', 'nchat_jwt_key file:/nowhere;',
         qr/nchat_jwt_key/])
    {
        my ($name, $http, $message) = @$case;
        eval { $n->reconfigure(http => $http) };
        like($@, $message, $name);
        unlike($@, qr/nnnn|BEGIN/, 'and shows no key');
    }

    is_ok(me($owner->{token}), 'what runs goes on');
};

finish();
