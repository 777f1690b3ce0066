# A database that does not answer: paused, behind a proxy that hangs, locked,
# or with more to do than its queue holds. Requests end within the deadlines,
# and the event loop goes on meanwhile.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use NchatTest;
use NchatTest::Proxy;

my $slack = $ENV{NCHAT_TEST_ASAN} ? 3 : 1.5;

my $direct = NchatTest->new(
    own_postgres => 1,
    workers      => 1,
    http         => 'nchat_postgres_pool fast=2 lock=1 slow=1 queue=3;
                     nchat_postgres_timeout connect=1s queue=500ms fast=1s
                                            lock=1s slow=1s;
                     nchat_signin_limit address=1000000 email=1000000;'
);
my $owner  = $direct->owner;
my $member = $direct->signup;

my $proxy   = NchatTest::Proxy->new($direct->database_url =~ m{:(\d+)/});
my $proxied = NchatTest->new(
    share   => $direct,
    workers => 1,
    http    => $direct->{options}{http},
    set     => { nchat_postgres => 'nchat_postgres "'
                 . ($direct->module_url =~ s{:\d+/}{':' . $proxy->port . '/'}er)
                 . '";' }
);

my $usual = NchatTest->new(share => $direct,
                           set   => $proxied->{options}{set});

my @signin = (POST => '/api/auth/signin', json => {
    email => $member->{email}, password => $member->{password}
});


# alive(INSTANCE, NAME): whatever the database does.
sub alive {
    my ($n, $name) = @_;

    for my $path ('/api/health', '/api/config') {
        my $r = $n->get($path);
        is($r->status, 200, "$name: $path");
        cmp_ok($r->time, '<', 0.3 * $slack, "$name: $path is quick");
    }
}

# silent(INSTANCE, NAME): what holds while no answer comes.
sub silent {
    my ($n, $name) = @_;
    my %seen;

    # One second for the statement, one of patience for the connection, half
    # a one in the queue.

    for my $r ($n->parallel(([@signin]) x 5,
                            ([ GET => '/api/auth/me',
                               token => $member->{token} ]) x 3,
                            [ PATCH => '/api/config', json => {},
                              token => $owner->{token} ]))
    {
        $seen{ $r->status . ' ' . $r->code }++;
        cmp_ok($r->time, '<', 2.6 * $slack, "$name: an end in time");
    }

    delete @seen{'503 SERVICE_UNAVAILABLE', '504 UPSTREAM_TIMEOUT', '200 '};
    is_deeply(\%seen, {}, "$name: only 503 and 504");
    alive($n, $name);

    my $r = $n->get('/api/ready');
    is_error($r, 503, 'SERVICE_UNAVAILABLE', "$name: not ready");
    cmp_ok($r->time, '<', 1.2 * $slack, "$name: says so within a second");
    my ($database) = grep { $_->{name} eq 'database' }
                     @{ $r->json->{checks} };
    ok(!$database->{ready} && $database->{message}, "$name: and why");

    # Nobody is let in whose session cannot be known.

    $r = $n->get('/api/auth/me', token => $member->{token});
    like($r->status, qr/^50[34]$/, "$name: no token is honoured unseen");
    like($n->head('/api/ready')->status, qr/^503$/, "$name: HEAD says it, too");
}

sub back {
    my ($n, $name, $begin) = @_;

    wait_for(sub { $n->http(@signin)->status == 200
                   && $n->get('/api/ready')->status == 200
                   && $n->get('/api/auth/me', token => $member->{token})
                        ->status == 200
                   && $n->patch('/api/config', { social => { $name => 'w' } },
                                token => $owner->{token})->status == 200 },
             10);
    cmp_ok(time - $begin, '<', 3 * $slack, "$name: back by itself");
    is($n->patch('/api/config', { social => { $name => 'x' } },
                 token => $owner->{token})->status, 200, "$name: changes, too");
}


$direct->cluster->pause;
sleep 1;    # the sessions are known for this long without the database
silent($_->[0], $_->[1]) for [ $direct, 'paused' ];
$direct->cluster->resume;
back($direct, 'paused', time);

back($proxied, 'before', time);
$proxy->hang;
sleep 1;
silent($proxied, 'hung');

# With the limits as they are shipped: being asked whether one is ready takes a
# second at most.

