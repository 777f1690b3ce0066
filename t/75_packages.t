# make deb: two builds of one commit are the same bytes; lintian has nothing to
# say; and the packages do what the README says of them, in a clean root that
# has what they depend on, and nothing else.

use strict;
use warnings;

use lib 't/lib';

use File::Temp ();
use POSIX ();
use Test::More;

use NchatTest;
use NchatTest::Cluster qw(slurp spew);
use NchatTest::Ops;
use NchatTest::Readme;
use NchatTest::Root;

my $source = $NchatTest::root;

plan skip_all => 'builds without sanitizers' if $ENV{NCHAT_TEST_ASAN};
plan skip_all => 'this is no git clone' if !-e "$source/.git";

my @missing = grep { system("command -v $_ >/dev/null") != 0 }
              qw(dpkg-buildpackage dh_nginx lintian);
if (@missing) {
    diag("\n*** THE PACKAGES ARE NOT TESTED: there is no @missing\n");
    plan skip_all => 'no tools (bin/nchat-deps build deb)';
}

my $temp = File::Temp->newdir('nchat-deb-test-XXXXXX', TMPDIR => 1);
my (undef, undef, $uid, $gid) = getpwnam 'nobody';

my $builds = 0;

chmod 0755, "$temp";


# Two builds, by different people, at different places and times.

# clone(NAME): of the last commit, with what npm fetched once, to be quicker.
sub clone {
    my $clone = "$temp/$_[0]";

    mkdir "$temp/" . $_[0] =~ s{/.*}{}r;
    is((run_command({}, 'git', '-c', "safe.directory=$source/.git", 'clone',
                    '-q', '--no-hardlinks', $source, $clone))[0], 0,
       "git clone to $_[0]");
    mkdir "$clone/build";
    system 'cp', '-r', "$source/build/ui", "$clone/build/ui"
        if -e "$source/build/ui/page/complete";

    return $clone;
}

# build(CLONE, \%env, WORDS...): begins to, politely to other tests;
# finished(CLONE, it) waits for it, and gives { name of a package => its path }.
sub build {
    my ($clone, $env, @words) = @_;
    return spawn_command({ %$env, IN => $clone }, "$temp/output" . ++$builds,
                         @words, 'nice', 'make', 'deb');
}

sub finished {
    my ($clone, $build, $n) = @_;

    waitpid $build, 0;
    is($?, 0, 'make deb')
        or die("there are no packages:\n" . slurp("$temp/output$n"));
    is((run_command({ IN => $clone }, 'git', '-c', "safe.directory=$clone",
                    'status', '--porcelain'))[1], '', 'git sees nothing of it');

    return { map { m{([^/]+)$} => $_ } glob("'$clone'/build/deb/*.deb") };
}

my %others = (TMPDIR => "$temp/elsewhere", TZ => 'Pacific/Chatham',
              LC_ALL => 'C', HOME => "$temp/elsewhere");
mkdir "$temp/elsewhere";
my $first_clone  = clone('first/clone of mine');
my $second_clone = clone('second');
my $mask = umask 0027;
system 'chown', '-R', "$uid:$gid", "$temp/elsewhere", $second_clone if $> == 0;

my @build = (build($first_clone, { TMPDIR => "$temp" }),
             build($second_clone, \%others, as_nobody()));
umask $mask;
my $first  = finished($first_clone, $build[0], 1);
my $second = finished($second_clone, $build[1], 2);

is(scalar keys %$first, 3, 'two packages, and one of debugging symbols');
is_deeply([ sort keys %$second ], [ sort keys %$first ], 'the same names');
is(system('cmp', $first->{$_}, $second->{$_}), 0, "the same bytes: $_")
    for sort keys %$first;

my ($module, $common) = map { my $name = $_; grep { /^\Q$name\E_/ } keys %$first }
                        qw(libnginx-mod-http-nchat nchat-common);

# Swagger UI is served with its licence beside it: that is no documentation to
# read. It is missing where npm is, so an override would sometimes be unused.
my @meant = qw(extra-license-file
               package-contains-documentation-outside-usr-share-doc);
my ($status, $output) = run_command({}, 'lintian', '--allow-root', '--info',
    '--display-info', '--tag-display-limit', 0, '--fail-on', 'error,warning',
    '--suppress-tags', join(',', @meant), values %$first);
is($status, 0, 'lintian finds no errors and warnings');
is($output, '', 'and has no remarks');


# One version.

