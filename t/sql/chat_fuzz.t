# Search takes anything: thousands of random queries give 200 or 400, never an
# error; and random texts are found by themselves.

use strict;
use warnings;
use utf8;

use lib 't/lib', 't/sql/lib';

use Test::More;

binmode Test::More->builder->failure_output, ':utf8';

require './t/sql/chat_lib.pl';

chat_database();

my $seed = $ENV{NCHAT_FUZZ_SEED} // time;
my $rounds = $ENV{NCHAT_FUZZ_ROUNDS} // 3000;
srand $seed;
diag "NCHAT_FUZZ_SEED=$seed" if $ENV{NCHAT_FUZZ_SEED} || $ENV{HARNESS_IS_VERBOSE};

my @characters = (
    [map { chr } 0x21 .. 0x7e], ['a' .. 'z', 0 .. 9, ' ', ' ', ' '],
    [split //, q{"'-+.,:;/\\|&<>(){}[]*%_~^$#@!?=` }], ["\t", "\n", "\r", "\x01"],
    [map { chr } 0xa1 .. 0x17f], [map { chr } 0x300 .. 0x36f],
    [map { chr } 0x400 .. 0x45f], [map { chr } 0x5d0 .. 0x5ea, 0x627 .. 0x64a],
    [map { chr } 0xe01 .. 0xe3a], [map { chr } 0x2000 .. 0x206f],
    [map { chr } 0x3000 .. 0x30ff], [map { chr } 0x4e00 .. 0x4f00],
    [map { chr } 0xac00 .. 0xad00], [map { chr } 0xe000 .. 0xe010, 0xfff9 .. 0xfffd],
    [map { chr } 0xff01 .. 0xff9f], [map { chr } 0x1f300 .. 0x1f6ff],
    ["\x{200b}", "\x{200d}", "\x{fe0f}", "\x{ad}", "\x{a0}", "\x{202e}"],
    [map { chr } 0x1d400 .. 0x1d420, 0x20000 .. 0x20020, 0xe0001, 0x10fffd]
);
my @pieces = ('from:', 'in:', 'has:', 'is:', 'before:', 'after:', 'has:link',
    'is:starred', 'before:2026-02-30', 'after:2026-01-01', 'or', 'OR', '-', '"',
    '“', '--', '|', 'from:"', '-in:', 'from:me', '%', '_', "''", '\\', '$1',
    'before:2026-01-01T00:00:00+99:99', 'after:99999-01-01', 'x' x 60, ':*',
    '!', '&', '<->', "\x{e000}", '<mark>', 'before:infinity', 'after:0000-01-01');

sub any { $_[int rand @_] }

sub text {
    my $text = '';

    for (1 .. 1 + int rand 8) {
        if (rand() < 0.3) {
            $text .= ' ' . any(@pieces);
        } else {
            my $set = any(@characters);
            $text .= any(@$set) for 1 .. 1 + int rand 12;
        }
        $text .= ' ' if rand() < 0.3;
    }

    return substr $text, 0, 198;
}

# Texts, one message each; short ones in one channel to be ranked together.

my @texts = map { text() } 1 .. $rounds / 3;
my $id = sub { id(3, shift) };

sql(join "\n",
    "SET client_min_messages = error;",
    map {
        'INSERT INTO messages (id, channel_id, content) SELECT '
        . literal($id->($_)) . ', id, ' . literal($texts[$_])
        . " FROM channels WHERE name = 'general';"
    } 0 .. $#texts);

# Queries.

my @queries = ((map { { q => text() } } 1 .. $rounds),
    { q => '"' x 200 }, { q => "'" x 200 }, { q => '\\' x 200 }, { q => '-' x 200 },
    { q => '( ' x 100 }, { q => '-a ' x 66 }, { q => 'a or ' x 40 }, { q => '会 ' x 100 },
    { q => '会' x 200 }, { q => '👍🏽' x 100 }, { q => 'in:x ' x 40 }, { q => 'or or' },
    { q => 'x' x 201 }, { q => "\x{3000}a\x{3000}" }, { q => undef }, { q => '' });

for my $query (@queries) {
    $query->{types} = any(undef, [], ['messages'], ['users', 'nobody'],
                          ['channels', 'files', 'files']);
    $query->{channelIds} = any(undef, undef, [], [text()], [id(2, 1)]);
    $query->{userIds} = any(undef, undef, undef, [text()]);
    $query->{dateFrom} = any(undef, undef, undef, '2026-01-01', '2026-13-01', '',
                             text(), '2026-01-01T24:00:00Z');
    $query->{sortBy} = any(undef, 'date', 'relevance', 'x');
    $query->{sortOrder} = any(undef, 'asc', 'desc');
    $query->{shape} = any('items', 'results');
    $query->{limit} = any(undef, 0, 1, 1000);
    $query->{offset} = any(undef, 0, 5, -1, '9223372036854775807');
}

my @answers = eval { searches(@queries) };
ok !$@, 'no query is an error';
is scalar @answers, scalar @queries, 'each has an answer';

my %seen;
$seen{$_->[0]}++ for @answers;
is_deeply [sort keys %seen], [200, 400], '200 or 400';
cmp_ok $seen{200}, '>', $rounds / 40, 'enough are 200';

my @bad = grep {
    $_->[0] == 400 && ($_->[1]{code} ne 'VALIDATION_ERROR'
                       || $_->[1]{error} !~ /^Validation failed: /
                       || !$_->[1]{details}{constraint})
} @answers;
is_deeply \@bad, [], 'refusals are validation failures';

# Texts are found by themselves, as a phrase.

my @selves = map {
    (my $phrase = $texts[$_]) =~ tr/"“”„‟//d;
    { n => $_, q => qq("$phrase"), limit => 100, types => ['messages'] }
} 0 .. $#texts;
my %words = map { (split /\t/)[0, 1] } split /\n/, sql(
    'SELECT n, ((nchat_search_term(t)).phrase IS NOT NULL)::integer FROM (VALUES '
    . join(', ', map { "($_->{n}, " . literal($_->{q}) . ')' } @selves)
    . ') AS v(n, t)');
my @lost;
my @found = searches(@selves);
my @left = @found;

for my $self (@selves) {
    my ($status, $body) = @{shift @left};

    next if !$words{$self->{n}} || $texts[$self->{n}] =~ /["“”„‟]/;
    push @lost, sprintf '%s: %s', $texts[$self->{n}], $body->{error} // 'no'
        if $status != 200 || $body->{totals}{messages} <= 100
           && !grep { $_->{id} eq $id->($self->{n}) } @{$body->{results}};
}

is scalar @lost, 0, 'texts are found by themselves';
diag $_ for @lost;

# What is marked is all that is not escaped.

my @results = map { @{$_->[1]{results} // $_->[1]{items} // []} } @answers, @found;
my @unsafe = grep {
    my $highlight = $_->{highlight} // '';
    my $marks = $highlight =~ s{<mark>([^<]*)</mark>}{$1}g;
    $highlight =~ /[<>"']|&(?!(?:amp|lt|gt|quot|#39);)|[\x{e000}\x{e001}]/
} @results;
is_deeply \@unsafe, [], 'highlights are escaped';
cmp_ok scalar(grep { defined $_->{highlight} } @results), '>', 100,
    'and there are some';

done_testing();