is_error($usual->get('/api/ready'), 503, 'SERVICE_UNAVAILABLE', 'not ready');
cmp_ok($usual->get('/api/ready')->time, '<', 1.2 * $slack,
       'which takes a second at most');
$proxy->flow;
back($proxied, 'hung', time);

$proxy->swallow(7);    # in the middle of an answer
sleep 1;
silent($proxied, 'swallowed');
$proxy->flow;
back($proxied, 'swallowed', time);

$proxy->cut;
back($proxied, 'cut', time);


# A statement that takes too long is 504, and alone with that.

# Holds a lock while the code runs.
sub locked {
    my ($lock, $code) = @_;
    my $hold = fork // die "fork: $!\n";

    if (!$hold) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec 'psql', '-X', '-q', '-c', "BEGIN; $lock; SELECT pg_sleep(60)",
            $direct->database_url;
    }

    wait_for(sub { $direct->psql(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'
            AND wait_event = 'PgSleep'") }, 10);
    $code->();
    $direct->psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE query LIKE 'BEGIN; LOCK%'
                      AND pid <> pg_backend_pid()");
    kill KILL => $hold;
    waitpid $hold, 0;
}

locked('LOCK TABLE users IN ACCESS EXCLUSIVE MODE', sub {
    my $r = $direct->http(@signin);
    is_error($r, 504, 'UPSTREAM_TIMEOUT', 'a statement that waits too long');
    cmp_ok($r->time, '>', 0.9, 'has had its second');
    cmp_ok($r->time, '<', 1.3 * $slack, 'and no more');
    is($direct->get('/api/ready')->status, 200, 'others are not concerned');
    is($direct->get('/api/auth/me', token => $member->{token})->status, 200,
       'sessions neither');
    like($direct->error_log,
         qr/statement nchat_signin_lookup failed: .*\(SQLSTATE 5/,
         'the log says which');
});
is($direct->http(@signin)->status, 200, 'and afterwards it works');


# More than the queue holds: 503 with Retry-After, at once.

locked('LOCK TABLE config IN ACCESS EXCLUSIVE MODE', sub {
    my @answers = $direct->parallel(
        map { [ PATCH => '/api/config', token => $owner->{token},
                json => { social => { "q$_" => 'x' } } ] } 1 .. 30
    );
    my %seen;
    $seen{ $_->status }++ for @answers;
    is_deeply(\%seen, { 503 => 29, 504 => 1 }, 'one statement, 29 too many');

    my ($refused) = sort { $a->time <=> $b->time }
                    grep { $_->status == 503 } @answers;
    is_error($refused, 503, 'SERVICE_UNAVAILABLE', 'one too many');
    like($refused->header('retry-after'), qr/^\d+$/, 'with Retry-After');
    cmp_ok(scalar(grep { $_->status == 503 && $_->time < 0.4 } @answers), '>=',
           26, 'at once, but for the three that were in the queue');

    my ($queued) = $direct->get('/api/metrics')->body
                   =~ /^nchat_db_refused_total\{reason="queue"\} (\d+)/m;
    cmp_ok($queued, '>=', 29, 'the metrics count them');
    alive($direct, 'a full queue');
    is($direct->http(@signin)->status, 200, 'other lanes go on');
});
wait_for(sub { $direct->patch('/api/config', {}, token => $owner->{token})
                 ->status == 200 }, 5);
is($direct->patch('/api/config', {}, token => $owner->{token})->status, 200,
   'and afterwards it works');


# Clients that leave in the middle of a statement.

locked('LOCK TABLE users IN ACCESS EXCLUSIVE MODE', sub {
    for my $i (1 .. 30) {
        my $gone = $direct->connection;
        $gone->send_some($direct->request(@signin));
        sleep 0.01;
        $i % 2 ? $gone->abort : $gone->close;
    }
    wait_for(sub { $direct->access_log =~ /" 499 / }, 5);
    like($direct->access_log, qr{/api/auth/signin HTTP/1.1" 499 },
         'clients that leave are noticed');
    alive($direct, 'clients that left');
});
ok(wait_for(sub { $direct->http(@signin)->status == 200 }, 5),
   'and afterwards it works');
ok(wait_for(sub { $direct->get('/api/metrics')->body !~
                  /^nchat_db_(?:inflight|waiting)\{lane="(?!listen).*\} [1-9]/m
                }, 5), 'nothing of theirs is left');

finish();
