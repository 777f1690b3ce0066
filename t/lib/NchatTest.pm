package NchatTest;

# The test harness: starts nchat (bin/nchat, as a user would) in a temporary
# folder with a database of its own, talks HTTP to it, and watches its error
# log.

use strict;
use warnings;
use utf8;

use Exporter 'import';
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes ();

use NchatTest::Client qw(chunks);
use NchatTest::Cluster qw(slurp spew);

our @ISA    = qw(NchatTest::Client);
our @EXPORT = qw(finish wait_for is_ok is_error free_port
                 encode_json decode_json);

our $root = $NchatTest::Cluster::root;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my (@instances, $finished, $tests_pid);

$tests_pid = $$;

# new(OPTION => VALUE...): starts an instance. Options:
#   workers       2
#   limits        rate limits, off unless true
#   bcrypt_cost   4, so that sign-ups are quick; 0 leaves the default
#   http, server  further directives for the http and server blocks
#   set           { directive => 'whole directive' }: replaces one of conf/
#   env           { NAME => value } for bin/nchat, e.g. NCHAT_ENVIRONMENT
#   tls           true: an HTTPS listener with HTTP/2, see http2
#   share         another instance whose database is to be used
#   own_postgres  true: a cluster of its own, which stop_postgres stops; a
#                 hash: its options, as NchatTest::Cluster->new takes them
#   home          a folder to use instead of a temporary one
# NCHAT_TEST_KEEP=1 in the environment keeps the temporary ones, with the logs.
sub new {
    my ($class, %options) = @_;

    my $self = bless {
        options  => \%options,
        allowed  => [],
        accounts => {}
    }, $class;

    $self->{temp} = File::Temp->newdir('nchat-test-XXXXXX', TMPDIR => 1,
                                       CLEANUP => !$ENV{NCHAT_TEST_KEEP});
    $self->{home} = $options{home} // "$self->{temp}/home";
    chmod 0755, "$self->{temp}";
    mkdir $self->{home};

    my $own = $options{own_postgres};
    $self->{cluster} = $own ? NchatTest::Cluster->new(ref $own ? %$own : ())
                     : $options{share} ? $options{share}{cluster}
                                       : NchatTest::Cluster->shared;
    $self->{database_url} = $options{share} ? $options{share}{database_url}
                                            : $self->{cluster}->database;
    push @instances, $self;
    $self->_write_configuration;
    $self->start;

    return $self;
}

