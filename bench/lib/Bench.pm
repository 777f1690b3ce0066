package Bench;

# The server that is measured, and what it is compared with. All of it runs on
# free ports, below one temporary folder that is gone at the end.

use strict;
use warnings;

use Cwd 'abs_path';
use File::Basename 'dirname';
use File::Temp 'tempdir';
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

use Measure ();

my $top = abs_path(dirname(__FILE__) . '/../..');
my @all;

# So that no checkpoint falls into one half of a comparison; for both halves.
my $postgres = "shared_buffers = 1GB\nmax_wal_size = 8GB\n"
    . "checkpoint_timeout = 30min";

# new(OPTION => VALUE...): nothing runs yet. Options:
#   http       further directives for the http block
#   set        { directive => 'whole directive;' }: replaces one of conf/
#   database   an owner's URL; without it there is a cluster of its own
#   postgres   further lines of that cluster's configuration
# Whatever ends the process also ends what this started.
sub new {
    my ($class, %o) = @_;

    my $self = bless {
        top => $top, port => free_port(), peers => [], clusters => [],
        home => tempdir('nchat-bench-XXXXXX', TMPDIR => 1, CLEANUP => 0),
        pid => $$, %o
    }, $class;

    chmod 0755, $self->{home};

    # what is compared with: other locations of the same nginx

    mkdir "$self->{home}/$_" for qw(conf.d server.d static);
    $self->configure(%o);

    $SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1 };
    push @all, $self;

    return $self;
}

END {
    my $status = $?;

    for my $self (@all) {
        $self->remove if $self->{pid} == $$;
    }

    $? = $status;
}

