# Workers that die, and clients that leave while they are served.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use NchatTest;
use NchatTest::Traffic;

my $slack = $ENV{NCHAT_TEST_ASAN} ? 4 : 1;
my $n     = NchatTest->new(
    bcrypt_cost => 8,
    http        => 'nchat_signin_limit address=1000000 email=1000000;'
);
my $owner  = $n->owner;
my $member = $n->signup;
my @signin = (POST => '/api/auth/signin', json => {
    email => $member->{email}, password => $member->{password}
});

my @requests = (
    sub { [ GET   => '/api/health' ] },
    sub { [ GET   => '/api/config' ] },
    sub { [ PATCH => '/api/config', token => $owner->{token},
            json => { social => { "m$_[0]x$_[1]" => 'x' } } ] },
    sub { [ @signin ] },
    sub { [ GET   => '/api/auth/me', token => $member->{token} ] },
);

sub traffic {
    my %options = @_;
    return NchatTest::Traffic->start($n,
        clients  => scalar @requests,
        requests => sub { $requests[$_[0] - 1]->(@_) },
        %options
    );
}

sub failures {
    my %failed;
    $failed{"$_->{method} $_->{path} $_->{status} $_->{code}"}++
        for grep { !$_->{good} || $_->{status} != 200 } @_;
    return \%failed;
}


# A worker that dies takes its own clients along, and nothing else. The zone is
# whole, and the other worker, or the new one, listens to the database.

$n->allow(qr/worker process \d+ exited on signal 9/);

for my $turn (1 .. 3) {
    my @workers = $n->workers;

    my $traffic = traffic();
    sleep 0.4;
    kill KILL => $workers[ $turn % @workers ];
    my $killed = time;
    sleep 1.6;
    my @records = $traffic->stop;

    my @lost = grep { !$_->{status} } @records;
    my @bad  = grep { $_->{status} && !($_->{good} && $_->{status} == 200) }
               @records;
    is_deeply(failures(@bad), {}, 'a dead worker: no wrong answers')
        or diag(explain(failures(@bad)));
    cmp_ok(scalar @lost, '<=', scalar @requests,
           'a dead worker: only who was connected to it is concerned');
    is(scalar(grep { $_->{begin} > $killed + 0.5 } @lost), 0,
       'a dead worker: later ones are not');
    ok(wait_for(sub { $n->workers == 2 }, 3), 'a dead worker: is replaced');
}

my $name = "after $$";
is($n->patch('/api/config', { branding => { appName => $name } },
             token => $owner->{token})->status, 200, 'changes go on');
$n->psql("SELECT nchat_config_update('{\"branding\":{\"tagline\":\"x$$\"}}',
          '$owner->{id}', 'x\@example.com', 'x', '', '')");
ok(wait_for(sub { $n->get('/api/config')->json->{config}{branding}{tagline}
                  eq "x$$" }, 1.5 * $slack),
   'somebody listens to the database again');
my @all = map { $n->get('/api/config')->json->{config}{branding}{tagline} }
          1 .. 20;
is(join(' ', @all), join(' ', ("x$$") x 20), 'for all workers');


# A worker that dies in the middle of counting leaves the counters usable.

my $counted = NchatTest->new(limits => 1, workers => 4,
                             set => { limit_req => '', limit_conn => '' });
$counted->allow(qr/worker process \d+ exited on signal 9/);

for my $turn (1 .. 5) {
    my @storm = map { [ GET => '/api/config', from => "127.0.6.$turn" ] }
                1 .. 150;
    my @dead  = $counted->workers;
    my $child = fork // die "fork: $!\n";
    if (!$child) {
        sleep 0.02;
        kill KILL => $dead[0], $dead[1];
        kill KILL => $$;
    }
    my @answers = $counted->parallel(@storm);
    waitpid $child, 0;

    # What was counted and not answered any more is missing among the 60.

    wait_for(sub { $counted->workers == 4 }, 3);
    my @later  = $counted->parallel(@storm);
    my $let_in = grep { $_ && $_->status == 200 } @answers, @later;
    cmp_ok($let_in, '<=', 60, 'dead workers: not more than 60 are let in');
    cmp_ok(scalar(grep { $_ && $_->status == 429 } @later), '>=', 90,
           'dead workers: the window is there still');
}
is_deeply([ map { $_->status } $counted->parallel(
              map { [ GET => '/api/config', from => '127.0.6.99' ] } 1 .. 60) ],
          [ (200) x 60 ], 'dead workers: others have their 60');


# Clients that leave while a password is being hashed.

for my $i (1 .. 40) {
    my $gone = $n->connection;
    $gone->send_some($n->request(@signin));
    sleep 0.01 if $i % 3 == 0;
    $i % 2 ? $gone->abort : $gone->close;
}
is($n->get('/api/health')->status, 200, 'clients that leave while hashing');
is($n->http(@signin)->status, 200, 'the next one is served');
ok(wait_for(sub { $n->get('/api/metrics')->body =~ /^nchat_hashing 0$/m }, 10),
   'nothing of theirs is left');

finish();
