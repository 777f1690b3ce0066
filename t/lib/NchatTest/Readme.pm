package NchatTest::Readme;

# The fenced blocks of the documentation, for the tests that run them.

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();

use NchatTest ();
use NchatTest::Cluster qw(slurp spew);

our @EXPORT = qw(blocks block commands run_block);

# blocks(FILE): each { file, line, section, language, text }; `section` is the
# heading above, `line` that of the text's first line.
sub blocks {
    my $file = shift;
    my ($section, $block, @blocks) = ('');
    my $number = 0;

    for my $line (split /\n/, slurp("$NchatTest::root/$file")) {
        $number++;

        if ($block && $line eq '```') {
            push @blocks, $block;
            undef $block;
        } elsif ($block) {
            $block->{text} .= "$line\n";
        } elsif ($line =~ /^```(\w*)$/) {
            $block = { file => $file, line => $number + 1, text => '',
                       section => $section, language => $1 };
        } elsif ($line =~ /^#+ (.+)$/) {
            $section = $1;
        }
    }

    die "$file: the block at line $block->{line} has no end\n" if $block;
    return @blocks;
}

# block(FILE, SECTION, LANGUAGE, N): the Nth (from 0) of that kind.
sub block {
    my ($file, $section, $language, $n) = @_;
    my @found = grep { $_->{section} eq $section
                       && $_->{language} eq $language } blocks($file);

    return $found[$n // 0]
           // die "$file has no such block under \"$section\"\n";
}

# commands(TEXT): of shell text, the commands; one may have several lines, by a
# backslash, an open quote or a here-document.
sub commands {
    my @commands;
    my $open = '';

    for my $line (split /^/, $_[0]) {
        $open .= $line;
        next if $line =~ /\\\n\z/ || !is_whole($open);
        push @commands, $open if $open =~ /^[^#\s]/m;
        $open = '';
    }

    die "an unfinished command: $open\n" if $open =~ /\S/;
    return @commands;
}

sub is_whole {
    my $text = shift;
    return 0 if $text =~ /<<'?(\w+)'?/ && $text !~ /^\Q$1\E$/m;

    my $file = File::Temp->new;
    print $file $text;
    $file->flush;
    return system("bash -n $file 2>/dev/null") == 0;
}

# run_block(TEXT, PREFIX...): runs the commands one after the other in one
# shell, started by the words PREFIX. Every curl says its status. Returns
# (output, undef) or (output, the command that failed).
sub run_block {
    my ($text, @prefix) = @_;
    my @commands = commands($text);
    my $script   = "set -o pipefail\n"
        . 'curl() { command curl -w "%{stderr}[status %{http_code}]\n" "$@"; }'
        . "\n";
    my $n = 0;

    # As if pasted: a command that fails must not hide behind the next one.
    $script .= "$_" . 'status=$?; [ $status = 0 ] || '
               . "{ echo \"[failed ${\ $n++}: \$status]\"; exit 1; }\n"
        for @commands;

    open my $pipe, '-|', @prefix, 'bash', '-c', "exec 2>&1 </dev/null\n$script"
        or die "bash: $!\n";
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;

    my ($failed) = $output =~ /^\[failed (\d+): /m;
    return ($output, defined $failed ? $commands[$failed]
                     : $? ? 'the shell' : undef);
}

1;
