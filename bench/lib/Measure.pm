package Measure;

# How one thing is measured, and what several rounds of it say. Rates are per
# second, times are milliseconds.

use strict;
use warnings;

use Exporter 'import';
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(wrk pgbench loops timed median spread);

# wrk URL, clients => n, seconds => n, script => file, headers => [...], env
sub wrk {
    my ($url, %o) = @_;

    my @cmd = ('wrk', '-t2', '-c' . ($o{clients} // 32),
               '-d' . ($o{seconds} // 3) . 's', '--latency', '--timeout', '30s');
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

    return { rate => $rate, p50 => latency($text, 50),
             p99 => latency($text, 99) };
}

sub latency {
    my ($text, $percent) = @_;

    my ($n, $unit) = $text =~ /^\s+$percent%\s+([\d.]+)(us|ms|s)/m or return;

    return $n * { us => 0.001, ms => 1, s => 1000 }->{$unit};
}

# pgbench URL, script => file, clients => n, seconds => n
sub pgbench {
    my ($url, %o) = @_;

    my $text = capture('pgbench', '-n', '-M', 'prepared', '-f', $o{script},
                       '-c', $o{clients} // 8, '-j', 2,
                       '-T', $o{seconds} // 3, $url);

    my ($rate) = $text =~ /tps = ([\d.]+) \(without/
        or die "pgbench said:\n$text";
    my ($p50) = $text =~ /latency average = ([\d.]+)/;

    return { rate => $rate, p50 => $p50 };
}

# loops PROCESSES, SECONDS, sub: how often per second all of them together run
# the sub.
sub loops {
    my ($processes, $seconds, $sub) = @_;

    my @pipes;
    for (1 .. $processes) {
        my $pid = open(my $pipe, '-|') // die "fork: $!\n";
        if (!$pid) {
            my ($n, $start) = (0, time);
            $n++, $sub->() while time - $start < $seconds;
            printf "%.6f\n", $n / (time - $start);
            close STDOUT;
            require POSIX;
            POSIX::_exit(0);
        }
        push @pipes, $pipe;
    }

    my $rate = 0;
    $rate += readline $_ for @pipes;
    close $_ for @pipes;

    return { rate => $rate };
}

# timed AMOUNT, sub: AMOUNT per second of one run.
sub timed {
    my ($amount, $sub) = @_;

    my $start = time;
    $sub->();

    return { rate => $amount / (time - $start) };
}

sub capture {
    my @cmd = @_;

    my $pid = open(my $pipe, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec @cmd or die "$cmd[0]: $!\n";
    }
    my $text = do { local $/; <$pipe> };
    close $pipe or die "@cmd failed:\n$text";

    return $text;
}

sub median {
    my @sorted = sort { $a <=> $b } @_ or return;

    return @sorted % 2 ? $sorted[$#sorted / 2]
                       : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

# Half the distance between the extremes, as a part of the median.
sub spread {
    my @sorted = sort { $a <=> $b } @_;

    return ($sorted[-1] - $sorted[0]) / 2 / median(@sorted);
}

1;
