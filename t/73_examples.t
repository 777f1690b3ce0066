# Every example does what it says.

use strict;
use warnings;
use lib 't/lib';

use Test::More;

use NchatTest;
use NchatTest::Chat;
use NchatTest::Cluster qw(slurp spew);
use NchatTest::Root;

my $n     = NchatTest->new(limits => 1);
my $owner = $n->owner;
my $who   = "$owner->{email} $owner->{password}";

$ENV{NCHAT_URL} = $n->url;
delete $ENV{$_} for grep { /^GITHUB_/ } keys %ENV;

sub run {
    my $command = shift;
    my $output  = qx($command 2>&1);
    return ($? >> 8, $output);
}

# run_example(COMMAND, NAME, WHAT IT PRINTS...)
sub run_example {
    my ($command, $name, @prints) = @_;
    my ($status, $output) = run($command);

    is($status, 0, "$name ends well") or diag($output);
    like($output, $_, "$name: $_") for @prints;
    return $output;
}

sub messages {
    return $n->rows('SELECT content, author_name FROM messages
                      ORDER BY created_at, id');
}


# JavaScript.

SKIP: {
    my ($node) = (qx(node --version 2>/dev/null) // '') =~ /^v(\d+)/;

    if (($node // 0) < 18) {
        diag("\n*** THE JAVASCRIPT EXAMPLE IS NOT TESTED: no node 18\n");
        skip 'no node', 1;
    }

    my $demo = 'node examples/javascript/demo.mjs';
    run_example("$demo $who", 'javascript', qr/^signed in as .*, owner$/m,
                qr/^the application is called My Team Chat$/m,
                qr{^uploaded checklist\.txt: http://.*/files/}m,
                qr/^found: checklist\.txt$/m, qr/goes on with a new token$/m);
    run_example("$demo new\@example.com Passw0rd", 'javascript, somebody new',
                qr/^signed in as new, member$/m);

    my ($status, $output) = run("$demo x\@example.com short");
    isnt($status, 0, 'javascript: a refusal is an error');
    like($output, qr/VALIDATION_ERROR/, 'which says what is wrong');
}


# Python.

$n->patch('/api/config', { branding => { appName => 'Before' } },
          token => $owner->{token});

run_example("/usr/bin/python3 examples/python/nchat.py $who", 'python',
            qr/^signed in as .*, owner$/m,
            qr/^the application is called My Team Chat$/m,
            qr{^uploaded notes\.txt: http://.*/files/}m, qr/^found: notes\.txt$/m);
is($n->get('/api/config')->json->{config}{branding}{appName}, 'My Team Chat',
   'python: the server says so too');
run_example('/usr/bin/python3 examples/python/nchat.py python@example.com Passw0rd',
            'python, somebody new', qr/^signed in as python, member$/m);


# Shell.

my $channel = channel($n, 'deployments');
my $hook    = webhook($n, $channel);

$ENV{NCHAT_WEBHOOK} = $hook->{path};
run_example("examples/shell/tour.sh $who", 'shell', qr/"status":"healthy"/,
            qr/^a token of \d{3,} characters$/m, qr/^\{"success":true,.*"config"/m,
            qr/^Configuration updated successfully$/m, qr/"results":\[/,
            qr/^X-RateLimit-Remaining: \d+/mi, qr/"messageId":"[0-9a-f-]{36}"/);
is_deeply([ messages() ], [ [ 'Deployment successful!', 'CI/CD Bot' ] ],
          'shell: the message is there');

my ($status) = run("examples/shell/tour.sh $owner->{email} wrong");
isnt($status, 0, 'shell: a refusal is an error');


# A CI job.

my $strict = webhook($n, $channel, secret => 'geheim', required => 1);

%ENV = (%ENV, NCHAT_WEBHOOK     => $n->url . $strict->{path},
              NCHAT_SECRET      => 'geheim',
              GITHUB_REPOSITORY => 'acme/"shop"', GITHUB_SHA => '0123456789',
              GITHUB_REF_NAME   => 'main', GITHUB_RUN_ID => 7);

run_example('examples/github/notify.sh success', 'github', qr/"messageId"/)
    for 1, 2;
my (undef, @told) = messages();
is_deeply(\@told,
          [ [ 'acme/"shop": CI on main (0123456): success', 'CI/CD Bot' ] ],
          'github: told once');

$ENV{NCHAT_SECRET} = 'wrong';
my ($wrong, $output) = run('examples/github/notify.sh failure');
isnt($wrong, 0, 'github: a wrong secret is an error');
like($output, qr/INVALID_TOKEN/, 'which says what is wrong');

# The workflow, as GitHub reads it; its step, as a runner does it.
my $temp = File::Temp->newdir;
my $step = qx(/usr/bin/python3 -c '
import sys, yaml
step = yaml.safe_load(open(sys.argv[1]))["jobs"]["build"]["steps"][-1]
print(*sorted(step["env"]), step["run"], sep="\\n")' examples/github/workflow.yml);
my (@names) = $step =~ /^(NCHAT_\w+)$/mg;
my ($command) = $step =~ /^(examples.*)$/m;
is("@names", 'NCHAT_SECRET NCHAT_WEBHOOK', 'the workflow sets both variables');

$ENV{NCHAT_SECRET}  = 'geheim';
$ENV{GITHUB_RUN_ID} = 8;
run_example($command =~ s/\$\{\{ job\.status \}\}/failure/r, 'workflow',
            qr/"messageId"/);


# A Dockerfile: no engine is needed to see that what it copies, runs and
# installs exists, and that the libraries are all that the module needs.

my $dockerfile = slurp('examples/docker/Dockerfile') =~ s/\\\n//gr;
ok(-x, "docker: $_") for $dockerfile =~ m{\b(bin/[\w-]+)}g;
my ($libraries) = $dockerfile =~ /--no-install-recommends +(lib[^&\n]*)/;
my %there = map { $_ => 1 } NchatTest::Root::closure(
    split(' ', $libraries), qw(nginx postgresql curl openssl python3));
my $module = $ENV{NCHAT_MODULE} // 'build/ngx_http_nchat_module.so';
my (%needs) = map { $_ => 1 } map { m{=> (/\S+)} ? $1 : () }
              grep { !/lib[al]?san|libubsan|libstdc|libgcc/ } qx(ldd '$module');
cmp_ok(scalar keys %needs, '>', 8, 'docker: the module needs libraries');

for my $file (sort keys %needs) {
    # The package may have it as /lib/… or /usr/lib/….
    my ($owner) = map { qx(dpkg -S '$_' 2>/dev/null) =~ /^([^:]+):/ }
                  $file, "/usr$file", $file =~ s{^/usr}{}r;
    ok($there{ $owner // '' }, "docker: $file is in the image");
}


# A unit for systemd.

SKIP: {
    if (system('command -v systemd-analyze >/dev/null') != 0) {
        diag("\n*** THE SYSTEMD UNIT IS NOT TESTED: no systemd-analyze\n");
        skip 'no systemd', 1;
    }

    my ($status, $output) = run(
        'systemd-analyze verify --man=no examples/systemd/nchat.service');
    is($status, 0, 'systemd finds nothing wrong') or diag($output);
    unlike($output, qr/nchat\.service/, 'and has nothing to say');
}

finish();
