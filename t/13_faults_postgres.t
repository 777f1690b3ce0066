# Postgres stopped, crashed and started again under traffic: meanwhile every
# answer is one of JSON, the configuration is served, nothing that was
# acknowledged is lost, and everything is back within two seconds by itself.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use NchatTest;
use NchatTest::Traffic;

my $n = NchatTest->new(
    own_postgres => { settings => "synchronous_commit = on\n" },
    http         => 'nchat_signin_limit address=1000000 email=1000000;'
);
my $owner  = $n->owner;
my $member = $n->signup;
my $slack  = $ENV{NCHAT_TEST_ASAN} ? 3 : 1;

# What the clients ask for, by the number of the client.
my @requests = (
    sub { [ GET  => '/api/config' ] },
    sub { [ PATCH => '/api/config', token => $owner->{token},
            json => { social => { "m$_[0]x$_[1]" => $_[1] } } ] },
    sub { [ POST => '/api/auth/signup',
            json => { email    => "c$_[0]x$_[1]\@example.com",
                      username => "c$_[0]x$_[1]", password => 'Passw0rd' } ] },
    sub { [ POST => '/api/auth/signin', json => {
            email => $member->{email}, password => $member->{password} } ] },
    sub { [ GET  => '/api/auth/me', token => $member->{token} ] },
    sub { [ GET  => '/api/health' ] },
);

my $round = 0;

# outage(NAME, DOWN, UP): DOWN begins it; UP ends it and returns when that was.
sub outage {
    my ($name, $down, $up) = @_;
    my $base = 100 * ++$round;

    my $traffic = NchatTest::Traffic->start($n,
        clients  => scalar @requests,
        requests => sub { $requests[$_[0] - 1]->($base + $_[0], $_[1]) }
    );

    sleep 0.5;
    $down->();
    sleep 1.5;
    my $back = $up->();
    sleep 2.5;

    my @records = $traffic->stop;
    my %bad;
    $bad{"$_->{path} $_->{status} $_->{code}"}++
        for grep { !$_->{good} || $_->{status} !~ /^(?:200|503)$/ } @records;
    is_deeply(\%bad, {}, "$name: only good answers and 503s in JSON")
        or diag(explain(\%bad));

    my @lost = grep { $_->{status} == 503 } @records;
    cmp_ok(scalar @lost, '>', 0, "$name: the outage was noticed");
    is(scalar(grep { $_->{path} eq '/api/config' && $_->{method} eq 'GET'
                     || $_->{path} eq '/api/health' } @lost), 0,
       "$name: configuration and health are served all the time");

    my $slowest = 0;
    $_->{end} - $_->{begin} > $slowest and $slowest = $_->{end} - $_->{begin}
        for @records;
    cmp_ok($slowest, '<', 3 * $slack, "$name: nobody waits for long");

    my ($last) = sort { $b <=> $a } map { $_->{end} } @lost;
    cmp_ok($last - $back, '<', 2 * $slack, "$name: back within two seconds");

    for my $path ('/api/auth/signup', '/api/auth/signin', '/api/auth/me') {
        cmp_ok(scalar(grep { $_->{path} eq $path && $_->{status} == 200
                             && $_->{begin} > $back } @records), '>', 0,
               "$name: $path is back");
    }

    # What was acknowledged is there.

    my %users = map { $_->[0] => 1 } $n->rows(
        "SELECT username FROM users WHERE username ~ '^c[0-9]+x'");
    my @missing = grep { !$users{"c" . ($base + $_->{client}) . "x$_->{i}"} }
                  grep { $_->{path} eq '/api/auth/signup'
                         && $_->{status} == 200 } @records;
    is(scalar @missing, 0, "$name: every account that was acknowledged exists");

    my $config  = $n->get('/api/config')->json->{config}{social};
    @missing = grep { !$config->{"m" . ($base + $_->{client}) . "x$_->{i}"} }
               grep { $_->{method} eq 'PATCH' && $_->{status} == 200 } @records;
    is(scalar @missing, 0, "$name: every acknowledged change is in force");
    cmp_ok(scalar(grep { $_->{method} eq 'PATCH' && $_->{status} == 200
                         && $_->{begin} > $back } @records), '>', 0,
           "$name: changes are possible again");
}

sub start_again {
    $n->start_postgres;
    return time;
}

outage('stopped', sub { $n->stop_postgres }, \&start_again);
outage('crashed', sub { $n->cluster->kill }, \&start_again);

# All connections cut, the server goes on.

outage('connections cut', sub {
    kill TERM => map { $_->[0] } $n->rows(
        'SELECT pid FROM pg_stat_activity WHERE usename = nchat_module_role()');
}, sub { time - 1.5 });

my $log = $n->error_log;
my @lines = grep { /database connection \(\w+\) / } split /\n/, $log;
cmp_ok(scalar @lines, '<', 200, 'the log is told, not flooded');
like($log, qr/database connections \(fast\) are back/, 'and that it is over');
my ($password) = $n->module_url =~ m{:([^:@/]+)@};
unlike($log, qr/\Q$password\E|postgresql:/, 'without secrets');

finish();
