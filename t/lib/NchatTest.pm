package NchatTest;

# The test harness: starts nchat (bin/nchat, as a user would) in a temporary
# folder with a database of its own, talks HTTP to it, and watches its error
# log. See docs/developing.md for a tour.

use strict;
use warnings;
use utf8;

use Encode ();
use Exporter 'import';
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes ();

use NchatTest::Cluster;
use NchatTest::Connection;
use NchatTest::Response;

our @EXPORT = qw(finish wait_for is_ok is_error free_port encode_json decode_json);

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
sub new {
    my ($class, %options) = @_;

    my $self = bless {
        options  => \%options,
        allowed  => [],
        accounts => {},
        seen     => 0,
        pid      => $$
    }, $class;

    $self->{temp} = File::Temp->newdir('nchat-test-XXXXXX', TMPDIR => 1);
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
    return ($? >> 8, NchatTest::Cluster::slurp($output->filename));
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
    my $pid = NchatTest::Cluster::slurp("$_[0]{home}/nginx.pid");
    return $pid =~ /(\d+)/ ? $1 : undef;
}

sub workers {
    my $master = $_[0]->master // return;
    my $pids   = NchatTest::Cluster::slurp(
                                    "/proc/$master/task/$master/children");
    return grep { -r "/proc/$_/cmdline"
                  && NchatTest::Cluster::slurp("/proc/$_/cmdline")
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
        !grep { NchatTest::Cluster::slurp("/proc/$_/cmdline")
                =~ /worker process(?! is shutting down)/ } @old
    }, 10) or die "the old workers go on after a reload\n";
}

# The access log is written within a second.
sub error_log  { NchatTest::Cluster::slurp("$_[0]{home}/logs/error.log") }
sub access_log { NchatTest::Cluster::slurp("$_[0]{home}/logs/access.log") }

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


# HTTP.

# connection(OPTION => VALUE...): see NchatTest::Connection.
sub connection {
    my ($self, %options) = @_;
    return NchatTest::Connection->new(port => $self->{port}, %options);
}

