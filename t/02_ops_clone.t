# A clean clone in a path with a space, used by an ordinary user: make, make
# start, and git sees nothing of it.

use strict;
use warnings;

use lib 't/lib';

use File::Temp ();
use Test::More;

use NchatTest;
use NchatTest::Ops;

my $root = $NchatTest::root;
plan skip_all => 'builds without sanitizers' if $ENV{NCHAT_TEST_ASAN};
plan skip_all => 'this is no git clone' if !-e "$root/.git";

my $temp  = File::Temp->newdir('nchat-clone-XXXXXX', TMPDIR => 1);
my $clone = "$temp/a user/my chat";
my $port  = free_port();
my %env   = (HOME => "$temp/a user", IN => $clone, NCHAT_PORT => $port,
             TMPDIR => "$temp");

mkdir "$temp/a user";
is((run_command({}, 'git', '-c', "safe.directory=$root/.git", 'clone', '-q',
                '--no-hardlinks', $root, $clone))[0], 0, 'git clone');

if ($> == 0) {
    my (undef, undef, $uid, $gid) = getpwnam 'nobody';
    system 'chown', '-R', "$uid:$gid", "$temp";
}
chmod 0755, "$temp";

sub as_user {
    my (@command) = @_;
    return run_command(\%env, as_nobody(), @command);
}

my ($status, $output, $seconds) = as_user('make');
is($status, 0, 'make') or diag($output);
ok(-s "$clone/build/ngx_http_nchat_module.so", 'the module is there');

($status, $output, $seconds) = as_user('make');
is($output, '', 'make again has nothing to do');
cmp_ok($seconds, '<', 5, 'and is quick');

($status, $output) = as_user('make', 'start');
is($status, 0, 'make start') or diag($output);

# The command that it printed, as it stands.
my ($curl) = $output =~ /^(  curl -s .*?)\n\n/ms;
my (undef, $answer) = as_user('sh', '-c', $curl // 'echo none');
like($answer, qr/"role":"owner"/, 'the printed sign-up works as it is');

is((as_user('make', 'status'))[0], 0, 'make status');
is((as_user('make', 'stop'))[0], 0, 'make stop');
isnt((as_user('make', 'status'))[0], 0, 'make status says that it is stopped');

($status, $output) = as_user('git', 'status', '--porcelain', '--ignored=no');
is($output, '', 'git status is clean after a build and a run');

is((as_user('make', 'clean'))[0], 0, 'make clean');
ok(!-e "$clone/build/ngx_http_nchat_module.so", 'removes the module');

done_testing();

END {
    my $code = $?;
    as_user('make', 'stop') if $clone && -e "$clone/var";
    $? = $code;
}
