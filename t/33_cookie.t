# nchat_cookie: the access token as a cookie, for pages of the same origin.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n     = NchatTest->new(http => 'nchat_cookie nchat_session;');
my $user  = $n->owner;
my $host  = 'localhost:' . $n->port;
my @same  = ('Sec-Fetch-Site' => 'same-origin');
my $flags = 'Secure; HttpOnly; SameSite=Lax; Path=/';

sub cookie { "nchat_session=$_[0]" }

# with(COOKIE, HEADER => VALUE...)
sub with {
    my ($cookie, @headers) = @_;
    return (headers => { Cookie => $cookie, @headers });
}

# post(TOKEN, HEADER => VALUE...): something that changes state
sub post {
    my ($token, @headers) = @_;
    return $n->post('/api/auth/verify-password',
                    { password => $user->{password} },
                    with(cookie($token), @headers));
}


subtest 'who signs in gets it' => sub {
    my %how = (
        signin  => ['/api/auth/signin', $user],
        signup  => ['/api/auth/signup', { email => 'c@example.com',
                    username => 'cookie', password => 'Passw0rd' }],
        refresh => ['/api/auth/refresh', { refreshToken => $user->{refresh} }]
    );

    for my $name (sort keys %how) {
        my $r = $n->post(@{ $how{$name} });
        is($r->header('set-cookie'),
           cookie($r->json->{accessToken}) . "; Max-Age=86400; $flags", $name);
        is($r->header('cache-control'), 'no-store', "$name: not to be stored");
    }

    for my $site ('cross-site', 'same-site') {
        my $r = $n->post('/api/auth/signin', $user,
                         headers => { 'Sec-Fetch-Site' => $site });
        is_ok($r, "a page of somebody else ($site) signs in");
        is($r->header('set-cookie'), undef, 'but leaves no cookie');
    }
    is($n->post('/api/auth/signin', $user,
                headers => { Origin => 'https://evil.example' })
         ->header('set-cookie'), undef, 'nor one of an older browser');
    is($n->post('/api/auth/signin', { %$user, password => 'x' })
         ->header('set-cookie'), undef, 'nor for a wrong password');
};


subtest 'it is accepted where the header is missing' => sub {
    my $cookie = cookie($user->{token});
    my $me = sub { $n->get('/api/auth/me', @_) };

    is($me->(with($cookie))->json->{user}{id}, $user->{id}, 'alone');
    is($me->(with("a=b; $cookie; c=d"))->status, 200, 'among others');
    is_error($me->(with("x$cookie")), 401, 'UNAUTHORIZED', 'another name');
    is_error($me->(), 401, 'UNAUTHORIZED', 'none');
    is_error($me->(with(cookie('nonsense'))), 401, 'INVALID_TOKEN', 'nonsense');
    is_error($me->(with(cookie($user->{refresh}))), 401, 'INVALID_TOKEN',
             'a refresh token');
    is($n->get('/api/search?q=hello', with(cookie('')))->status, 200,
       'an empty one is none');
    is_error($n->get('/api/search?q=hello', with(cookie('x'))), 401,
             'INVALID_TOKEN', 'a bad one is not anonymous');

    is_error($me->(with($cookie, Authorization => 'Bearer x')), 401,
             'INVALID_TOKEN', 'a bad header, whatever the cookie');
    is_error($me->(with($cookie, Authorization => 'Basic x')), 401,
             'INVALID_TOKEN', 'a header of another kind');
    is($me->(with(cookie('x'), Authorization => "Bearer $user->{token}"))->status,
       200, 'a good header, whatever the cookie');
    is($n->head('/api/auth/me', with($cookie))->status, 200, 'HEAD');
};


subtest 'what changes state comes from the same origin' => sub {
    my $token = $user->{token};

    is_error(post($token), 403, 'FORBIDDEN', 'nothing says so');
    is_error(post($token, 'Sec-Fetch-Site' => $_), 403, 'FORBIDDEN',
             "Sec-Fetch-Site: $_") for qw(cross-site same-site none Same-Origin);
    is_ok(post($token, @same), 'Sec-Fetch-Site: same-origin');
    is_error(post($token, 'Sec-Fetch-Site' => 'cross-site',
                  Origin => "http://$host"), 403, 'FORBIDDEN',
             'it counts before Origin');

    is_ok(post($token, Origin => $_), "Origin: $_")
        for "http://$host", "https://$host", 'HTTP://' . uc $host;
    is_error(post($token, Origin => $_), 403, 'FORBIDDEN', "Origin: $_")
        for 'null', 'http://evil.example', "http://evil-$host", "http://${host}0",
            'http://localhost', $host, "://$host", "ftp://$host",
            "http://evil.example/://$host", "http://a\@$host";

    is_ok($n->post('/api/auth/verify-password',
                   { password => $user->{password} }, token => $token,
                   headers => { Origin => 'http://evil.example' }),
          'with the header there is nothing to fear');
    is_ok($n->post('/api/auth/signin', $user, with(cookie($token))),
          'nor where nobody needs to be signed in');
};


subtest 'it follows the session' => sub {
    my $member = $n->signup;

    my $r = $n->post('/api/auth/change-password',
                     { currentPassword => 'Passw0rd', newPassword => 'Other0ne' },
                     with(cookie($member->{token}), @same));
    is_ok($r, 'a new password');
    my $token = $r->json->{accessToken};
    is($r->header('set-cookie'), cookie($token) . "; Max-Age=86400; $flags",
       'and a new cookie');
    is_error($n->get('/api/auth/me', with(cookie($member->{token}))), 401,
             'INVALID_TOKEN', 'the old one has ended');

    is_error($n->post('/api/auth/signout', {}, with(cookie($token))), 403,
             'FORBIDDEN', 'nobody else signs out');
    $r = $n->post('/api/auth/signout', {}, with(cookie($token), @same));
    is_ok($r, 'sign-out');
    is($r->header('set-cookie'), cookie('') . "; Max-Age=0; $flags",
       'clears the cookie');
    is_error($n->get('/api/auth/me', with(cookie($token))), 401,
             'INVALID_TOKEN', 'whose session has ended');
};


subtest 'as the operator wants it' => sub {
    $n->reconfigure(http => 'nchat_cookie __Host-n "Secure; HttpOnly; Path=/; '
                            . 'SameSite=Strict";
                             nchat_token_lifetime access=1h;
                             nchat_public_url https://chat.example.com/nchat;');
    my $r = $n->post('/api/auth/signin', $user);
    is($r->header('set-cookie'),
       '__Host-n=' . $r->json->{accessToken}
       . '; Max-Age=3600; Secure; HttpOnly; Path=/; SameSite=Strict',
       'name, flags and life');

    my $try = sub {
        $n->post('/api/auth/verify-password', { password => $user->{password} },
                 with('__Host-n=' . $r->json->{accessToken}, Origin => $_[0]))
          ->status
    };
    is($try->('https://chat.example.com'), 200, 'the public URL, by a proxy');
    is($try->("https://$host"), 200, 'the Host');
    is($try->("http://$host"), 403, 'which has TLS');
    is($try->($_), 403, $_) for 'https://chat.example.co', 'http://chat.example.com',
        'https://chat.example.com.evil.example';

    $n->allow(qr/nchat_cookie/);
    for my $name ('"a b"', 'a=b', '""', '"a;b"') {
        eval { $n->reconfigure(http => "nchat_cookie $name;") };
        like($@, qr/cannot be a cookie's name/, "$name is refused");
    }
};

finish();
