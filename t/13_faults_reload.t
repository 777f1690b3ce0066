# Reloads and a stop under traffic: nobody's request fails.

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


# Twenty reloads, half of them while the one before is still under way: then
# workers leave that have only just come.

my %old     = map { $_ => 1 } $n->workers;
my $traffic = traffic();

sleep 0.3;
for (1 .. 10) {
    $old{$_} = 1 for $n->workers;
    kill HUP => $n->master;
    sleep 0.15;
    $old{$_} = 1 for $n->workers;
    $n->reconfigure;
}
sleep 0.3;

my @records = $traffic->stop;
is_deeply(failures(@records), {}, 'twenty reloads: no request failed')
    or diag(explain(failures(@records)));
cmp_ok(scalar @records, '>', 100, 'and there were many');
cmp_ok(scalar(grep { $_->{path} =~ /signin/ } @records), '>', 5,
       'and many that were being hashed');

ok(wait_for(sub { $n->workers == 2 && !grep { $old{$_} } $n->workers },
            3 * $slack), 'the old workers are gone')
    or diag(join ' ', $n->workers);

# Their connections to the database, too: 9 for a worker, but 1 listener.

my $connections = "SELECT count(*) FROM pg_stat_activity
                    WHERE usename = nchat_module_role()";
ok(wait_for(sub { $n->psql($connections) <= 17 }, 3 * $slack),
   'and so are their connections') or diag($n->psql($connections));


# With keepalive connections: nginx closes them when a worker leaves, and a
# client that finds its connection closed asks again.

$traffic = traffic(keepalive => 1);
for (1 .. 3) {
    sleep 0.3;
    $n->reload;
}
sleep 0.3;
@records = $traffic->stop;
is_deeply(failures(@records), {}, 'reloads with keepalive: no request failed')
    or diag(explain(failures(@records)));


# A reload while passwords are being hashed: all of them are answered.

sub waiting {
    return map {
        my $connection = $n->connection;
        $connection->send(POST => $n->request(@signin));
        $connection;
    } 1 .. $_[0];
}

my @waiting = waiting(30);
$n->reload;
my %seen;
$seen{ eval { $_->receive->status } // 'none' }++ for @waiting;
is_deeply(\%seen, { 200 => 30 }, 'who was being hashed at a reload is answered');


# A stop in good order finishes what is under way.

@waiting = waiting(10);
sleep 0.1;
kill QUIT => $n->master;
%seen = ();
$seen{ eval { $_->receive->status } // 'none' }++ for @waiting;
is_deeply(\%seen, { 200 => 10 }, 'who was being hashed at a stop is answered');
$_->close for @waiting;
ok(wait_for(sub { !$n->master || !kill 0 => $n->master }, 5), 'it is stopped');

finish();
