# bin/nchat as a user runs it: start, status, stop, run, and what goes wrong.

use strict;
use warnings;

use lib 't/lib';

use File::Temp ();
use IO::Socket::INET;
use Test::More;

use NchatTest;
use NchatTest::Ops;

my $temp  = File::Temp->newdir('nchat-ops-XXXXXX', TMPDIR => 1);
my $home  = "$temp/my home";
my $nchat = "$NchatTest::root/bin/nchat";
my $port  = free_port();
my %env   = (NCHAT_HOME => $home, NCHAT_PORT => $port,
             NCHAT_ENVIRONMENT => 'testing');

chmod 0755, "$temp";

sub nchat {
    my ($command, %more) = @_;
    return run_command({ %env, %more }, $nchat, $command);
}

my $account = '{"email":"You@Example.com","username":"you",'
              . '"password":"Passw0rd"}';
my @json = ('-H', 'Content-Type: application/json', '-d');

sub sign {
    my ($url, $what) = @_;
    return fetch('POST', "$url/api/auth/$what", @json, $account);
}


# First start, in a path with a space.

my ($status, $output) = nchat('status');
is($status, 3, 'status is 3 before the first start');

($status, $output) = nchat('start');
is($status, 0, 'start') or BAIL_OUT("nothing runs: $output");
like($output, qr{ready at http://localhost:$port$}m, 'it says where');
like($output, qr{curl -s http://localhost:$port/api/auth/signup},
     'and how to sign up');

my $settings = read_env($home);
my $url      = $settings->{NCHAT_URL};
is($url, "http://localhost:$port", 'NCHAT_URL in env');
is((stat "$home/$_")[2] & 0777, 0600, "$_ is private")
    for qw(env jwt.key nginx.conf postgres/password);

is(fetch('GET', "$url/api/ready")->status, 200, 'the API is ready');
is(fetch('GET', "$url/api/health")->json->{environment}, 'testing',
   'NCHAT_ENVIRONMENT');
is(NchatTest::Cluster::psql($settings->{NCHAT_DATABASE_URL},
                            'SELECT current_user'),
   'nchat_owner', 'NCHAT_DATABASE_URL is good for psql');
is(NchatTest::Cluster::psql($settings->{NCHAT_DATABASE_URL},
                            'SELECT rolsuper FROM pg_roles
                              WHERE rolname = current_user'),
   'f', 'whose role is no superuser');

SKIP: {
    skip 'only root can become nobody', 1 if $>;
    my ($code, $out) = run_command({}, as_nobody(), 'psql', '-X', '-A', '-t',
                                   '-c', 'SELECT 1',
                                   $settings->{NCHAT_DATABASE_URL});
    is($out, "1\n", 'also for another user of the machine who was told it');
}

is(sign($url, 'signup')->json->{user}{role}, 'owner',
   'the first account is the owner');

($status, $output) = nchat('status');
is($status, 0, 'status is 0');
like($output, qr/running .*\Q$url\E/, 'and says where');

($status, $output) = nchat('start');
is($status, 0, 'start of what runs is no error');


# Next to it: the same port, another instance.

($status, $output) = nchat('start', NCHAT_HOME => "$temp/other");
isnt($status, 0, 'a taken port is an error');
like($output, qr/port $port is in use/, 'that says so');

for my $workers ('0', 'many', '-1') {
    ($status, $output) = nchat('start', NCHAT_HOME => "$temp/other",
                               NCHAT_WORKERS => $workers);
    isnt($status, 0, "$workers workers are an error");
    like($output, qr/NCHAT_WORKERS/, 'that says so');
}

my %second = (NCHAT_HOME => "$temp/second", NCHAT_PORT => free_port(),
              NCHAT_LISTEN => '*',
              NCHAT_DATABASE_URL => $settings->{NCHAT_DATABASE_URL});
($status, $output) = nchat('start', %second);
is($status, 0, 'a second instance on the same database') or diag($output);
ok(!-e "$temp/second/postgres", 'it has no cluster of its own');

my $second_url = read_env("$temp/second")->{NCHAT_URL};
my $signed_in  = sign($second_url, 'signin');
is($signed_in->status, 200, 'an account of the first can sign in there');
is(fetch('GET', "$url/api/auth/me", '-H', 'Authorization: Bearer '
         . $signed_in->json->{accessToken})->status,
   200, 'and its token is good at the first');

($status) = nchat('stop', %second);
is($status, 0, 'the second stops');
is(fetch('GET', "$url/api/ready")->status, 200, 'the first goes on');


# Stop, and a second start.

($status, $output) = nchat('stop');
is($status, 0, 'stop');
is((nchat('status'))[0], 3, 'status is 3');
ok(!IO::Socket::INET->new("127.0.0.1:$port"), 'nobody listens any more');
my ($database_port) = $settings->{NCHAT_DATABASE_URL} =~ /:(\d+)\//;
ok(!IO::Socket::INET->new("127.0.0.1:$database_port"), 'nor Postgres');
is((nchat('stop'))[0], 0, 'stop of what does not run is no error');

my $key = slurp("$home/jwt.key");
my $seconds;
($status, $output, $seconds) = nchat('start', NCHAT_RATE_LIMITS => 'off');
is($status, 0, 'second start') or diag($output);
cmp_ok($seconds, '<', 5, sprintf 'in under 5 seconds (%.1f)', $seconds);
is(slurp("$home/jwt.key"), $key, 'with the same key');
is(sign($url, 'signin')->status, 200, 'and the same accounts');
is(scalar(grep { fetch('GET', "$url/api/config")->status == 200 } 1 .. 70), 70,
   'NCHAT_RATE_LIMITS=off');


# What a crash leaves behind.

my ($pid) = slurp("$home/nginx.pid") =~ /(\d+)/;
kill 'KILL', $pid;
ok(wait_for(sub { (nchat('status'))[0] == 3 }, 5),
   'a pid file without its process deceives nobody');

($status, $output) = nchat('start');
is($status, 0, 'start after nginx was killed, with workers left behind')
    or diag($output);

my ($database_pid) = slurp("$home/postgres/data/postmaster.pid") =~ /^(\d+)/;
nchat('stop');
open my $stale, '>', "$home/nginx.pid";
print $stale "$$\n";
close $stale;
is((nchat('status'))[0], 3, 'nor does one with the number of another process');
is((nchat('stop'))[0], 0, 'which stop leaves alone');
ok(kill(0, $$), 'this one');


# A configuration that nginx refuses.

($status, $output) = nchat('start', NCHAT_FETCH_ALLOW => 'nowhere');
isnt($status, 0, 'a wrong value is an error');
like($output, qr/nchat_fetch_allow|nowhere/, 'and the message names it');
ok(!IO::Socket::INET->new("127.0.0.1:$database_port"),
   'nothing is left running');


# In the foreground, until Ctrl-C.

my $log = "$temp/run.log";
my $run = spawn_command({ %env, NCHAT_TLS => 'on',
                          NCHAT_TLS_PORT => free_port() },
                        $log, $nchat, 'run');
ok(wait_for(sub { slurp($log) =~ /Ctrl-C stops it/ }, 15), 'run')
    or diag(slurp($log));

my $tls = read_env($home)->{NCHAT_TLS_URL};
like(NchatTest->curl('-k', '--http2', '-w', ' %{http_version} %{http_code}',
                     "$tls/api/health"),
     qr/ 2 200$/, 'NCHAT_TLS=on: HTTP/2 over TLS');

kill 'INT', -$run;
waitpid $run, 0;
is($?, 0, 'Ctrl-C ends it in good order');
like(slurp($log), qr/nchat is stopped/, 'and it says so');
is((nchat('status'))[0], 3, 'nothing runs');

my @alarming = grep { /\[(?:alert|crit|emerg)\]/ && !/nowhere/ }
               split /\n/, slurp("$home/logs/error.log");
is_deeply(\@alarming, [], 'nothing alarming in the error log');

done_testing();

END {
    my $code = $?;
    nchat('stop', NCHAT_HOME => $_) for "$temp/second", $home;
    $? = $code;
}
