package Measure;

# How one thing is measured, and what several rounds of it say. Rates are per
# second, times are milliseconds.

use strict;
use warnings;

use Cwd 'abs_path';
use Exporter 'import';
use File::Basename 'dirname';
use File::Temp ();
use JSON::PP;
use POSIX ();
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(wrk pgbench load loops idle timed background capture
                    median spread);

my $top = abs_path(dirname(__FILE__) . '/../..');

# wrk URL, clients => n, seconds => n, script => file, headers => [...], env
sub wrk {
    my ($url, %o) = @_;

    my @cmd = ('wrk', '-t2', '-c' . ($o{clients} // 32),
               '-d' . ($o{seconds} // 3) . 's', '--latency', '--timeout',
               '30s');
    push @cmd, '-s', $o{script} if $o{script};
    push @cmd, map { ('-H', $_) } @{ $o{headers} // [] };

    local %ENV = (%ENV, %{ $o{env} // {} });

    my $text = capture(@cmd, $url);

    my ($rate) = $text =~ /Requests\/sec:\s+([\d.]+)/
        or die "wrk $url said:\n$text";
    my ($failed) = $text =~ /Non-2xx or 3xx responses: (\d+)/;
    my ($broken) = $text =~ /Socket errors: (.*)/;

    die "$url: $failed answers were not 2xx or 3xx\n" if $failed;
    die "$url: socket errors: $broken\n"
        if $broken && $broken =~ /(?:connect|read|write) [1-9]/;

    return { rate => $rate, p50 => wrk_latency($text, 50),
             p99 => wrk_latency($text, 99) };
}

sub wrk_latency {
    my ($text, $percent) = @_;

    my ($n, $unit) = $text =~ /^\s+$percent%\s+([\d.]+)(us|ms|s)/m or return;

    return $n * { us => 0.001, ms => 1, s => 1000 }->{$unit};
}

# pgbench URL, sql => '... $1 ...', values => [...], clients => n, seconds => n:
# the statement with these parameters; undef is NULL. Latencies are those of
# every tenth.
sub pgbench {
    my ($url, %o) = @_;

    my $folder = File::Temp->newdir('nchat-pgbench-XXXXXX', TMPDIR => 1);
    my @values = @{ $o{values} };
    my $sql = $o{sql} =~ s{\$(\d+)}{
        defined $values[$1 - 1] ? ":p$1" : 'NULL' }egr;

    open my $out, '>:raw', "$folder/script" or die "$folder: $!\n";
    print $out "$sql;\n";
    close $out;

    my $text = capture('pgbench', '-n', '-M', 'prepared',
                       '-f', "$folder/script", '-l', '--sampling-rate', 0.1,
                       '--log-prefix', "$folder/log",
                       (map { ('-D', "p$_=$values[$_ - 1]") }
                        grep { defined $values[$_ - 1] } 1 .. @values),
                       '-c', $o{clients} // 8, '-j', 2,
                       '-T', $o{seconds} // 3, $url);

    my ($rate) = $text =~ /tps = ([\d.]+) \(without/
        or die "pgbench said:\n$text";

    my @times;
    for my $log (glob "$folder/log.*") {
        open my $in, '<', $log or die "$log: $!\n";
        push @times, map { (split)[2] / 1000 } <$in>;
    }

    return { rate => $rate, percentiles(@times) };
}

# load PORT, [REQUEST...], clients => n, seconds => n or count => n,
# pause => ms: requests to a server on this machine. Answers are counted apart:
#   answered, rate, p50, p95, p99, max    below 400
#   refused, refused_p50, refused_p99     429 or 503, with Retry-After
#   others, other_status                  all others, and the last of them
#   broken                                no answer, or a connection lost
sub load {
    my ($port, $requests, %o) = @_;

    my $pipe = load_pipe($port, $requests, %o);
    my $text = do { local $/; <$pipe> };
    close $pipe or die "bench-load failed\n";

    return decode_json($text);
}

# idle PORT, REQUEST, N: N connections that each got an answer and stay open.
# Returns a sub that closes them, and dies if some were closed before.
sub idle {
    my ($port, $request, $n) = @_;

    my $pipe = load_pipe($port, [$request], clients => $n, idle => 1);
    (readline $pipe // '') eq "ready\n" or die "bench-load failed\n";

    return sub {
        close $pipe or die "the server closed idle connections\n";
    };
}

sub load_pipe {
    my ($port, $requests, %o) = @_;

    my @command = (program('load'), '-c', $o{clients} // 1, '-p',
                   $o{pause} // 0, $o{idle} ? '-i' : (),
                   $o{count} ? ('-n', $o{count}) : ('-t', $o{seconds} // 3),
                   $port);

    my $file = File::Temp->new(TMPDIR => 1);
    binmode $file;
    print $file map { length($_) . "\n$_" } @$requests;
    $file->flush;

    my $pid = open(my $pipe, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDIN, '<', $file->filename or POSIX::_exit(126);
        exec @command or POSIX::_exit(127);
    }

    # it has read its requests when it says something, or ends
    wait_for_input($pipe);

    return $pipe;
}

sub wait_for_input {
    my ($pipe) = @_;

    vec(my $set = '', fileno $pipe, 1) = 1;
    select $set, undef, undef, undef;
}

# put CONNECTIONS, BYTES, TYPE, PORT, [PATH...]: uploads, by put.c. The latencies
# of all.
sub put {
    my ($connections, $size, $type, $port, $paths) = @_;

    return percentiles(split ' ', capture(program('put'), $connections, $size,
                                          $type, $port, @$paths));
}

# program NAME: NAME.c, compiled when it is newer.
sub program {
    my ($name) = @_;
    my ($source, $program) = ("$top/bench/lib/$name.c",
                              "$top/build/bench-$name");

    if (!-e $program || -M $source < -M $program) {
        mkdir "$top/build";
        capture('cc', '-O2', '-Wall', '-Wextra', '-D_GNU_SOURCE', '-pthread',
                '-o', "$program.new", $source);
        rename "$program.new", $program or die "$program: $!\n";
    }

    return $program;
}

# loops PROCESSES, SECONDS, sub: how often per second all of them together run
# the sub.
sub loops {
    my ($processes, $seconds, $sub) = @_;

    my @running = map {
        background(sub {
            my (@times, $t);
            for (my $start = my $before = time; $before - $start < $seconds;
                 $before = $t) {
                $sub->();
                $t = time;
                push @times, 1000 * ($t - $before);
            }
            my $sum = 0;
            $sum += $_ for @times;
            return { rate => 1000 * @times / $sum, percentiles(@times) };
        });
    } 1 .. $processes;
    my @results = map { $_->() } @running;

    my $rate = 0;
    $rate += $_->{rate} for @results;

    return { rate => $rate, map { my $key = $_;
             ($key => scalar median(map { $_->{$key} } @results)) }
             qw(p50 p99) };
}

# timed AMOUNT, sub: AMOUNT per second of one run.
sub timed {
    my ($amount, $sub) = @_;

    my $start = time;
    $sub->();
    my $seconds = time - $start;

    return { rate => $amount / $seconds, p50 => 1000 * $seconds };
}

# background SUB: runs it in a process of its own; returns a sub that waits for
# it and returns what it returned, a reference.
sub background {
    my ($sub) = @_;

    my $pid = open(my $pipe, '-|') // die "fork: $!\n";
    if (!$pid) {
        my $result = eval { encode_json($sub->()) };
        warn $@ if !defined $result;
        syswrite STDOUT, $result // '';
        POSIX::_exit(defined $result ? 0 : 1);
    }

    return sub {
        my $text = do { local $/; <$pipe> };
        close $pipe or die "a process failed\n";
        return decode_json($text);
    };
}

# capture COMMAND...: what it prints; dies with it if the command fails.
sub capture {
    my @cmd = @_;

    my $pid = open(my $pipe, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec @cmd or POSIX::_exit(127);
    }
    my $text = do { local $/; <$pipe> } // '';
    close $pipe or die "@cmd failed:\n$text";

    return $text;
}

sub median {
    my @sorted = sort { $a <=> $b } grep { defined } @_ or return;

    return @sorted % 2 ? $sorted[$#sorted / 2]
                       : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

sub percentiles {
    my @sorted = sort { $a <=> $b } @_ or return;

    return (p50 => $sorted[0.5 * @sorted], p99 => $sorted[0.99 * @sorted]);
}

# Half the distance between the extremes, as a part of the median.
sub spread {
    my @sorted = sort { $a <=> $b } @_;

    return ($sorted[-1] - $sorted[0]) / 2 / median(@sorted);
}

1;
