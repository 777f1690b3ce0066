# Ended means ended: on every worker of every node within a second, without a
# database read per request, and never the other way round.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use NchatTest;
use NchatTest::Token;

my $here  = NchatTest->new(workers => 2);
my $there = NchatTest->new(workers => 2, share => $here);
my $owner = $here->owner;
my $role  = $here->psql('SELECT nchat_module_role()');

my @took;

sub me { $_[0]->get('/api/auth/me', token => $_[1]) }

# answers(NODE, TOKEN): how often which status, from both of its workers.
sub answers {
    my ($n, $token) = @_;
    my %count;

    $count{ $_->status }++ for $n->parallel(
        map { ['GET', '/api/auth/me', token => $token] } 1 .. 8);
    return join ' ', map { "$_ x$count{$_}" } sort keys %count;
}

# is_gone(NAME, TOKEN...): from now on these end everywhere.
sub is_gone {
    my ($name, @tokens) = @_;
    my $began = time;

    for my $n ($here, $there) {
        for my $token (@tokens) {
            ok(wait_for(sub { answers($n, $token) eq '401 x8' }, 4),
               "$name: ended on " . ($n == $here ? 'this' : 'the other') . ' node');
            push @took, time - $began;
            is(me($n, $token)->code, 'INVALID_TOKEN', "$name: the code");
        }
    }
}

sub admin {
    my @arguments = @_;
    local $ENV{NCHAT_DATABASE_URL} = $here->database_url;

    open my $pipe, '-|', "$NchatTest::root/bin/nchat-admin", '--json', @arguments
        or die "nchat-admin: $!\n";
    my $output = do { local $/; <$pipe> };
    close $pipe or die "nchat-admin @arguments: $output\n";
    return decode_json($output);
}

# counter(NODE, RESULT): look-ups of sessions that the zone could answer (hit),
# or the database had to (miss).
sub counter {
    my ($n, $result) = @_;
    return $n->get('/api/metrics')->body
           =~ /^nchat_cache_total\{cache="session",result="$result"\} (\d+)/m
           ? $1 : die "no such metric\n";
}

# is_settled(NODE): until it knows by itself.
sub is_settled {
    my ($n, $token) = @_;
    return wait_for(sub {
        my $before = counter($n, 'hit');
        me($n, $token);
        counter($n, 'hit') > $before
    }, 10);
}

