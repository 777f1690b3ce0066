# The documentation is true: its commands are run, its configurations are read
# by nginx, and what it names exists.

use strict;
use warnings;

use lib 't/lib';

use Cwd qw(getcwd);
use File::Temp ();
use Test::More;

use NchatTest;
use NchatTest::Cluster qw(slurp spew);
use NchatTest::Ops;
use NchatTest::Readme;

plan skip_all => 'the server itself is tested elsewhere'
    if $ENV{NCHAT_TEST_ASAN};

my @documents = ('README.md', 'examples/README.md', sort glob 'docs/*.md');
my $root = $NchatTest::root;
my $temp = File::Temp->newdir('nchat-readme-XXXXXX', TMPDIR => 1);
chmod 0755, "$temp";

# What is not run here, and why. The syntax of all is checked.
my %elsewhere = (
    'make run'    => 'stays in the foreground: t/01_ops_life.t',
    'make test'   => 'runs this',
    'make deb'    => 't/75_packages.t',
    'sudo apt install ./build/deb/nchat-common_*.deb '
        . './build/deb/libnginx-mod-http-nchat_*.deb'
        => 'changes the machine: t/75_packages.t, by dpkg in a root of its own',
    'make NGINX_SRC="$HOME/src/nginx-1.28.0"'
        => 'compiles a whole nginx: make test-asan does, from its sources'
);

# Blocks that t/75_packages.t runs, by a command of theirs.
my @packaged = (qr/modules-enabled/, qr/USR2/);

my $n     = NchatTest->new(limits => 1);
my $owner = $n->database_url;
my %seen;

# in_order(TEXT): the commands of a block, as one pastes them, in a folder that
# looks like this one.
mkdir "$temp/clone";
symlink "$root/$_", "$temp/clone/$_" for qw(bin build conf examples sql);
symlink $n->home, "$temp/clone/var";