sub field { return qx(dpkg-deb -f '$first->{$_[0]}' $_[1]) =~ s/\n\z//r }

my ($version) = slurp("$source/src/api/nchat_api.h")
                =~ /#define NCHAT_VERSION +"([^"]+)"/;
is(field($_, 'Version'), $version, "version of $_") for $module, $common;
like(slurp("$source/openapi.yaml"), qr/^  version: \Q$version\E$/m,
     'openapi.yaml has it');
like(slurp("$source/CHANGELOG.md"), qr/^## \Q$version\E$/m,
     'CHANGELOG.md has it');


# A clean root.

if (!NchatTest::Root::usable()) {
    diag("\n*** THE PACKAGES ARE NOT INSTALLED: neither root nor namespaces\n");
    done_testing();
    exit;
}

my @depends = map { @$_ > 1 ? ( grep { -e "/var/lib/dpkg/info/$_.list" } @$_ )[0]
                            : $_->[0] }
              map { NchatTest::Root::alternatives($_) }
              map { field($_, 'Depends') } $module, $common;
my $root = NchatTest::Root->new('nginx', grep { !/^nchat-|^nginx-abi-/ } @depends);
my $port = free_port();

is((grep { /^(?:gcc|make|curl|npm)$/ } $root->packages), 0,
   'with nothing in it that was not asked for');
system 'cp', values %$first, $root->folder . '/tmp';
my @debs = map { "/tmp/$_" } $module, $common;

# nginx_is_right(NAME): what nginx -t says.
sub nginx_is_right {
    my ($code, $says) = $root->run('nginx', '-t');
    return is($code, 0, "nginx -t: $_[0]") || diag($says);
}

nginx_is_right('before');
($status, $output) = $root->run('dpkg', '--install', $debs[0]);
isnt($status, 0, 'the module alone cannot be installed');
$root->run('dpkg', '--purge', 'libnginx-mod-http-nchat');

($status, $output) = $root->run('dpkg', '--install', @debs);
is($status, 0, 'dpkg --install') or die($output);
is(($root->run('dpkg-query', '-W', '-f', '${db:Status-Status}\n',
               qw(libnginx-mod-http-nchat nchat-common)))[1],
   "installed\ninstalled\n", 'both are installed');
is(readlink($root->folder . '/etc/nginx/modules-enabled/50-mod-http-nchat.conf'),
   '/usr/share/nginx/modules-available/mod-http-nchat.conf',
   'the module is enabled, as Debian does it');
nginx_is_right('with the module, and nothing configured');
is(($root->run("nchat-$_", '--help'))[0], 0, "nchat-$_ --help")
    for qw(admin migrate);


# What the README says about Debian's nginx, as it stands there; but for a port
# that is free, this Postgres, and who starts nginx.

my $folder = "$temp/postgres";
system("$source/bin/nchat-postgres", 'create', $folder, 'SUPERUSER') == 0
    && system("$source/bin/nchat-postgres", 'start', $folder) == 0
    or die('no Postgres');
my $superuser = NchatTest::Cluster::url({ folder => $folder }, 'postgres');
my ($pg_port) = $superuser =~ /:(\d+)\//;
NchatTest::Cluster::psql($superuser, 'DROP DATABASE nchat');

my $site = $root->read('/etc/nginx/sites-available/default');
$site =~ s/^\tlisten 80 .*/\tlisten 127.0.0.1:$port;/m;
$site =~ s/^\tlisten \[::\]:80 .*//m;
$root->write('/etc/nginx/sites-available/default', $site);
$root->write('/var/www/html/index.html', "my own page\n");
# Without root's rights there is only one user in there.
my $conf = $root->read('/etc/nginx/nginx.conf');
$root->write('/etc/nginx/nginx.conf', $conf =~ s/^user .*/user root;/mr) if $>;
symlink '/etc/nginx/sites-available/default',
        $root->folder . '/etc/nginx/sites-enabled/default';

sub readme {
    my $text = block('README.md', @_)->{text};

    $text =~ s/sudo -u postgres psql/psql $superuser/;
    $text =~ s{127\.0\.0\.1/}{127.0.0.1:$pg_port/}g;
    $text =~ s/host=127\.0\.0\.1/$& port=$pg_port/g;
    $text =~ s{systemctl reload nginx}{/usr/sbin/nginx};
    $text =~ s/^curl .*\n//m;
    return $text;
}

my ($says, $failed) = run_block(readme("Debian's", 'sh', 1), $root->command);
is($failed, undef, 'the commands of the README') or die($says);
my $base = "http://127.0.0.1:$port";

sub get { return fetch('GET', "$base$_[0]", @_[1 .. $#_]) }

ok(wait_for(sub { get('/api/ready')->status == 200 }, 10), '/api/ready is 200')
    or diag($root->read('/var/log/nginx/error.log'));
my $health = get('/api/health');
is_ok($health, '/api/health');
is($health->json->{version}, $version, 'with the version');
is(get('/openapi.json')->json->{info}{version}, $version,
   '/openapi.json has the same');
like(get('/api/metrics')->body, qr/^nchat_build_info\{version="\Q$version\E"\} 1$/m,
     'so has /api/metrics');
is(get('/')->body, "my own page\n", 'the site goes on as before');

SKIP: {
    skip 'built without npm', 1
        if !-e "$first_clone/build/www/api-docs/index.html";
    is(get('/api-docs')->status, 200, '/api-docs');
}

my $token = fetch('POST', "$base/api/auth/signup",
    '-H', 'Content-Type: application/json', '-d',
    '{"email":"you@example.com","username":"you","password":"Passw0rd"}')
    ->json->{accessToken};
isnt($token, undef, 'somebody signs up');
my $owner = "postgresql://nchat_admin:choose-one\@127.0.0.1:$pg_port/nchat";
my ($code, $users) = $root->run('nchat-admin', '--json', '--database', $owner,
                                'user', 'list');
like($users, qr/you\@example\.com/, 'nchat-admin knows');
is(($root->run('sh', '-c', 'echo Passw0rd | nchat-admin --database "$1" user '
               . 'create --stdin ada@example.com ada', 'sh', $owner))[0], 0,
   'and makes accounts');
is(fetch('POST', "$base/api/auth/signin",
         '-H', 'Content-Type: application/json', '-d',
         '{"email":"ada@example.com","password":"Passw0rd"}')->status, 200,
   'that can sign in');
is((stat $root->folder . "/etc/nchat/$_")[2] & 0777, 0600, "$_ is private")
    for qw(jwt.key pgpass);


# An upgrade as in the README, while clients go on.

($status) = $root->run('dpkg', '--install', @debs);
is($status, 0, 'the packages once more, under a running nginx');

my $before = $root->read('/run/nginx.pid');
my $client = fork // die "fork: $!\n";
if ($client == 0) {
    my $ends = time + 60;
    my ($done, $n);
    local $SIG{TERM} = sub { $done = 1 };
    while (!$done && time < $ends) {
        # Each from an address of its own, because of the rate limit.
        my $from = '127.1.' . ($n++ >> 7) . '.' . ($n & 127);
        my $got  = get('/api/config', '--interface', $from)->status;
        POSIX::_exit(1) if $got != 200 && !$done;
    }
    POSIX::_exit($n > 20 ? 0 : 2);
}

my ($upgrade) = grep { /USR2/ } map { $_->{text} } blocks('README.md');
($says, $failed) = run_block($upgrade, 'env', $root->command, 'env',
                             "NCHAT_DATABASE_URL=$owner");
is($failed, undef, 'the upgrade of the README') or diag($says);
isnt($root->read('/run/nginx.pid'), $before, 'another nginx runs');
ok(wait_for(sub { !-e $root->folder . '/run/nginx.pid.oldbin' }, 10),
   'the old one has ended');
kill 'TERM', $client;
waitpid $client, 0;
is($?, 0, 'nobody has noticed');
is(get('/api/auth/me', '-H', "Authorization: Bearer $token")->status, 200,
   'tokens are good as before');
is((grep { /\[(?:alert|crit|emerg)\]/ && !($> && /initgroups/) }
    split /^/, $root->read('/var/log/nginx/error.log')), 0,
   'nothing alarming in the error log');


# And away with it.

kill 'QUIT', $root->read('/run/nginx.pid');
ok(wait_for(sub { !-e $root->folder . '/run/nginx.pid' }, 10), 'nginx ends');
is(($root->run('rm', '/etc/nginx/conf.d/nchat.conf',
               '/etc/nginx/modules-enabled/60-nchat.conf'))[0], 0,
   'the configuration is removed');
$root->run('sed', '-i', '/nchat/d', '/etc/nginx/sites-available/default');
($status, $output) = $root->run('dpkg', '--purge', 'libnginx-mod-http-nchat',
                                'nchat-common');
is($status, 0, 'dpkg --purge') or diag($output);
unlike($output, qr/warning/, 'without a warning');
nginx_is_right('after');
is(qx(cd '@{[ $root->folder ]}' && find etc/nginx usr -name 'nchat*' -o -name '*[-_]nchat*'), '',
   'nothing is left of the packages');

done_testing();

END {
    my $code = $?;
    kill 'TERM', $client if $client;
    if ($root && (my $pid = $root->read('/run/nginx.pid'))) { kill 'QUIT', $pid }
    system "$source/bin/nchat-postgres", 'stop', $folder
        if $folder && -e $folder;
    $? = $code;
}
