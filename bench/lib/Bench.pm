package Bench;

# The server that is measured, what it is compared with, and the table. All of
# it runs on free ports, below one temporary folder.

use strict;
use warnings;

use Cwd 'abs_path';
use File::Basename 'dirname';
use File::Temp 'tempdir';
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes 'sleep';

use Measure qw(median spread);

my $top = abs_path(dirname(__FILE__) . '/../..');

sub new {
    my ($class, %o) = @_;

    my $self = bless { top => $top, home => tempdir('nchat-bench-XXXXXX',
                       TMPDIR => 1, CLEANUP => 0), port => free_port(),
                       peers => [], %o }, $class;

    chmod 0755, $self->{home};

    # what is compared with: other locations of the same nginx

    mkdir "$self->{home}/server.d";
    mkdir "$self->{home}/files";

    return $self;
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "no free port: $!\n";

    return $socket->sockport;
}

sub command {
    my ($self, $command) = @_;

    local %ENV = (%ENV, NCHAT_HOME => $self->{home}, NCHAT_PORT => $self->{port},
                  NCHAT_RATE_LIMITS => 'off', NCHAT_LISTEN => '127.0.0.1');

    my $text = `"$top/bin/nchat" $command 2>&1`;
    die "nchat $command failed:\n$text" if $?;
}

sub start {
    my ($self) = @_;

    $self->command('start');
    $self->{running} = 1;
    $self->{url} = "http://127.0.0.1:$self->{port}";

    open my $env, '<', "$self->{home}/env" or die "env: $!\n";
    while (<$env>) {
        $self->{database} = $1 if /^NCHAT_DATABASE_URL=(.*)/;
    }
    $self->{database} =~ s/^["']|["']$//g;
}

sub stop {
    my ($self) = @_;

    for my $pid (splice @{ $self->{peers} }) {
        kill TERM => $pid;
        waitpid $pid, 0;
    }

    $self->command('stop') if delete $self->{running};
    system 'rm', '-rf', $self->{home};
}

# location TEXT: adds to the server block, for the limits.
sub location {
    my ($self, $text) = @_;

    open my $out, '>>', "$self->{home}/server.d/bench.conf" or die "$!\n";
    print $out $text;
    close $out;

    $self->command('reload') if $self->{running};
    sleep 1 if $self->{running};
}

# Written where the workers may read it.
sub file {
    my ($self, $name, $text) = @_;

    open my $out, '>:raw', "$self->{home}/files/$name" or die "$name: $!\n";
    print $out $text;
    close $out;

    return "$self->{home}/files/$name";
}

sub curl {
    my ($self, $path, @args) = @_;

    my $pid = open(my $pipe, '-|', 'curl', '-sS', '--fail-with-body', @args,
                   "$self->{url}$path") // die "curl: $!\n";
    my $text = do { local $/; <$pipe> };
    close $pipe or die "$path: $text\n";

    return $text;
}

sub post {
    my ($self, $path, $data, @args) = @_;

    return decode_json($self->curl($path, '--data-binary', encode_json($data),
                                   @args));
}

sub psql {
    my ($self, $sql) = @_;

    my $pid = open(my $pipe, '-|', 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1',
                   '-c', $sql, $self->{database}) // die "psql: $!\n";
    my $text = do { local $/; <$pipe> } // '';
    close $pipe or die "psql failed\n";
    chomp $text;

    return $text;
}

# peer NAME, DIRECTORY, ENV: npm's packages into a cache, then the program.
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
        exec 'node', 'server.js' or die "node: $!\n";
    }

    push @{ $self->{peers} }, $pid;

    for (1 .. 100) {
        return "http://127.0.0.1:$port"
            if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        sleep 0.1;
    }
    die "$name did not start\n";
}

# compare PAIR...: rounds of A B A B, and a row for each pair.
#   { name, target, ours => sub, limit => sub, what => "the limit in words" }
sub compare {
    my ($self, $rounds, @pairs) = @_;

    my @rows;
    for my $pair (@pairs) {
        my (@ours, @limit);

        for my $round (1 .. $rounds) {
            push @ours, $pair->{ours}->();
            push @limit, $pair->{limit}->();
            printf STDERR "%s %d/%d: %.0f, %.0f\n", $pair->{name}, $round,
                $rounds, $ours[-1]{rate}, $limit[-1]{rate};
        }

        my @ratios = map { $ours[$_]{rate} / $limit[$_]{rate} } 0 .. $#ours;

        push @rows, {
            name => $pair->{name}, what => $pair->{what},
            target => $pair->{target},
            ours => median(map { $_->{rate} } @ours),
            limit => median(map { $_->{rate} } @limit),
            ratio => median(@ratios), spread => spread(@ratios),
            map { my $key = $_;
                  ("ours_$key" => scalar median(values_of($key, @ours)),
                   "limit_$key" => scalar median(values_of($key, @limit)))
            } qw(p50 p99)
        };
    }

    return @rows;
}

sub values_of {
    my ($key, @runs) = @_;

    return grep { defined } map { $_->{$key} } @runs;
}

# The noise that makes a comparison worthless: half the distance of the
# extremes is more than a quarter of the median.
sub verdict {
    my ($row) = @_;

    return 'too noisy' if $row->{spread} > 0.25;
    return '' if !defined $row->{target};
    return $row->{ratio} >= $row->{target} ? 'met' : 'missed';
}

sub table {
    my (@rows) = @_;

    my $text = "| what | limit | ours/s | limit/s | ratio | spread | target | "
        . "verdict | p50 ms (limit) | p99 ms (limit) |\n"
        . "|---|---|---:|---:|---:|---:|---:|---|---:|---:|\n";

    for my $row (@rows) {
        $text .= sprintf "| %s | %s | %s | %s | %.2f | ±%.0f %% | %s | %s | "
            . "%s | %s |\n",
            $row->{name}, $row->{what}, number($row->{ours}),
            number($row->{limit}), $row->{ratio}, 100 * $row->{spread},
            $row->{target} // '', verdict($row),
            map { my $key = $_;
                  sprintf '%s (%s)', ms($row->{"ours_$key"}),
                      ms($row->{"limit_$key"}) } qw(p50 p99);
    }

    return $text;
}

sub number {
    my ($n) = @_;

    return sprintf $n < 100 ? '%.1f' : '%.0f', $n;
}

sub ms {
    my ($n) = @_;

    return defined $n ? sprintf('%.2f', $n) : '–';
}

1;
