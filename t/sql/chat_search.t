# Search: words, phrases, operators, scripts without spaces, names, marks,
# order, totals, pages, refusals.

use strict;
use warnings;
use utf8;

use lib 't/lib', 't/sql/lib';

use JSON::PP ();
use Test::More;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);

require './t/sql/chat_lib.pl';

chat_database();

my ($alice, $bob) = map { id(1, $_) } 1, 2;
my $general = sql("SELECT id FROM channels WHERE name = 'general'");

sql(<<"END");
INSERT INTO users (id, email, username, display_name, role, avatar_url)
VALUES ('$alice', 'a\@example.com', 'alice', 'Alice Archer', 'owner', '/a.png'),
       ('$bob', 'b\@example.com', 'bob_b', 'Bob <B> Johnson', 'member', NULL);
INSERT INTO channels (id, name, topic, description)
VALUES ('${\id(2, 1)}', 'release-team', 'Shipping', 'Who ships & when');
END

my $number = 0;

# A message; returns its id.
sub message {
    my ($content, %columns) = @_;
    my $id = id(3, ++$number);

    %columns = (id => $id, content => $content, channel_id => $general,
                user_id => $alice, %columns);
    my @names = sort keys %columns;
    sql('INSERT INTO messages (' . join(', ', @names) . ') VALUES ('
        . join(', ', map { literal($columns{$_}) } @names) . ')');
    return $id;
}

# The ids that a query finds among messages, best first.
sub ids {
    my ($query, %search) = @_;
    my $body = found(q => $query, types => ['messages'], %search);

    return join ' ', map { $_->{id} } @{$body->{results}};
}

sub finds {
    my ($query, $id, $title) = @_;
    is ids($query), $id, $title // "finds: $query";
}

# Words.

my $run = message('We were running the deployment of v1.2-rc3 to '
                  . 'https://build.example.com/job/77?x=1 <b>now</b>');
finds($_, $run) for 'running', 'run', 'RUNS', 'deployments', 'v1.2', 'rc3',
    '2-rc3', 'example', 'build.example.com', 'job/77', '77', 'were', 'to the',
    '"we were running"', '"running the deploy"', '“job 77”', 'run deploy',
    'b now', 'the deployment" of', 'we  were';
finds($_, '') for 'runway', '"running deployment"', '"the we"', 'run missing',
    '1.3', 'exam', 'run -deployment', '-run', '!!', '" "', '&lt;';

my $not = message('Not to be: that is a question. E-mail naïve@café.example');
finds($_, $not) for '"not to be"', 'naïve', 'CAFÉ', "cafe\x{301}",
    'naïve@café.example', 'e-mail', 'that -running';
finds('to -be', $run);

finds('running or question', "$not $run", 'either; the newest first');
finds('missing OR "a question" mail', $not);
finds('run or', $run);
finds('run | missing', $run);
finds('or run', '', 'a leading or is a word');

# Scripts without spaces, symbols.

my $tokyo = message('昨日、東京都庁で会議がありました。iPhone手机👍🏽も');
finds($_, $tokyo) for '東京', '都庁で会', '会議', '"東京都庁"', 'iphone', '手机',
    'iphone手机', '会 庁', '👍 会議', '東京 -大阪';
finds($_, '') for '京東', '東京会議', '大阪', '👎 会議', '東京 -会議';
my $korean = message('안녕하세요 여러분 สวัสดีครับ');
finds($_, $korean) for '안녕', '하세', '여러분', 'สวัส', 'ดีครับ';

# Marks.

my ($item) = @{found(q => 'runs b', types => ['messages'])->{results}};
is $item->{highlight},
    'We were <mark>running</mark> the deployment of v1.2-rc3 to '
    . 'https://build.example.com/job/77?x=1 &lt;<mark>b</mark>&gt;now&lt;/'
    . '<mark>b</mark>&gt;', 'marked and escaped';
is $item->{snippet}, $item->{content}, 'short: the whole as snippet';
($item) = @{found(q => '会議 iphone')->{results}};
is $item->{highlight},
    '昨日、東京都庁で<mark>会議</mark>がありました。<mark>iPhone</mark>手机👍🏽も',
    'marked without spaces';