# configure(http => ..., set => ...): for the next start.
sub configure {
    my ($self, %o) = @_;

    spew("$self->{home}/conf.d/bench.conf", $o{http} // '');
    spew("$self->{home}/puts", join '', map { "$_\t$o{set}{$_}\n" }
                                        sort keys %{ $o{set} // {} });
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "no free port: $!\n";

    return $socket->sockport;
}

# As bin/nchat starts it: its private cluster is there already.
sub command {
    my ($self, $command) = @_;

    local %ENV = (%ENV, NCHAT_HOME => $self->{home},
                  NCHAT_PORT => $self->{port}, NCHAT_LISTEN => '127.0.0.1',
                  NCHAT_RATE_LIMITS => 'off',
                  NCHAT_CONF_PUTS => "$self->{home}/puts",
                  NCHAT_DATABASE_URL => $self->{database} // '',
                  NCHAT_POSTGRES_SETTINGS => $postgres);

    # what it starts must not keep our pipe open
    my $text = `"$top/bin/nchat" $command 2>&1 </dev/null`;
    die "nchat $command failed:\n$text" if $?;
}

sub start {
    my ($self) = @_;

    $self->{running} = 1;
    $self->command('start');
    $self->{url} = "http://127.0.0.1:$self->{port}";

    for (slurp("$self->{home}/env")) {
        ($self->{database}) = /^NCHAT_DATABASE_URL=(.*)/m;
    }
    $self->{database} =~ s/^["']|["']$//g;
}

sub stop {
    my ($self) = @_;

    $self->command('stop') if delete $self->{running};
}

# cluster: a Postgres that outlives a stop; returns its owner's URL.
sub cluster {
    my ($self) = @_;
    my $folder = "$self->{home}/cluster";

    local $ENV{NCHAT_POSTGRES_SETTINGS} = $postgres;

    push @{ $self->{clusters} }, $folder;
    run("$top/bin/nchat-postgres", 'create', $folder, 'CREATEROLE', 'CREATEDB');
    run("$top/bin/nchat-postgres", 'start', $folder);

    chomp(my $url = `"$top/bin/nchat-postgres" url '$folder'`);
    return $self->{database} = $url;
}

# Everything that was started, and the folder.
sub remove {
    my ($self) = @_;

    for my $pid (splice @{ $self->{peers} }) {
        kill TERM => $pid;
        waitpid $pid, 0;
    }

    eval { $self->stop; 1 } or warn $@;

    for my $folder (splice @{ $self->{clusters} }) {
        system "$top/bin/nchat-postgres", 'stop', $folder;
    }

    system 'rm', '-rf', $self->{home};
}

# location TEXT: adds to the server block, for the limits.
sub location {
    my ($self, $text) = @_;
    my @old = $self->workers;

    open my $out, '>>', "$self->{home}/server.d/bench.conf" or die "$!\n";
    print $out $text;
    close $out;

    return if !$self->{running};
    $self->command('reload');

    # connections to the old workers would be closed in mid-measurement
    for (1 .. 100) {
        my %now = map { $_ => 1 } $self->workers;
        return if !grep { $now{$_} } @old;
        sleep 0.1;
    }
}

# workers: their process ids.
sub workers {
    my ($self) = @_;

    my ($master) = slurp("$self->{home}/nginx.pid") =~ /(\d+)/ or return;
    return grep { slurp("/proc/$_/cmdline") =~ /worker process/ }
        children($master);
}

sub children {
    my ($pid) = @_;

    return split ' ', slurp("/proc/$pid/task/$pid/children");
}

# file NAME, TEXT: written where everybody may read it.
sub file {
    my ($self, $name, $text) = @_;

    spew("$self->{home}/static/$name", $text);
    return "$self->{home}/static/$name";
}

sub curl {
    my ($self, $path, @args) = @_;

    return Measure::capture('curl', '-sS', '--fail-with-body', @args,
                            "$self->{url}$path");
}

sub post {
    my ($self, $path, $data, @args) = @_;

    return decode_json($self->curl($path, '--data-binary', encode_json($data),
                                   @args));
}

# owner: signs up the first account and returns it: email, username, password,
# id, token, and bearer, the header with it.
sub owner {
    my ($self) = @_;

    return $self->{owner} //= do {
        my $account = { email => 'bench@example.com', username => 'bench',
                        password => 'Passw0rd' };
        my $answer = $self->post('/api/auth/signup', $account);

        +{ %$account, id => $answer->{user}{id},
           token => $answer->{accessToken},
           bearer => "Authorization: Bearer $answer->{accessToken}" };
    };
}

# webhook: one of channel "general": id, token, path.
sub webhook {
    my ($self) = @_;

    return $self->{webhook} //= do {
        local $ENV{NCHAT_HOME} = $self->{home};
        my $made = decode_json(Measure::capture("$top/bin/nchat-admin",
            '--json', 'webhook', 'create', '--channel', 'general', '--name',
            'bench'));

        +{ %$made, path => "/api/webhook/$made->{id}/$made->{token}" };
    };
}

sub psql {
    my ($self, $sql, $url) = @_;

    local $ENV{PGOPTIONS} = '-c client_min_messages=error';
    my $text = Measure::capture('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c',
                                $sql, $url // $self->{database});
    chomp $text;

    return $text;
}

# psql_file NAME, VARIABLE => VALUE...: a file of this folder, as the owner.
sub psql_file {
    my ($self, $name, %variables) = @_;

    Measure::capture('psql', '-Xq', (map { ('-v', "$_=$variables{$_}") }
                                     sort keys %variables),
                     '-f', "$top/bench/$name", $self->{database});
}

# The URL of the module's own role.
sub module_url {
    my ($self) = @_;

    my ($role, $password) = split /\|/, $self->psql(
        "SELECT nchat_module_role(), value FROM node_secrets
          WHERE name = 'module_password'");
    return $self->{database} =~ s{//[^@]*@}{//$role:$password@}r;
}

# statement FUNCTION, sub: the statement with which the module calls this SQL
# function, as Postgres received it; the sub sends a request that needs it.
sub statement {
    my ($self, $function, $request) = @_;
    my $url = $self->module_url;

    for (1 .. 20) {
        $request->();
        my $sql = $self->psql('SELECT query FROM pg_stat_activity'
            . ' WHERE usename = current_user AND pid <> pg_backend_pid()'
            . " AND query LIKE '% $function(\$1%' LIMIT 1", $url);
        return $sql if $sql ne '';
    }

    die "the module does not call $function\n";
}

# peer NAME, ENV: npm's packages into a cache, then the program.
sub peer {
    my ($self, $name, %env) = @_;

    my $port = free_port();
    my $cache = "$top/build/bench-$name";
    my $from = "$top/bench/peers/$name";

    system("mkdir -p '$cache' && cp '$from'/*.js '$from'/*.json '$cache/' "
           . "&& cd '$cache' && npm install --no-audit --no-fund --silent "
           . ">npm.log 2>&1") == 0
        or die "npm install for $name failed: see $cache/npm.log\n";

    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        %ENV = (%ENV, PORT => $port, NODE_ENV => 'production', %env);
        chdir $cache;
        exec 'node', 'server.js' or POSIX::_exit(127);
    }

    push @{ $self->{peers} }, $pid;

    for (1 .. 100) {
        return "http://127.0.0.1:$port"
            if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        sleep 0.1;
    }
    die "$name did not start\n";
}

# load(REQUESTS, OPTION => VALUE...): measures by load.c. REQUESTS come from
# request(); the rest is as in Measure::load.
sub load {
    my ($self, $requests, %o) = @_;

    return Measure::load($self->{port}, $requests, %o);
}

# request METHOD, PATH, [HEADERS], BODY: its bytes.
sub request {
    my ($self, $method, $path, $headers, $body) = @_;

    return join "\r\n", "$method $path HTTP/1.1",
        "Host: 127.0.0.1:$self->{port}", @{ $headers // [] },
        defined $body ? ('Content-Type: application/json',
                         'Content-Length: ' . length $body) : (),
        '', $body // '';
}

sub run {
    system(@_) == 0 or die "@_ failed\n";
}

sub slurp {
    my ($path) = @_;

    open my $in, '<:raw', $path or return '';
    return do { local $/; <$in> } // '';
}

sub spew {
    my ($path, $text) = @_;

    open my $out, '>:raw', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
}

1;
