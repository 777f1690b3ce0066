# Who gets in: failed sign-ins are counted, nothing tells whether an email is
# known, old hashes work and are renewed.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Test::More;
use Time::HiRes ();
use NchatTest;

# Each subtest has accounts and addresses of its own.
my $n = NchatTest->new(
    bcrypt_cost => 5,
    http        => 'nchat_signin_limit window=8s;'
);
my $owner = $n->owner;

# signin(EMAIL, PASSWORD, ADDRESS)
sub signin {
    my ($email, $password, $from) = @_;
    return $n->post('/api/auth/signin',
                    { email => $email, password => $password },
                    on => $n->connection(from => $from // '127.0.0.1'));
}

sub statuses { join ' ', map { $_ ? $_->status : 'none' } @_ }

sub metric {
    my $name = shift;
    return $n->get('/api/metrics')->body =~ /^\Q$name\E (\d+)/m ? $1 : undef;
}

# A bcrypt hash of PASSWORD, of that kind and cost.
sub bcrypt {
    my ($password, $kind, $cost) = @_;
    return crypt $password,
                 sprintf '$%s$%02d$%s', $kind, $cost, 'abcdefghijklmnopqrstuu';
}

sub set_hash {
    my ($user, $hash) = @_;
    $n->psql("UPDATE users SET password_hash = '$hash'
               WHERE id = '$user->{id}'");
}

sub hash_of {
    my $user = shift;
    return $n->psql("SELECT password_hash FROM users WHERE id = '$user->{id}'");
}


subtest 'five failures' => sub {
    my $user   = $n->signup;
    my $email  = $user->{email};
    my $from   = '127.0.1.1';
    my $began  = Time::HiRes::time();
    my @failed = map { signin($email, 'Wr0ngOne', $from) } 1 .. 5;

    is(statuses(@failed), '401 401 401 401 401', 'are wrong passwords');
    my $hashes = metric('nchat_hashes_total{outcome="done"}');
    my $r = signin($email, $user->{password}, $from);
    is_error($r, 429, 'RATE_LIMIT_EXCEEDED', 'then the right one is refused');
    like($r->header('retry-after'), qr/^[1-8]$/, 'until the window ends');
    cmp_ok($r->header('retry-after'), '>=',
           8 - (Time::HiRes::time() - $began), 'not sooner');
    is(statuses(map { signin($_, $user->{password}, $from) }
                uc $email, " $email "), '429 429',
       'however the email is written');
    is(metric('nchat_hashes_total{outcome="done"}'), $hashes,
       'and no password is hashed');

    is(signin($email, $user->{password}, '127.0.1.2')->status, 200,
       'another address');
    is(signin($owner->{email}, $owner->{password}, $from)->status, 200,
       'another account');
    is(signin($email, $user->{password}, $from)->status, 429,
       'neither ends the window');

    ok(wait_for(sub {
        signin($email, $user->{password}, $from)->status == 200
    }, 16), 'its end does');
    cmp_ok(Time::HiRes::time() - $began, '>=', 8, 'not before its time');
};


subtest 'a success begins anew' => sub {
    my $user = $n->signup;
    my @wrong = ($user->{email}, 'Wr0ngOne', '127.0.2.1');

    for my $round (1, 2) {
        is(statuses(map { signin(@wrong) } 1 .. 4), '401 401 401 401',
           "round $round: four");
        is(signin($user->{email}, $user->{password}, '127.0.2.1')->status, 200,
           "round $round: the right one");
    }
};


subtest 'wrong passwords of the signed-in count alike' => sub {
    my $user  = $n->signup;
    my $email = $user->{email};
    my @how   = (token => $user->{token});
    my $on    = sub { (on => $n->connection(from => '127.0.3.1')) };
    my $verify = sub {
        $n->post('/api/auth/verify-password', { password => $_[0] }, @how,
                 $on->())
    };
    my $change = sub {
        $n->post('/api/auth/change-password',
                 { currentPassword => $_[0], newPassword => 'Other0ne' }, @how,
                 $on->())
    };

    is(statuses($verify->('x'), $change->('x'), $verify->('x'),
                signin($email, 'x', '127.0.3.1'), $change->('x')),
       '401 401 401 401 401', 'five');
    is_error($verify->($user->{password}), 429, 'RATE_LIMIT_EXCEEDED',
             'verify-password');
    is_error($change->($user->{password}), 429, 'RATE_LIMIT_EXCEEDED',
             'change-password');
    is(signin($email, $user->{password}, '127.0.3.1')->status, 429, 'signin');
    is_ok($n->get('/api/auth/me', @how), 'the session lives');
};


subtest 'many guesses at once' => sub {
    my $user = $n->signup;
    my @answers = $n->parallel(map {
        ['POST', '/api/auth/signin', from => '127.0.4.1',
         json => { email => $user->{email}, password => "Guess$_" }]
    } 1 .. 30);
    my %count;
    $count{ $_->status }++ for @answers;

    is_deeply(\%count, { 401 => 5, 429 => 25 }, 'five of them are looked at');
};


subtest 'nothing tells whether an email is known' => sub {
    my $user    = $n->signup;
    my $unknown = 'nobody@example.com';
    my @same    = map {
        my $email = $_;
        [map { signin($email, 'Wr0ngOne', '127.0.5.1') } 1 .. 7]
    } $user->{email}, $unknown;

    for my $i (0 .. 6) {
        my ($known, $other) = map { $_->[$i] } @same;
        my @headers = map {
            my %h = %{ $_->headers };
            delete @h{qw(date x-request-id retry-after)};
            delete @h{ grep { /ratelimit/ } keys %h };
            \%h
        } $known, $other;

        is($known->status, $i < 5 ? 401 : 429, "try $i: status");
        is($other->status, $known->status, "try $i: the same status");
        is($other->body, $known->body, "try $i: the same bytes");
        is_deeply($headers[1], $headers[0], "try $i: the same headers");
    }

    my $r = $same[0][0];
    is_error($r, 401, 'UNAUTHORIZED', 'the refusal');
    is($r->json->{error}, 'Invalid email or password', 'its text');
    is($r->json->{message}, $r->json->{error}, 'also as message');
    is($r->header('www-authenticate'), 'Bearer', 'the challenge');

    is(statuses(map { signin($_, 'Wr0ngOne', '127.0.5.2') }
                'no email at all', 'a@b', 'x' x 500),
       '401 401 401', 'what cannot be an email is nobody');
    is(signin($user->{email}, 'x' x 1000, '127.0.5.3')->status, 401,
       'a password longer than bcrypt reads');
};


subtest 'hashes of other makers' => sub {
    my $user = $n->signup;

    for my $kind (qw(2a 2b 2y)) {
        set_hash($user, bcrypt('Passw0rd', $kind, 5));
        my $before = hash_of($user);
        is_ok($n->post('/api/auth/signin', $user), "\$$kind\$");
        is(hash_of($user), $before, "\$$kind\$ is kept");
        is_ok($n->post('/api/auth/verify-password', { password => 'Passw0rd' },
                       token => $user->{token}), "\$$kind\$ verifies");
    }

    set_hash($user, bcrypt('Passw0rd', '2y', 4));
    is(signin($user->{email}, 'Wr0ngOne')->status, 401, 'a cheap one: wrong');
    like(hash_of($user), qr/^\$2y\$04\$/, 'is not renewed');
    my @answers = $n->parallel(map { ['POST', '/api/auth/signin', json => {
        email => $user->{email}, password => 'Passw0rd' }] } 1 .. 3);
    ok(scalar(grep { $_->status == 200 } @answers), 'a cheap one: right');
    like(hash_of($user), qr/^\$2b\$05\$/, 'is renewed at the cost of today');
    is_ok($n->post('/api/auth/signin', $user), 'and serves');

    set_hash($user, bcrypt('Passw0rd', '2b', 7));
    is_ok($n->post('/api/auth/signin', $user), 'a dearer one');
    like(hash_of($user), qr/^\$2b\$07\$/, 'is kept');

    for my $hash ('', 'Passw0rd', '$1$abc$xyz', '$2b$31$' . 'a' x 53,
                  substr(bcrypt('Passw0rd', '2b', 5), 0, 59))
    {
        set_hash($user, $hash);
        is(signin($user->{email}, 'Passw0rd', '127.0.6.' . ++$user->{i})
               ->status, 401, 'what is no hash of ours: ' . substr $hash, 0, 9);
    }
};


subtest 'deactivated accounts' => sub {
    my $user = $n->signup;
    $n->psql("SELECT * FROM nchat_operator_user_status('$user->{id}',
                                                       'deactivated', 'me')");

    is(signin($user->{email}, 'Wr0ngOne')->status, 401,
       'who does not know the password learns nothing');
    is_error($n->post('/api/auth/signin', $user), 403, 'FORBIDDEN', 'who does');
    $n->psql("SELECT * FROM nchat_operator_user_status('$user->{id}', 'active',
                                                       'me')");
    is_ok($n->post('/api/auth/signin', $user), 'activated again');
};


subtest 'metrics and audit log' => sub {
    my $before = metric('nchat_signins_total{outcome="failed"}');
    my $user   = $n->signup;
    signin($user->{email}, 'Wr0ngOne');
    signin('nobody@example.org', 'Wr0ngOne');
    is(metric('nchat_signins_total{outcome="failed"}') - $before, 2, 'counted');

    my @entries = map { decode_json($_->[0]) } $n->rows(
        "SELECT entry FROM audit_log WHERE entry::jsonb ->> 'action'
         = 'signin_failed' ORDER BY seq DESC LIMIT 2");
    is_deeply([map { $_->{resource}{id} } @entries], [undef, $user->{id}],
              'recorded, with the account where there is one');
    is_deeply([map { [@$_{qw(success severity ipAddress)}] } @entries],
              [([JSON::PP::false, 'warning', '127.0.0.1']) x 2], 'and where from');
};

$n->stop;


subtest '50 failures for one email, from anywhere' => sub {
    my $n = NchatTest->new;
    my $user = $n->signup;
    my $try = sub {
        my ($email, $password, $from) = @_;
        $n->post('/api/auth/signin', { email => $email, password => $password },
                 on => $n->connection(from => $from))->status
    };

    for my $email ($user->{email}, 'nobody@example.com') {
        my %count;
        for my $address (1 .. 10) {
            $count{ $try->($email, 'Wr0ngOne', "127.1.0.$address") }++
                for 1 .. 5;
        }
        is_deeply(\%count, { 401 => 50 }, '50 from ten addresses');
        is($try->($email, $user->{password}, '127.1.0.99'), 429,
           'then nobody, also with the right password');
    }

    is($n->signup->{role}, 'member', 'other accounts');
    $n->stop;
};


subtest 'the time says nothing' => sub {
    my $n = NchatTest->new(
        workers => 1, bcrypt_cost => 9,
        http    => 'nchat_signin_limit address=100000 email=100000;');
    my %email = (unknown => 'nobody@example.com');

    for my $kind (qw(known cheap broken none)) {
        $email{$kind} = $n->signup->{email};
    }

    my $set = sub {
        $n->psql("UPDATE users SET password_hash = $_[1]
                   WHERE email = '$email{$_[0]}'");
    };
    $set->(cheap  => "'" . bcrypt('Passw0rd', '2b', 5) . "'");
    $set->(broken => "'nonsense'");
    $set->(none   => 'NULL');

    my %times;
    my $connection = $n->connection;
    for my $round (1 .. 15) {
        for my $kind (sort keys %email) {
            my $r = $n->post('/api/auth/signin',
                             { email => $email{$kind}, password => 'Wr0ngOne' },
                             on => $connection);
            is($r->status, 401, $kind) if $round == 1;
            push @{ $times{$kind} }, $r->time;
        }
    }

    my %median = map {
        my @sorted = sort { $a <=> $b } @{ $times{$_} };
        $_ => $sorted[7]
    } keys %times;

    for my $kind (sort keys %median) {
        my $ratio = $median{$kind} / $median{known};
        note(sprintf '%-8s %.1f ms', $kind, 1000 * $median{$kind});
        ok($ratio > 0.6 && $ratio < 1.7, "$kind takes as long as a known one");
    }

    cmp_ok($median{known}, '>', 5 * $n->get('/api/auth/me')->time,
           'which is hashing');
    $n->stop;
};


subtest 'a full hashing queue' => sub {
    my $n = NchatTest->new(
        workers => 1, bcrypt_cost => 10,
        http    => 'nchat_signin_limit address=1000;',
        set     => { thread_pool => 'thread_pool nchat threads=1 max_queue=3;' }
    );
    my $user    = $n->owner;
    my @answers = $n->parallel((map {
        ['POST', '/api/auth/signin', json => {
            email => $user->{email}, password => $user->{password} }]
    } 1 .. 25), ['GET', '/api/auth/me', token => $user->{token}]);
    my $me = pop @answers;
    my %count;
    $count{ $_->status }++ for @answers;

    is_deeply([sort keys %count], [200, 503], 'sign-ins, or 503');
    cmp_ok($count{200}, '>=', 4, 'those that fit are served');
    my ($busy) = grep { $_->status == 503 } @answers;
    is_error($busy, 503, 'SERVICE_UNAVAILABLE', 'the others are told at once');
    ok($busy->header('retry-after'), 'when to come again');
    is_ok($me, 'who hashes nothing is served');
    is_ok($n->post('/api/auth/signin', $user), 'afterwards all is well');
    my ($refused) = $n->get('/api/metrics')->body
                    =~ /^nchat_hashes_total\{outcome="refused"\} (\d+)/m;
    is($refused, $count{503}, 'counted');
    $n->stop;
};


subtest 'letters with a case that ASCII does not have' => sub {
    my $n = NchatTest->new;
    $n->owner;
    my $user = $n->signup(email => "\x{e4}rger-$$\@example.com");
    my $try = sub {
        $n->post('/api/auth/signin', { email => $_[0], password => $_[1] })
          ->status
    };
    my $upper = "\x{c4}RGER-$$\@example.com";

    is($try->($upper, $user->{password}), 200, 'the same account');
    is(join(' ', map { $try->($_, 'Wr0ngOne') }
                 ($user->{email}, $upper) x 3), '401 401 401 401 401 429',
       'with tries of its own for none');
    $n->stop;
};

finish();