# request(METHOD, PATH, OPTION => VALUE...): returns (the bytes of a request).
#   json      data, sent as JSON       body   bytes, sent as they are
#   token     a bearer token           headers { name => value or undef }
#   chunked   true, or a chunk size: the body is sent in chunks
#   close     true: with Connection: close
sub request {
    my ($self, $method, $path, %options) = @_;
    my $body = exists $options{json} ? $json->encode($options{json})
                                     : $options{body};

    my %headers = (Host => "localhost:$self->{port}");
    $headers{'Content-Type'}  = 'application/json' if exists $options{json};
    $headers{'Authorization'} = "Bearer $options{token}" if $options{token};
    $headers{'Connection'}    = 'close' if $options{close};

    if (defined $body && $options{chunked}) {
        $headers{'Transfer-Encoding'} = 'chunked';
        $body = chunks($body, $options{chunked});

    } elsif (defined $body) {
        $headers{'Content-Length'} = length $body;
    }

    my $given = $options{headers} // {};
    for my $name (keys %$given) {
        delete $headers{$_} for grep { lc eq lc $name } keys %headers;
        $headers{$name} = $given->{$name};
    }

    return "$method $path HTTP/1.1\r\n"
           . join('', map { "$_: $headers{$_}\r\n" }
                      grep { defined $headers{$_} } sort keys %headers)
           . "\r\n" . ($body // '');
}

sub chunks {
    my ($body, $size) = @_;
    my $out = '';

    $size = 1000 if $size == 1;
    while (length $body) {
        my $piece = substr $body, 0, $size, '';
        $out .= sprintf "%x\r\n%s\r\n", length $piece, $piece;
    }

    return "${out}0\r\n\r\n";
}

# http(METHOD, PATH, OPTION => VALUE...): sends a request, returns a
# NchatTest::Response. Options: those of request, and
#   on        a connection to use again (keepalive)
#   timeout   seconds, 30
sub http {
    my ($self, $method, $path, %options) = @_;
    my $connection = $options{on}
                     // $self->connection(timeout => $options{timeout} // 30);

    $connection->send($method, $self->request($method, $path, %options));
    my $response = $connection->receive
        or die "$method $path: the connection was closed without an answer\n";

    $self->record($method, $path, $response, \%options);
    return $response;
}

sub get     { my $self = shift; return $self->http('GET', @_) }
sub head    { my $self = shift; return $self->http('HEAD', @_) }
sub options { my $self = shift; return $self->http('OPTIONS', @_) }
sub delete  { my $self = shift; return $self->http('DELETE', @_) }
sub put     { my $self = shift; return $self->http('PUT', @_) }

# post(PATH, DATA, OPTION => VALUE...), patch(…): with a JSON body.
sub post {
    my ($self, $path, $data, %options) = @_;
    return $self->http('POST', $path, json => $data, %options);
}

sub patch {
    my ($self, $path, $data, %options) = @_;
    return $self->http('PATCH', $path, json => $data, %options);
}

# raw(BYTES): sends them on a connection of their own, returns the answers up to
# its end (or after `timeout` seconds, 5).
sub raw {
    my ($self, $bytes, %options) = @_;
    my $connection = $self->connection(timeout => $options{timeout} // 5);
    my @answers;

    $connection->queue(undef, $bytes);
    eval {
        $connection->send(undef, '');
        while (my $answer = $connection->receive) { push @answers, $answer }
    };
    $self->record('-', '-', $_, {}) for @answers;

    return @answers;
}

# parallel([METHOD, PATH, OPTION => VALUE...]...): sends all of them at once,
# each on its own connection; returns the answers in the same order, undef where
# there was none.
sub parallel {
    my ($self, @requests) = @_;
    my (@answers, %waiting, %index);
    my $deadline = Time::HiRes::time() + 60;

    for my $i (0 .. $#requests) {
        my ($method, $path, %options) = @{ $requests[$i] };
        my $connection = $self->connection(from => $options{from});
        $connection->queue($method, $self->request($method, $path, %options));
        $index{ fileno $connection->socket }   = $i;
        $waiting{ fileno $connection->socket } = $connection;
    }

    while (%waiting && Time::HiRes::time() < $deadline) {
        my $read  = IO::Select->new(map { $_->socket } values %waiting);
        my $write = IO::Select->new(map { $_->socket }
                                    grep { $_->wants_write } values %waiting);
        my ($readable, $writable) = IO::Select->select($read, $write, undef, 1);

        $waiting{ fileno $_ }->on_writable for @{ $writable // [] };

        for my $socket (@{ $readable // [] }) {
            my $connection = $waiting{ fileno $socket };
            my $i          = $index{ fileno $socket };

            $connection->on_readable;
            $answers[$i] = $connection->parse;
            next if !$answers[$i] && !$connection->{closed};

            CORE::delete $waiting{ fileno $socket };
            my ($method, $path, %options) = @{ $requests[$i] };
            $self->record($method, $path, $answers[$i], \%options)
                if $answers[$i];
        }
    }

    $#answers = $#requests;
    return @answers;
}

# http2(METHOD, PATH, OPTION => VALUE...): over TLS and HTTP/2, by curl. Needs
# the option tls of new.
sub http2 {
    my ($self, $method, $path, %options) = @_;
    my $given = $options{headers} // {};
    my @arguments = ('-X', $method);

    @arguments = ('-I') if $method eq 'HEAD';
    push @arguments, '-H', "$_: $given->{$_}" for sort keys %$given;
    push @arguments, '-H', "Authorization: Bearer $options{token}"
        if $options{token};

    if (exists $options{json} || defined $options{body}) {
        spew("$self->{temp}/body", exists $options{json}
                                   ? $json->encode($options{json})
                                   : $options{body});
        push @arguments, '-H', 'Content-Type: application/json',
                         '--data-binary', "\@$self->{temp}/body";
    }

    my $output = $self->curl('-i', '-k', '--http2', @arguments,
                             $self->tls_url . $path);
    $output =~ s/^HTTP\/2 /HTTP\/1.1 /;

    my $connection = bless { in => $output, closed => 1, heads => [$method],
                             started => Time::HiRes::time() },
                           'NchatTest::Connection';
    my $response = $connection->parse
        or die "$method $path over HTTP/2: no answer\n";
    $self->record($method, $path, $response, \%options);

    return $response;
}

# curl(ARGUMENT...): what it prints.
sub curl {
    my ($self, @arguments) = @_;

    open my $pipe, '-|', 'curl', '-s', '--noproxy', '*', '-m', 30, @arguments
        or die "curl: $!\n";
    binmode $pipe;
    local $/;

    return <$pipe> // '';
}

# NCHAT_CONTRACT_LOG: a file that gets every answer as a line of JSON.
sub record {
    my ($self, $method, $path, $response, $options) = @_;
    my $file = $ENV{NCHAT_CONTRACT_LOG} or return;

    my %entry = (
        test    => $0,
        method  => $method,
        path    => $path,
        status  => $response->status + 0,
        headers => $response->headers,
        body    => substr(Encode::decode('UTF-8', $response->body), 0, 262144)
    );
    $entry{request} = $options->{json} if exists $options->{json};

    open my $out, '>>', $file or die "$file: $!\n";
    syswrite $out, $json->encode(\%entry) . "\n";
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

sub spew {
    my ($file, $text) = @_;

    open my $out, '>:raw', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}


# The end. Every test ends with finish() instead of done_testing().

# What must not be in an error log.
sub bad_lines {
    my $self = shift;

    return grep {
        my $line = $_;
        $line =~ /\[(?:alert|crit|emerg)\]|ERROR: \w+Sanitizer|runtime error:/
            && !grep { $line =~ $_ } @{ $self->{allowed} };
    } split /\n/, $self->{output} . $self->error_log;
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
            or diag(join "\n", @bad[0 .. ($#bad > 19 ? 19 : $#bad)]);
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
            diag(join "\n", @bad[0 .. ($#bad > 9 ? 9 : $#bad)]);
        }

        @instances = ();
        $? = $status;
    }
}

1;