my $long = message('start ' . 'filler & words ' x 100 . 'needle'
                   . ' filler' x 60);
($item) = @{found(q => 'needle', types => ['messages'])->{results}};
like $item->{highlight}, qr/^….*words <mark>needle<\/mark> filler.*…$/,
    'a snippet around the match';
cmp_ok length $item->{snippet}, '<', 300, 'not too long';
unlike $item->{snippet}, qr/<|&amp;/, 'and plain';

# A message as a result.

($item) = @{found(q => 'question')->{results}};
is_deeply [map { $item->{$_} } qw(type title content channelName channelId
                                  userId userName avatarUrl)],
    ['messages', 'Message from Alice Archer',
     'Not to be: that is a question. E-mail naïve@café.example', 'general',
     $general, $alice, 'Alice Archer', '/a.png'], 'a message';
like $item->{createdAt}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'its time';
cmp_ok $item->{score}, '>', 0, 'its score';

# Order: relevance, then the newest.

my @same = map { message('zebra crossing', created_at => "2026-01-0$_ 12:00Z") }
    1 .. 3;
my $more = message('zebra zebra zebra', created_at => '2025-01-01 00:00Z');
is ids('zebra'), join(' ', $more, reverse @same), 'relevance, then the newest';
is ids('zebra', sortOrder => 'asc'), join(' ', reverse(@same), $more),
    'the least relevant first';
is ids('zebra', sortBy => 'date'), join(' ', reverse(@same), $more), 'newest';
is ids('zebra', sortBy => 'date', sortOrder => 'asc'), join(' ', $more, @same),
    'oldest';

# Dates: a day as an upper bound means its end.

is ids('zebra', dateFrom => '2026-01-02', dateTo => '2026-01-02'), $same[1],
    'one day';
is ids('zebra', dateFrom => '2026-01-02T12:00:00Z',
       dateTo => '2026-01-02T13:00:00+01:00'), $same[1], 'one moment';
finds('zebra before:2025-01-01', $more);
finds('zebra after:2026-01-03', $same[2]);
finds('zebra after:2026-01-02T11:59:59.999-00:00 before:2026-01-02', $same[1]);
finds('zebra after:2026-02-01 before:2026-01-01', '');
finds('after:2026-01-03 before:2026-01-03', $same[2], 'dates alone');

# Operators.

my $linked = message('see HTTPS://example.org gnu', user_id => $bob,
                     channel_id => id(2, 1), pinned => 't');
my $plain = message('gnu has:nothing http', user_id => $bob);
finds('gnu has:link', $linked);
finds('gnu -has:link', $plain);
finds('gnu is:pinned', $linked);
finds('gnu has:nothing', $plain, 'an unknown operator is text');
finds($_, "$plain $linked") for 'gnu from:bob_b', 'gnu from:@BOB_B',
    "gnu from:$bob", 'gnu from:"bob <b> johnson"', 'gnu from:alice from:bob_b';
finds('gnu from:nobody', '');
finds($_, $linked) for 'gnu in:release-team', 'gnu in:#Release-Team',
    'gnu in:' . id(2, 1), 'gnu -in:general', 'in:release-team';
finds('gnu in:nowhere', '');
finds('gnu -from:bob_b', '');
is ids('gnu from:me', caller => $bob), "$plain $linked", 'from:me';
finds('gnu from:me', '', 'from nobody');

sql("INSERT INTO message_stars VALUES ('$bob', '$plain')");
is ids('is:starred', caller => $bob), $plain, 'is:starred';
is ids('gnu -is:starred', caller => $bob), $linked, '-is:starred';
is ids('is:starred', caller => $alice), '', "not another's";

# Names.

sub titles {
    my ($query, $type, %search) = @_;
    return join ', ', map { $_->{title} }
        @{found(q => $query, types => [$type], %search)->{results}};
}

is titles($_, 'users'), 'Alice Archer', "user: $_"
    for 'al', 'ALI', 'alice', 'arch', 'cher', 'alice archer', 'archer alice';
is titles($_, 'users'), 'Bob <B> Johnson', "user: $_"
    for 'bob_b', 'johnsen', 'bob -alice', 'jo';
