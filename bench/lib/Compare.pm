package Compare;

# Two things measured in turns, and what that says.

use strict;
use warnings;

use Exporter 'import';

use Measure qw(median spread);
use Results 'busy';

our @EXPORT_OK = qw(compare verdict comparison number ms);

# compare ROUNDS, PAIR...: rounds of A B A B, and a row for each pair.
#   { name, target, ours => sub, limit => sub, what => "the limit in words",
#     rounds => "if not as many as the others",
#     before => sub: before the first round }
sub compare {
    my ($rounds, @pairs) = @_;

    return map { pair($_, $_->{rounds} // $rounds) } @pairs;
}

sub pair {
    my ($pair, $rounds) = @_;
    my (@ours, @limit);

    $pair->{before}->() if $pair->{before};
    my @busy = busy(0.5);

    for my $round (1 .. $rounds) {
        push @ours, $pair->{ours}->();
        push @limit, $pair->{limit}->();
        printf STDERR "%s %d/%d: %s, %s\n", $pair->{name}, $round, $rounds,
            number($ours[-1]{rate}), number($limit[-1]{rate});
    }

    push @busy, busy(0.5);

    my @ratios = map { $ours[$_]{rate} / $limit[$_]{rate} } 0 .. $#ours;

    return {
        name => $pair->{name}, what => $pair->{what},
        target => $pair->{target},
        ours => median(map { $_->{rate} } @ours),
        limit => median(map { $_->{rate} } @limit),
        ratio => median(@ratios), spread => spread(@ratios),
        busy => $busy[$busy[1] > $busy[0]],
        map { my $key = $_;
              ("ours_$key" => scalar median(map { $_->{$key} } @ours),
               "limit_$key" => scalar median(map { $_->{$key} } @limit))
        } qw(p50 p99 cpu)
    };
}

# The noise that makes a comparison worthless: half the distance of the
# extremes is more than a quarter of the median, or others used more than a
# quarter of the machine right before or after.
sub verdict {
    my ($row) = @_;

    return 'too noisy' if $row->{spread} > 0.25 || $row->{busy} > 25;
    return '' if !defined $row->{target};
    return $row->{ratio} >= $row->{target} ? 'met' : 'missed';
}

# comparison ROW...: as lists of cells, the first one the titles.
sub comparison {
    my (@rows) = @_;

    return (
        ['what', 'limit', '>ours/s', '>limit/s', '>ratio', '>spread',
         '>target', 'verdict', '>p50 ms (limit)', '>p99 ms (limit)'],
        map {
            my $row = $_;
            [$row->{name}, $row->{what}, number($row->{ours}),
             number($row->{limit}), sprintf('%.2f', $row->{ratio}),
             sprintf('±%.0f %%', 100 * $row->{spread}),
             defined $row->{target} ? sprintf('%.2f', $row->{target}) : '',
             verdict($row),
             map { sprintf '%s (%s)', ms($row->{"ours_$_"}),
                       ms($row->{"limit_$_"}) } qw(p50 p99)]
        } @rows
    );
}

sub number {
    my ($n) = @_;

    return sprintf $n < 100 ? '%.1f' : '%.0f', $n;
}

sub ms {
    my ($n) = @_;

    return defined $n ? sprintf($n < 100 ? '%.2f' : '%.0f', $n) : '-';
}

1;