# locked(CODE): while nobody can read users or sessions.
sub locked {
    my $code = shift;
    my $pid  = fork // die "fork: $!\n";

    if (!$pid) {
        open STDERR, '>', '/dev/null';
        eval { $here->psql('BEGIN; LOCK users, sessions; SELECT pg_sleep(20)') };
        require POSIX;
        POSIX::_exit(0);
    }

    wait_for(sub {
        $here->psql("SELECT count(*) FROM pg_stat_activity WHERE datname
                  = current_database() AND wait_event = 'PgSleep'")
    }, 10) or die "no lock\n";
    $code->();
    $here->psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event = 'PgSleep'");
    waitpid $pid, 0;
}

# What terminating the module's sessions takes.
$here->psql("GRANT $role TO CURRENT_USER");

sub kill_listeners {
    $here->psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database()
                 AND application_name LIKE 'nchat listen%'");
}


subtest 'what ends, ends on every worker of every node' => sub {
    my $user = $here->signup;
    my @open = map { $_->signin($user) } $here, $there;
    my $r    = $here->post('/api/auth/change-password',
                        { currentPassword => 'Passw0rd', newPassword => 'Other0ne' },
                        token => $user->{token});
    is_gone('a password change', map { $_->{token} } $user, @open);
    is(answers($there, $r->json->{accessToken}), '200 x8', 'not the fresh pair');

    $user = $here->signup;
    @open = map { $_->signin($user) } $here, $there;
    $there->post('/api/auth/signout', { everywhere => JSON::PP::true },
             token => $open[1]{token});
    is_gone('a sign-out everywhere', map { $_->{token} } $user, @open);

    $user = $here->signup;
    my $other = $there->signin($user);
    $here->post('/api/auth/signout', {}, token => $user->{token});
    is_gone('a sign-out', $user->{token});
    is(answers($_, $other->{token}), '200 x8', 'not the other session')
        for $here, $there;

    $user  = $here->signup;
    $other = $there->signin($user);
    $there->post('/api/auth/refresh', { refreshToken => $other->{refresh} });
    $there->post('/api/auth/refresh', { refreshToken => $_ }) for map {
        $there->post('/api/auth/refresh', { refreshToken => $_ })->json
          ->{refreshToken} } $other->{refresh};
    $here->post('/api/auth/refresh', { refreshToken => $other->{refresh} });
    is_gone('a reused refresh token', $other->{token});
    is(answers($there, $user->{token}), '200 x8', 'not the other session');

    $user = $here->signup;
    is(admin('user', 'role', $user->{email}, 'moderator')->{role}, 'moderator',
       'nchat-admin user role');
    is_gone('a role change', $user->{token});
    $r = $there->post('/api/auth/refresh', { refreshToken => $user->{refresh} });
    is_ok($r, 'the session goes on');
    is(claims_of($r->json->{accessToken})->{role}, 'moderator',
       'in the new role');
    is(answers($here, $r->json->{accessToken}), '200 x8', 'everywhere');

    $user = $here->signup;
    is(admin('user', 'deactivate', $user->{username})->{status}, 'deactivated',
       'nchat-admin user deactivate');
    is_gone('a deactivation', $user->{token});
    is_error($here->post('/api/auth/refresh', { refreshToken => $user->{refresh} }),
             401, 'INVALID_TOKEN', 'nothing is refreshed');
    is_error($here->post('/api/auth/signin', $user), 403, 'FORBIDDEN',
             'nobody signs in');
    is(admin('user', 'activate', $user->{id})->{status}, 'active',
       'nchat-admin user activate');
    is(answers($here, $user->{token}), '401 x8', 'what has ended stays ended');
    is(answers($there, $here->signin($user)->{token}), '200 x8', 'a new session');

    @took = sort { $a <=> $b } @took;
    my $median = $took[$#took / 2];
    note(sprintf 'ended after %.3f s (median), %.3f s at most', $median,
         $took[-1]);
    cmp_ok($median, '<', 1, 'within a second');
};


subtest 'no database read per request' => sub {
    my $live = $here->signup;
    my $gone = $here->signup;
    $there->post('/api/auth/signout', {}, token => $gone->{token});
    is_settled($_, $live->{token}) for $here, $there;

    locked(sub {
        my %before = map { $_ => counter($here, $_) } qw(hit miss);
        my $began  = time;

        is(answers($_, $live->{token}), '200 x8', 'who is signed in')
            for ($here, $there) x 5;
        is(answers($_, $gone->{token}), '401 x8', 'who is not') for $here, $there;
        cmp_ok(time - $began, '<', 15, 'while no account can be read');
        is(counter($here, 'hit') - $before{hit}, 40, 'the zone knew');
        is(counter($here, 'miss') - $before{miss}, 0, 'every time');
    });
};


subtest 'a node that starts' => sub {
    my $live = $here->signup;
    my $gone = $here->signup;
    $here->post('/api/auth/signout', { everywhere => JSON::PP::true },
             token => $gone->{token});

    my $c = NchatTest->new(share => $here);
    is(answers($c, $gone->{token}), '401 x8', 'what has ended before');
    is(answers($c, $live->{token}), '200 x8', 'what has not');
    ok(is_settled($c, $live->{token}), 'knows by itself');
    is(answers($c, $gone->{token}), '401 x8', 'what has ended, still');
    $c->stop;
};


subtest 'the listening connection is away' => sub {
    my $live = $here->signup;
    my $user = $here->signup;
    my $late = $here->signup;
    is_settled($_, $live->{token}) for $here, $there;

    $here->psql("ALTER ROLE $role NOLOGIN");
    my $asked = counter($there, 'miss');
    kill_listeners();

    my $r = $here->post('/api/auth/change-password',
                     { currentPassword => 'Passw0rd', newPassword => 'Other0ne' },
                     token => $user->{token});
    is_ok($r, 'a password changes meanwhile');
    is_gone('a change that nobody was told of', $user->{token});
    is(answers($there, $r->json->{accessToken}), '200 x8', 'the fresh one is good');
    is(answers($there, $live->{token}), '200 x8', 'and so is everybody else');
    cmp_ok(counter($there, 'miss'), '>', $asked, 'the database was asked');

    $here->post('/api/auth/signout', {}, token => $late->{token});
    $here->psql("ALTER ROLE $role LOGIN");

    # what was known when the connection was lost is good for 0.9 seconds

    sleep 1;
    ok(is_settled($_, $live->{token}), 'it is back') for $here, $there;

    locked(sub {
        is(answers($_, $user->{token}), '401 x8', 'ended meanwhile, and known')
            for $here, $there;
        is(answers($_, $late->{token}), '401 x8', 'a sign-out too')
            for $here, $there;
        is(answers($_, $live->{token}), '200 x8', 'who is signed in')
            for $here, $there;
    });
};


subtest 'listening connections that are killed again and again' => sub {
    my $live = $here->signup;
    my %seen;

    for (1 .. 5) {
        my $user = $here->signup;
        kill_listeners();
        $here->post('/api/auth/signout', {}, token => $user->{token});
        $seen{ me($there, $live->{token})->status }++ for 1 .. 20;
        is_gone('a sign-out', $user->{token});
    }
    is_deeply([keys %seen], [200], 'nobody else notices');
};


subtest 'a session that no longer listens' => sub {
    my $live = $here->signup;
    my $user = $here->signup;
    is_settled($there, $live->{token});

    # as behind a pooler that exchanges sessions: the connection lives, deaf

    my $pids = "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname
                = current_database() AND application_name LIKE 'nchat listen%'";
    my $before = $here->psql($pids);
    $here->psql("CREATE FUNCTION public.deaf() RETURNS bool LANGUAGE plpgsql AS \$\$
              BEGIN EXECUTE 'UNLISTEN nchat'; RETURN true; END \$\$;
              GRANT EXECUTE ON FUNCTION public.deaf() TO $role;
              CREATE OR REPLACE FUNCTION nchat_config_get(OUT version text,
                  OUT doc text, OUT open_doc text) LANGUAGE sql VOLATILE AS \$\$
              SELECT c.version::text, c.doc::text,
                     (nchat_config_open(c.doc) #- '{owner,email}')::text
                FROM config c WHERE deaf() \$\$;
              SELECT pg_notify('nchat', 'config 1')");
    ok(wait_for(sub { $there->error_log =~ /session that listens was exchanged/ },
                10), 'is noticed');
    $here->post('/api/auth/signout', {}, token => $user->{token});
    is_gone('a sign-out', $user->{token});
    is(answers($there, $live->{token}), '200 x8', 'nobody else');
    is($here->psql($pids), $before, 'on the same connections');

    $here->psql('CREATE OR REPLACE FUNCTION public.deaf() RETURNS bool
                 LANGUAGE sql AS $$ SELECT true $$');
};


subtest 'a reload keeps what is known' => sub {
    my $live = $here->signup;
    my $user = $here->signup;

    # what only the zone knows: the database says that this session lives; a
    # node that does not listen yet never hears of it

    my $notify = "SELECT pg_notify('nchat', 'session "
                 . claims_of($user->{token})->{sid} . "')";
    ok(wait_for(sub {
        $here->psql($notify);
        answers($here, $user->{token}) eq '401 x8'
    }, 10), 'a session');
    $here->reconfigure;
    is(answers($here, $user->{token}), '401 x8', 'after a reload') for 1 .. 3;
    is(answers($here, $live->{token}), '200 x8', 'who is signed in');
    ok(is_settled($here, $live->{token}), 'the new workers listen');
    is(answers($here, $user->{token}), '401 x8', 'and still know');

    $user = $here->signup;
    $there->post('/api/auth/signout', {}, token => $user->{token});
    is_gone('a sign-out after it', $user->{token});
};


subtest 'more ended sessions than the zone has room for' => sub {
    my $n = NchatTest->new(share => $here, set => {
        nchat_zone => 'nchat_zone nchat 1m;' });
    my $evicted = sub {
        $n->get('/api/metrics')->body
            =~ /^nchat_zone_evicted_total\{kind="session"\} (\d+)/m ? $1 : 0
    };
    my $live = $here->signup;
    my $user = $here->signup;

    $n->post('/api/auth/signout', {}, token => $user->{token});
    is($evicted->(), 0, 'there is room');
    ok(is_settled($n, $live->{token}), 'and nobody asks');

    $n->psql("SELECT pg_notify('nchat', 'session ' || gen_random_uuid())
                FROM generate_series(1, 15000)");
    ok(wait_for(sub { $evicted->() > 1000 }, 20), 'there is none any more');

    my $asked = counter($n, 'miss');
    is(answers($n, $user->{token}), '401 x8', 'an entry that is lost');
    is(answers($n, $live->{token}), '200 x8', 'who is signed in');
    is(counter($n, 'miss') - $asked, 16, 'the database was asked');

    $user = $here->signup;
    $here->post('/api/auth/signout', {}, token => $user->{token});
    ok(wait_for(sub { answers($n, $user->{token}) eq '401 x8' }, 4),
       'a sign-out elsewhere');
    $n->stop;
};


subtest 'an ended token does not use up its user' => sub {
    my $n    = NchatTest->new(share => $here, limits => 1,
                              http  => 'nchat_rate_limit default 30;');
    my $user = $here->signup;
    my $gone = $here->signin($user);
    my $left = sub {
        $n->get('/api/auth/me', token => $_[0],
                on => $n->connection(from => $_[1]))
          ->header('x-ratelimit-remaining')
    };

    $here->post('/api/auth/signout', {}, token => $gone->{token});
    ok(wait_for(sub { me($n, $gone->{token})->status == 401 }, 4), 'it ended');

    # it was the user's as long as nobody knew

    my $before = $left->($user->{token}, '127.0.9.1');
    is($left->($gone->{token}, '127.0.9.2'), 29, 'the ended token: its address');
    is($left->($gone->{token}, '127.0.9.2'), 28, 'once more');
    is($left->($user->{token}, '127.0.9.3'), $before - 1,
       'the user, from anywhere');
    $n->stop;
};


subtest 'no database' => sub {
    my $n    = NchatTest->new(own_postgres => 1);
    my $live = $n->owner;
    my $gone = $n->signup;
    my %seen;

    $n->post('/api/auth/signout', {}, token => $gone->{token});
    is(me($n, $live->{token})->status, 200, 'who is signed in');

    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $n->cluster->kill;
        require POSIX;
        POSIX::_exit(0);
    }

    my ($first, $down);
    my $until = time + 20;
    while (time < $until) {
        my $r = me($n, $live->{token});
        $down //= time if !kill 0 => $pid or waitpid($pid, 1) == $pid;
        $seen{ $r->status }++;
        if ($r->status == 503) {
            $first = time;
            is_error($r, 503, 'SERVICE_UNAVAILABLE', 'the answer');
            ok($r->header('retry-after'), 'Retry-After');
            last;
        }
        sleep 0.01;
    }
    waitpid $pid, 0;

    ok($first, 'not let through');
    is_deeply([sort keys %seen], [200, 503], 'after what was still known');
    isnt($_, 200, 'nor later')
        for map { me($n, $live->{token})->status } 1 .. 10;
    is(me($n, $gone->{token})->status, 401, 'what has ended needs no database');
    is($n->get('/api/config')->status, 200, 'who needs no account is served');
    is_error($n->get('/api/search?q=hello', token => $live->{token}), 503,
             'SERVICE_UNAVAILABLE', 'nobody becomes anonymous either');

    $n->start_postgres;
    ok(wait_for(sub { me($n, $live->{token})->status == 200 }, 20),
       'the database is back');
    is(me($n, $gone->{token})->status, 401, 'what has ended has ended');
    $n->stop;
};

finish();