is titles($_, 'users'), '', "no user: $_"
    for 'example', 'li', 'zz', '-alice', 'bob -johnson', 'from:bob_b bob';
is titles($_, 'channels'), 'release-team', "channel: $_"
    for 'rel', 'team', 'release-team', 'shipping', 'when', 'ships & when';
is titles('general', 'channels'), 'general', 'the other channel';

my ($user) = @{found(q => 'bob', types => ['users'])->{results}};
is $user->{highlight}, '<mark>Bob</mark> &lt;<mark>B</mark>&gt; Johnson'
    =~ s{<mark>B</mark>}{B}r, 'a marked name';
is_deeply $user->{metadata}, { username => 'bob_b', role => 'member' },
    'about a user';
ok !exists $user->{content}, 'no email for anonymous callers';
is found(q => 'bob', types => ['users'], caller => $alice)
    ->{results}[0]{content}, 'b@example.com', 'email for others';

sql("INSERT INTO channel_members VALUES ('" . id(2, 1) . "', '$bob')");
my ($channel) = @{found(q => 'shipping', types => ['channels'])->{results}};
is_deeply [map { $channel->{metadata}{$_} ? 1 : 0 } qw(isPrivate isArchived)],
    [0, 0], 'about a channel';
is $channel->{metadata}{memberCount}, 1, 'its members';
is $channel->{highlight}, '<mark>Shipping</mark> – Who ships &amp; when',
    'the topic, marked';

my $file = 0;

sub attach {
    my ($name, $message) = @_;
    sql("INSERT INTO attachments (id, filename, original_filename, mime_type, "
        . "size, category, channel_id, message_id, uploaded_by) VALUES ('"
        . id(4, ++$file) . "', 'x', " . literal($name) . ", 'image/png', 7, "
        . "'image', '$general', " . literal($message) . ", '$bob')");
}

attach('Quarterly_Report-2026 (final).PNG', $plain);
is titles($_, 'files'), 'Quarterly_Report-2026 (final).PNG', "file: $_"
    for 'quart', 'report', 'port', 'report-2026', '2026 final', 'final png',
        'qaurterly', 'report has:image', 'from:bob_b quarterly', 'has:file';
is titles($_, 'files'), '', "no file: $_"
    for 'ter-ly', 'report has:link', 'report is:pinned', 'from:alice report';
my ($found) = @{found(q => 'quarterly', types => ['files'])->{results}};
is_deeply [@{$found->{metadata}}{qw(size mimeType messageId)}],
    [7, 'image/png', $plain], 'about a file';
is $found->{highlight}, '<mark>Quarterly</mark>_Report-2026 (final).PNG',
    'marked';
finds('gnu has:image', $plain, 'its message has it');
sql("UPDATE attachments SET deleted_at = now()");
finds('gnu has:file', '', 'and when deleted, no more');
finds('gnu -has:file', "$plain $linked");

# An edited message.

sql("UPDATE messages SET content = 'about llamas' WHERE id = '$plain'");
finds('llama', $plain);
finds('gnu', $linked);

# Shapes, pages, totals.

my $all = found(q => 'zebra', limit => 2, offset => 1);
is_deeply [sort keys %$all], [qw(pagination query results totals types)],
    'members of POST';
is_deeply $all->{pagination},
    { total => 4, limit => 2, offset => 1, hasMore => JSON::PP::true }, 'pages';
is_deeply $all->{totals}, { messages => 4, files => 0, users => 0,
                            channels => 0, total => 4 }, 'totals';
is_deeply $all->{types}, [qw(messages files users channels)], 'all types';
is_deeply found(q => 'zebra', types => [qw(users files users)])->{types},
    [qw(users files)], 'some types, each once';
is $all->{query}, 'zebra', 'the query';

my $items = found(q => "  zebra\t", shape => 'items', limit => 3, offset => 3);
is_deeply [sort keys %$items], [qw(hasMore items limit page total)],
    'members of GET';
is_deeply [@$items{qw(total page limit)}], [4, 2, 3], 'page of an offset';
ok !$items->{hasMore}, 'the last page';
is scalar @{$items->{items}}, 1, 'with what is left';
is found(q => 'zebra', limit => 500)->{pagination}{limit}, 100, 'at most 100';
is_deeply found(q => 'zebra', offset => 50)->{results}, [], 'beyond the end';

