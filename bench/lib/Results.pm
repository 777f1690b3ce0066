package Results;

# What a command of this folder prints and keeps: tables, whether the machine
# was quiet, and its own section of results.md.

use strict;
use warnings;

use Cwd 'abs_path';
use Exporter 'import';
use File::Basename 'dirname';
use POSIX 'strftime';
use Time::HiRes 'sleep';

our @EXPORT_OK = qw(table quiet busy section);

my $file = abs_path(dirname(__FILE__) . '/..') . '/results.md';

# In this order; each is the command that writes it.
my @sections = map { "make $_" } qw(bench bench-cost bench-growth
                                    bench-instructions);

my $head = <<'END';
# Results

Each of these commands measures, and writes its own section; the head of its
script, in this folder, says what and how.
END

# table TITLES, ROW...: lists of cells as Markdown, columns aligned. Titles that
# begin with ">" are of columns that are aligned to the right.
sub table {
    my ($titles, @rows) = @_;

    my @right = map { s/^>// } my @names = @$titles;
    my @width = (3) x @names;

    for my $row (\@names, @rows) {
        for my $i (0 .. $#names) {
            my $length = width($row->[$i]);
            $width[$i] = $length if $length > $width[$i];
        }
    }

    my $line = sub {
        my @cells = @_;
        return '| ' . join(' | ', map {
            my $space = ' ' x ($width[$_] - width($cells[$_]));
            $right[$_] ? $space . $cells[$_] : $cells[$_] . $space;
        } 0 .. $#names) . " |\n";
    };

    return join '', $line->(@names),
        '|' . join('|', map { '-' x ($width[$_] + 1)
                              . ($right[$_] ? ':' : '-') } 0 .. $#names)
        . "|\n",
        map { $line->(@$_) } @rows;
}

# In characters, of UTF-8.
sub width {
    my ($text) = @_;

    utf8::decode(my $copy = $text);
    return length $copy;
}

# quiet(): looks at the machine before anything is started. Returns a sub to be
# called at the end; that returns a sentence about the machine, and whether it
# was too busy with other things to conclude anything.
sub quiet {
    my ($load) = slurp('/proc/loadavg') =~ /^(\S+)/;
    my $cores = () = slurp('/proc/stat') =~ /^cpu\d/mg;
    my $before = cpu();
    sleep 3;
    my $idle = cpu();

    my $busy = share($before, $idle, 'busy');
    my $stolen = share($before, $idle, 'steal');

    warn sprintf "The machine is not idle: %.0f %% busy, %.0f %% stolen, load"
        . " %.1f. Nothing can be concluded from what follows.\n", $busy,
        $stolen, $load if $busy > 10 || $stolen > 2 || $load > $cores + 1;

    return sub {
        my $steal = share($idle, cpu(), 'steal');
        my $noisy = $busy > 10 || $stolen > 2 || $steal > 2
            || $load > $cores + 1;

        return (sprintf('Before it began, the machine was %.0f %% busy, with a '
                        . 'load of %.1f; %.1f %% of its time was stolen during '
                        . 'the run.%s', $busy, $load, $steal, $noisy
                        ? ' **Too noisy: nothing can be concluded.**' : ''),
                $noisy);
    };
}

# busy SECONDS: how much of the machine's time is used, in per cent; while
# nothing of ours is measured, by others.
sub busy {
    my ($seconds) = @_;

    my $before = cpu();
    sleep $seconds;

    return share($before, cpu(), 'busy');
}

sub cpu {
    my @ticks = (slurp('/proc/stat') =~ /^cpu (.*)/m)[0] =~ /\d+/g;
    my %cpu = (idle => $ticks[3] + $ticks[4], steal => $ticks[7] // 0,
               all => 0);

    $cpu{all} += $_ for @ticks[0 .. 7];
    $cpu{busy} = $cpu{all} - $cpu{idle} - $cpu{steal};

    return \%cpu;
}

# In per cent.
sub share {
    my ($from, $to, $what) = @_;

    return 100 * ($to->{$what} - $from->{$what})
        / (($to->{all} - $from->{all}) || 1);
}

# section COMMAND, TEXT: prints it, and puts it in place of what the command
# wrote before.
sub section {
    my ($command, $text) = @_;
    my %sections;

    print $text;

    my $old = slurp($file);
    while ($old =~ /^## (.*)\n\n((?:(?!## ).*\n)*)/mg) {
        my ($name, $its) = ($1, $2);
        $sections{$name} = $its =~ s/\n+\z/\n/r;
    }
    $sections{$command} = machine() . "\n$text";

    open my $out, '>:raw', "$file.new" or die "$file.new: $!\n";
    print $out $head, map { "\n## $_\n\n$sections{$_}" }
        grep { defined $sections{$_} } @sections;
    close $out or die "$file.new: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}

# Which programs, on what.
sub machine {
    my $nginx = `PATH=\$PATH:/usr/sbin nginx -v 2>&1`;
    my $postgres = `psql --version`;
    my ($cpu) = slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)/m;
    my $cores = () = slurp('/proc/stat') =~ /^cpu\d/mg;

    $nginx =~ s/.*: |\n//g;
    $postgres =~ s/.*?([\d.]+).*/Postgres $1/s;

    return strftime('%Y-%m-%d', gmtime) . ", $cores cores"
        . ($cpu ? " ($cpu)" : '') . ", $nginx, $postgres.\n";
}

sub slurp {
    my ($path) = @_;

    open my $in, '<:raw', $path or return '';
    return do { local $/; <$in> } // '';
}

1;