sub in_order {
    my ($name, $text, %env) = @_;
    my ($here, $url) = (getcwd, $n->url);

    $seen{$text}++;
    $text =~ s{http://localhost:3000}{$url}g;
    $text =~ s/^(?:$_)(?: *#.*)?\n//mg for map { quotemeta } keys %elsewhere;
    $text =~ s/\bsudo //g;
    $text =~ s{/usr/local/nginx}{$temp/nginx}g;

    chdir "$temp/clone" or die "chdir: $!\n";
    delete local @ENV{ grep { /^NCHAT_/ } keys %ENV };
    local @ENV{keys %env} = values %env;
    my ($output, $failed) = run_block($text);
    chdir $here;

    is($failed, undef, $name) or diag($output);
    my $curls = () = $text =~ /^curl /mg;
    my @good  = $output =~ /\[status 2\d\d\]$/mg;
    is(scalar @good, $curls, "$name: what it asks for is answered by 2xx")
        or diag($output);
    unlike($output, qr/\[status [^2]\d\d\]$/m, "$name: nothing else is");

    return $output;
}

sub readme { return block('README.md', @_)->{text} }


# The tour.

my $output = in_order('the tour', readme('A tour', 'sh'));
like($output, qr/"role":"owner"/, 'you are the owner');
like($output, qr/"appName": ?"My Team Chat"/, 'the configuration is changed');
like($output, qr/"messageId":"/, 'a message is there');
like($output, qr/"items":\[\{[^\n]*<mark>Deployment<\/mark> successful!/, 'and is found');
like($output, qr/"action":"config_update"/, 'the audit log has it');
like($output, qr/^nchat_messages_total 1$/m, 'the metrics count it');


# The operator's tool.

$output = in_order('the operator\'s tool', readme("The operator's tool", 'sh'));
like($output, qr/you\@example\.com/, 'it knows the owner');
is(scalar $n->rows("SELECT 1 FROM users WHERE email = 'ada\@example.com'
                                          AND role = 'admin'"), 1,
   'ada is an admin');
is(scalar $n->rows("SELECT 1 FROM channel_members m JOIN channels c
                        ON c.id = m.channel_id WHERE c.name = 'secret-lab'"),
   1, 'and in the channel');


# A backup, brought back.

my ($restored) = map { s{/(\w+)(\?|$)}{/$1_restored$2}r } $owner;
my ($name)     = $restored =~ m{/(\w+)(?:\?|$)};
$n->cluster->sql("CREATE DATABASE $name");
my ($backup) = grep { /pg_dump/ } map { $_->{text} } blocks('README.md');
in_order('backup and restore', $backup, NCHAT_DATABASE_URL => $owner,
         NEW_DATABASE_URL => $restored);
is(NchatTest::Cluster::psql($restored, 'SELECT count(*) FROM messages'), 1,
   'the message is back');

my $again = NchatTest::Cluster::psql($restored, 'SELECT nchat_module_role()');
my $password = NchatTest::Cluster::psql($restored,
    "SELECT value FROM node_secrets WHERE name = 'module_password'");
is(NchatTest::Cluster::psql($restored =~ s{//[^@]*@}{//$again:$password@}r,
                            'SELECT nchat_schema_version() > 0'), 't',
   'and the module\'s role can read it');


# Any other nginx: its folder, then its configuration.

in_order('installing by hand', readme('Any other', 'sh'),
         NCHAT_DATABASE_URL => $owner);

my @pair = ("$temp/nginx/conf/tls.crt", "$temp/nginx/conf/tls.key");
my ($status) = run_command({}, qw(openssl req -x509 -newkey rsa:2048 -nodes
                                  -subj /CN=x -out), $pair[0], '-keyout', $pair[1]);
is($status, 0, 'a certificate');
mkdir "$temp/nginx/logs";
spew("$temp/nginx/conf/jwt.key", 'k' x 40);
spew("$temp/nginx/conf/pgpass", "*:*:nchat:nchat_module:secret\n");
chmod 0600, "$temp/nginx/conf/pgpass";
delete $n->{tls_port};
my $port = free_port();
my @nginx = ($ENV{NCHAT_NGINX} // (-x "$root/build/nginx" ? "$root/build/nginx"
                                                          : '/usr/sbin/nginx'),
             '-p', "$temp/nginx/", '-c', "$temp/nginx/conf/nginx.conf",
             '-e', 'stderr', '-t');

# nginx_takes(NAME, TEXT): here, with names that need no resolver.
sub nginx_takes {
    my ($name, $text) = @_;

    $text =~ s{/etc/nchat/}{$temp/nginx/conf/}g;
    $text =~ s{/var/lib/nchat}{$temp/nginx/files}g;
    $text =~ s/\bdb\d?\.example\b/127.0.0.1/g;
    $text =~ s/listen( +)443/listen${1}127.0.0.1:$port/;
    spew("$temp/nginx/conf/nginx.conf", "$text\nevents { }\npid nginx.pid;\n");

    my ($code, $says) = run_command({}, @nginx);
    is($code, 0, "nginx takes $name") or diag($says);
    return $says;
}

my ($whole, @parts) = grep { $_->{language} eq 'nginx' }
                      map { blocks($_) } @documents;
nginx_takes('the configuration of the README', $whole->{text});

for my $part (@parts) {
    my ($lines) = $part->{text} =~ /^http \{\n(.*)^\}\n\z/ms
        or die "$part->{file}:$part->{line}: no http block\n";
    my $text = $whole->{text};

    # What the part says replaces what is there.
    $text =~ s/^    \Q$_\E .*\n//m for $lines =~ /^ *(\w+) /mg;
    $text =~ s/^(    server \{)/$lines\n$1/m;
    nginx_takes("$part->{file}:$part->{line}", $text);
}


# Directives: all are there, and their defaults are such.

my @sources = map { slurp($_) } 'ngx_http_nchat_module.c', glob 'src/fetch/*.c';
my @names   = map { /\{ ngx_string\("(nchat\w*)"\),\s+NGX_HTTP/g } @sources;
my $text    = slurp('README.md');
is_deeply([ sort $text =~ /^#### (nchat\w*)$/mg ], [ sort @names ],
          'every directive has its section');

my @defaults;
while ($text =~ /^Syntax: \*\*(\w+)\*\*[^\n]*Default: `([^`]+)`/mg) {
    push @defaults, "    $1 $2;\n";
}
cmp_ok(scalar @defaults, '>', 8, 'there are defaults');
my $with = $whole->{text};
for my $default (@defaults) {
    my ($directive) = $default =~ /(\w+)/;
    $with =~ s/^    $directive .*\n//m;
    $with =~ s/^(    server \{)/$default$1/m;
}
nginx_takes('all defaults', $with);


# Prometheus.

SKIP: {
    my ($promtool) = grep { -x } map { "$_/promtool" }
                     split(/:/, $ENV{PATH}), 'build/tools';
    skip 'no promtool (bin/nchat-deps --promtool)', 1 if !$promtool;

    my ($yaml) = grep { $_->{language} eq 'yaml' } blocks('README.md');
    spew("$temp/prometheus.yml", $yaml->{text}
         =~ s{/usr/share/nchat/}{$root/conf/}r);
    my ($code, $says) = run_command({}, $promtool, 'check', 'config',
                                    "$temp/prometheus.yml");
    is($code, 0, 'promtool takes the scrape configuration') or diag($says);
}


# Nothing is left out: every command was run, or is one of the list.

my %unused = %elsewhere;

for my $block (map { blocks($_) } @documents) {
    my $where = "$block->{file}:$block->{line}";
    next if $block->{language} ne 'sh';

    my $packaged = grep { $block->{text} =~ $_ } @packaged;

    for my $command (commands($block->{text})) {
        my $bare = $command =~ s/(?: +#[^\n]*)?\n\z//r;
        ok(!!delete $unused{$bare} || $elsewhere{$bare} || $packaged
           || $seen{ $block->{text} }, "$where: $bare");
    }
}
is(join(', ', sort keys %unused), '', 'the list has nothing else');

# In the text: make's targets, scripts and their arguments.
for my $document (@documents) {
    my $text = slurp($document);

    $text =~ s/^```.*?^```$//msg;
    for my $words ($text =~ /`((?:make|bin\/|nchat-(?:admin|migrate))[^`]*)`/g) {
        my $file = File::Temp->new;
        print $file $words;
        $file->flush;
        is(system("bash -n $file"), 0, "$document: $words: syntax");

        my ($make, $target) = $words =~ /^(make(?: -C \S+)?) ?([a-z]\S*)?/;
        my ($script, $arguments) = $words =~ /^(?:bin\/)?(nchat-\w+) ?(.*)/;
        if ($make) {
            is(system("$make -n " . ($target // 'build') . ' >/dev/null 2>&1'), 0,
               "$document: $words: make knows it");
        } elsif ($script eq 'nchat-admin') {
            is(system("bin/nchat-admin $arguments --help >/dev/null 2>&1"), 0,
               "$document: $words: it knows the command");
        } else {
            ok(-x "bin/$script", "$document: bin/$script exists");
            ok(-e, "$document: $_ exists") for $arguments =~ /(t\/\S+)/g;
        }
    }

    # Links.
    my ($folder) = $document =~ m{^(.*/)};
    for my $link ($text =~ /\]\(([^):#]+)\)/g) {
        ok(-e(($folder // '') . $link), "$document: $link exists");
    }
}


# Names in the text.

my $scripts = join '', map { slurp($_) } glob 'bin/* bin/lib/*';
for my $variable ($text =~ /`(NCHAT_[A-Z_]+)[`=]/g) {
    like($scripts, qr/\b$variable\b/, "$variable is known");
}

my $architecture = slurp('docs/architecture.md');
for my $file ($architecture =~ m{\b((?:http|db|core|api|fetch)/\w+(?:\*\.c|\.c))}g) {
    ok(scalar(() = glob "src/$file"), "src/$file exists");
}

my ($example) = grep { $_->{language} eq 'c' } blocks('docs/developing.md');
my $headers = join '', map { slurp($_) } glob 'src/*/*.h';
for my $call ($example->{text} =~ /\b(nchat_(?!api)\w+)\(/g) {
    like($headers, qr/\b$call\(/, "$call() is offered");
}

finish();