# Refusals.

my @refusals = (
    [{ q => undef }, 'query', 'required'], [{ q => ' ' }, 'query', 'required'],
    [{ q => undef, shape => 'items' }, 'q', 'required'],
    [{ q => 'x' }, 'query', 'length'], [{ q => 'é' x 201 }, 'query', 'length'],
    [{ q => 'xx', types => ['things'] }, 'types', 'enum'],
    [{ q => 'xx', dateFrom => '2026-02-30' }, 'dateFrom', 'format'],
    [{ q => 'xx', dateTo => 'tomorrow' }, 'dateTo', 'format'],
    [{ q => 'xx', sortBy => 'name' }, 'sortBy', 'enum'],
    [{ q => 'xx', sortOrder => 'up' }, 'sortOrder', 'enum'],
    [{ q => 'xx', limit => 0 }, 'limit', 'range'],
    [{ q => 'xx', offset => -1 }, 'offset', 'range'],
    [{ q => 'xx before:yesterday' }, 'query', 'format'],
    [{ q => 'after:2026-13-01' }, 'query', 'format'],
);
my @answers = searches(map { $_->[0] } @refusals);

for my $n (0 .. $#refusals) {
    my (undef, $field, $constraint) = @{$refusals[$n]};
    my ($status, $body) = @{$answers[$n]};
    is_deeply [$status, $body->{code}, @{$body->{details}}{qw(field constraint)}],
        [400, 'VALIDATION_ERROR', $field, $constraint],
        "refused: $field $constraint";
}

is ids('é' x 200), '', '200 characters are counted, not bytes';

# Time has a floor, which a clock that was wrong does not raise for good.

{
    my $old = message('quetzal from an older place',
                      created_at => '1999-12-31T23:59:59Z');
    finds 'quetzal', $old, 'older than the server';

    sql('UPDATE search_floor SET seconds = nchat_seconds(now() '
        . "+ interval '1 year')");
    sql('SELECT nchat_search_floor_check()');
    my $new = message('axolotl, after the clock was set back');
    finds 'axolotl', $new, 'a floor in the future is lowered';

    sql('SELECT nchat_search_floor_lower(kind, 0) FROM search_floor');
}

# Very common words: the total stops, and the newest are there.

sql("INSERT INTO messages (channel_id, content, created_at) SELECT '$general', "
    . "'common ' || n, '2020-01-01'::timestamptz + n * interval '1 minute' "
    . 'FROM generate_series(1, 7000) AS n');
my $cap = sql('SELECT nchat_search_cap()');
my $common = found(q => 'common', types => ['messages'], limit => 1);
is $common->{totals}{messages}, $cap, 'capped total';
ok $common->{totalCapped}, 'and it says so';
is $common->{results}[0]{content}, 'common 7000', 'the newest';
is found(q => 'common', sortBy => 'date', sortOrder => 'asc', limit => 1)
    ->{results}[0]{content}, 'common 1', 'the oldest';
is found(q => 'common', sortBy => 'date', limit => 1, types => ['messages'],
         offset => 1999)->{results}[0]{content}, 'common 5001', 'page 2000';
for my $last ([5, 'the last page ends'], [0, 'nothing is behind it']) {
    my $page = found(q => 'common', types => ['messages'], limit => 10,
                     offset => $cap - $last->[0]);
    is scalar @{ $page->{results} }, $last->[0], $last->[1];
    ok !$page->{pagination}{hasMore}, 'as hasMore says';
}
is found(q => 'common before:2020-01-02T00:00:59Z', types => ['messages'])
    ->{totals}{messages}, 1440, 'a day of them: exact';
is found(q => 'common -7000 -1', types => ['messages'], limit => 1)
    ->{results}[0]{content}, 'common 6999', 'with a negation';
is ids('common 1234 -6', limit => 5),
    sql("SELECT id FROM messages WHERE content = 'common 1234'"),
    'the only one among many';
is found(q => '"common 31"', types => ['messages'])->{totals}{messages}, 1,
    'a phrase among many';

done_testing();