sub _write_configuration {
    my $self    = shift;
    my $options = $self->{options};
    my $cost    = $options->{bcrypt_cost} // 4;
    my $http    = $cost ? "nchat_bcrypt_cost $cost;\n" : '';

    mkdir "$self->{home}/$_" for qw(conf.d server.d);
    spew("$self->{home}/conf.d/test.conf", $http . ($options->{http} // ''));
    spew("$self->{home}/server.d/test.conf", $options->{server} // '');

    my $set = $options->{set} // {};
    spew("$self->{home}/puts",
         join '', map { "$_\t$set->{$_}\n" } sort keys %$set);
}

sub _environment {
    my $self    = shift;
    my $options = $self->{options};

    return (
        %ENV,
        NCHAT_HOME         => $self->{home},
        NCHAT_PORT         => $self->{port},
        NCHAT_TLS          => $options->{tls} ? 'on' : 'off',
        NCHAT_TLS_PORT     => $self->{tls_port},
        NCHAT_DATABASE_URL => $self->{database_url},
        NCHAT_WORKERS      => $options->{workers} // 2,
        NCHAT_RATE_LIMITS  => $options->{limits} ? 'on' : 'off',
        NCHAT_CONF_PUTS    => "$self->{home}/puts",
        %{ $options->{env} // {} }
    );
}

# command(NAME): runs bin/nchat; returns (exit code, what it printed).
sub command {
    my ($self, $command) = @_;

    local %ENV = $self->_environment;
    my $output = File::Temp->new;
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        open STDOUT, '>&', $output;
        open STDERR, '>&', $output;
        open STDIN, '<', '/dev/null';
        exec "$root/bin/nchat", $command;
        exit 127;
    }

    waitpid $pid, 0;
    return ($? >> 8, slurp($output->filename));
}

sub start {
    my $self = shift;
    my ($status, $output);

    for (1 .. 3) {
        $self->{port}     = free_port();
        $self->{tls_port} = free_port();
        ($status, $output) = $self->command('start');
        last if $status == 0 || $output !~ /in use/;
    }

    $self->{output} .= $output;
    die "nchat start failed:\n$output" if $status;
}

sub stop    { $_[0]->command('stop') }
sub restart { $_[0]->stop; $_[0]->start }

sub home         { $_[0]{home} }
sub port         { $_[0]{port} }
sub url          { "http://127.0.0.1:$_[0]{port}" }
sub tls_url      { "https://127.0.0.1:$_[0]{tls_port}" }
sub database_url { $_[0]{database_url} }
sub cluster      { $_[0]{cluster} }

sub stop_postgres  { $_[0]{cluster}->stop }
sub start_postgres { $_[0]{cluster}->start }

# master, workers: process ids.
sub master {
    my $pid = slurp("$_[0]{home}/nginx.pid");
    return $pid =~ /(\d+)/ ? $1 : undef;
}

sub workers {
    my $master = $_[0]->master // return;
    my $pids   = slurp("/proc/$master/task/$master/children");
    return grep { -r "/proc/$_/cmdline"
                  && slurp("/proc/$_/cmdline")
                     =~ /worker process/ } split ' ', $pids;
}

# reload: returns when the new workers serve; old ones may still be finishing.
sub reload {
    my $self = shift;
    my %old  = map { $_ => 1 } $self->workers;

    my ($status, $output) = $self->command('reload');
    die "nchat reload failed:\n$output" if $status;

    wait_for(sub { scalar grep { !$old{$_} } $self->workers }, 10)
        or die "no new workers after a reload\n";
}

# reconfigure(http => ..., server => ...): replaces the further directives that
# new was given, reloads, and returns when no old worker accepts any more.
sub reconfigure {
    my ($self, %options) = @_;
    my @old = $self->workers;

    $self->{options} = { %{ $self->{options} }, %options };
    $self->_write_configuration;
    $self->reload;

    wait_for(sub {
        !grep { slurp("/proc/$_/cmdline")
                =~ /worker process(?! is shutting down)/ } @old
    }, 10) or die "the old workers go on after a reload\n";
}

# The access log is written within a second.
sub error_log  { slurp("$_[0]{home}/logs/error.log") }
sub access_log { slurp("$_[0]{home}/logs/access.log") }

# allow(qr/…/): an [alert], [crit] or [emerg] line that this test provokes.
sub allow { push @{ $_[0]{allowed} }, $_[1] }

sub psql {
    my ($self, $sql) = @_;
    return NchatTest::Cluster::psql($self->{database_url}, $sql);
}

# rows(SQL): an array of arrays.
sub rows {
    my ($self, $sql) = @_;
    return map { [ split /\t/, $_, -1 ] } split /\n/, $self->psql($sql);
}

# The URL of the module's own role, for tests of its rights.
sub module_url {
    my $self = shift;
    my ($role, $password) = split /\t/, $self->psql(
        "SELECT nchat_module_role(), value FROM node_secrets
          WHERE name = 'module_password'");
    return $self->{database_url} =~ s{//[^@]*@}{//$role:$password@}r;
}


# Accounts. Each is { email, username, password, id, role, token, refresh }.

# signup(OPTION => VALUE...): email, username, displayName, password; what is
# missing is made up.
sub signup {
    my ($self, %options) = @_;
    my $number = ++$self->{accounts}{count};
    my %data = (
        email    => "user$number-$$\@example.com",
        username => "user${number}_$$",
        password => 'Passw0rd',
        %options
    );

    return $self->_account($self->post('/api/auth/signup', \%data), %data);
}

# signin(ACCOUNT): signs in again, a new session.
sub signin {
    my ($self, $account) = @_;
    my %data = map { $_ => $account->{$_} } qw(email password);

    return $self->_account($self->post('/api/auth/signin', \%data), %$account);
}

sub _account {
    my ($self, $response, %data) = @_;

    $response->status == 200
        or die 'no account: ' . $response->summary . "\n";
    my $answer = $response->json;

    return {
        %data,
        id      => $answer->{user}{id},
        role    => $answer->{user}{role},
        token   => $answer->{accessToken},
        refresh => $answer->{refreshToken}
    };
}

# owner: the first account of the database. Only where no other test code signs
# up before.
sub owner {
    my $self = shift;
    return $self->{accounts}{owner} //= $self->signup;
}

# account(ROLE): a new account of that role, signed in with it.
sub account {
    my ($self, $role) = @_;

    $self->owner;
    my $account = $self->signup;
    return $account if $role eq 'member';

    $self->psql("UPDATE users SET role = '$role' WHERE id = '$account->{id}'");
    return $self->signin($account);
}


# Checks.

# is_ok(RESPONSE, NAME): a success answer in the envelope.
sub is_ok {
    my ($response, $name) = @_;
    my $body = $response->json;

    my $good = $response->status < 300 && ref $body eq 'HASH'
               && $body->{success};
    ok($good, $name) or diag($response->summary);
    return $good;
}

# is_error(RESPONSE, STATUS, CODE, NAME): an error answer, complete in shape.
sub is_error {
    my ($response, $status, $code, $name) = @_;
    my $body = $response->json;

    my $good = $response->status == $status && ref $body eq 'HASH'
               && JSON::PP::is_bool($body->{success}) && !$body->{success}
               && ($body->{code} // '') eq $code && length($body->{error} // '')
               && ref $body->{details} eq 'HASH'
               && ($response->header('content-type') // '')
                  eq 'application/json; charset=utf-8';
    ok($good, $name) or diag("wanted $status $code, got " . $response->summary);
    return $good;
}

# wait_for(sub { … }, SECONDS): until it is true; returns what it returned.
sub wait_for {
    my ($condition, $seconds) = @_;
    my $deadline = Time::HiRes::time() + ($seconds // 5);
    my $result;

    until ($result = $condition->()) {
        return $result if Time::HiRes::time() > $deadline;
        Time::HiRes::sleep(0.02);
    }

    return $result;
}

sub free_port {
    my $socket = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 1
    ) or die "no free port: $!\n";
    return $socket->sockport;
}

sub encode_json { $json->encode($_[0]) }
sub decode_json { $json->decode($_[0]) }

# The end. Every test ends with finish() instead of done_testing().

# What must not be in an error log; a sanitizer's report with its stack.
sub bad_lines {
    my $self  = shift;
    my @lines = split /\n/, $self->{output} . $self->error_log;
    my @bad;

    for my $i (0 .. $#lines) {
        my $line = $lines[$i];
        my $report = $line =~ /ERROR: \w+Sanitizer|runtime error:/;

        next if !$report && $line !~ /\[(?:alert|crit|emerg)\]/;
        next if grep { $line =~ $_ } @{ $self->{allowed} };

        my $last = $report ? $i + 24 : $i;
        $last = $#lines if $last > $#lines;
        push @bad, join "\n", @lines[$i .. $last];
    }

    return @bad;
}

sub finish {
    $finished = 1;

    for my $instance (@instances) {
        my ($status, $output) = $instance->stop;
        $instance->{stopped} = 1;
        like("$status $output", qr/^0 nchat is (?:stopped|not running)\n$/,
             'nchat stops in good order');

        my @bad = $instance->bad_lines;
        is(scalar @bad, 0, 'nothing alarming in the error log')
            or diag(join "\n", @bad[0 .. ($#bad > 4 ? 4 : $#bad)]);
    }

    done_testing();
}

END {
    if ($$ == $tests_pid) {
        my $status = $?;

        $_->stop for grep { !$_->{stopped} } @instances;

        if (@instances && !$finished && $status == 0) {
            diag('this test does not call finish()');
            $status = 1;
        }

        for my $instance ($finished ? () : @instances) {
            my @bad = $instance->bad_lines;
            diag(join "\n", @bad[0 .. ($#bad > 4 ? 4 : $#bad)]);
        }

        @instances = ();
        $? = $status;
    }
}

1;
