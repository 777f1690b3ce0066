# Search over HTTP: what it takes, what it answers, who may ask.

use strict;
use warnings;
use utf8;

use lib 't/lib';

use Encode ();
use Test::More;

use NchatTest;
use NchatTest::Chat;

my $n = NchatTest->new;
my $owner  = $n->owner;
my $member = $n->signup(username => 'ada', displayName => 'Ada Lovelace');
my $guest  = $n->account('guest');
my $news   = channel($n, 'news', topic => 'What is new about turbines');
my $hook   = webhook($n, $news, name => 'reporter');

# message(TEXT, COLUMN => SQL...): its id.
sub message {
    my ($text, %more) = @_;
    my %columns = (channel_id => "'$news'", user_id => "'$member->{id}'",
                   content => NchatTest::Chat::literal($text), %more);
    my @names = sort keys %columns;
    my $id = $n->psql('INSERT INTO messages (' . join(', ', @names)
                      . ') VALUES (' . join(', ', @columns{@names})
                      . ') RETURNING id');
    return $id =~ s/\s//gr;
}

sub q_ {
    my $bytes = Encode::encode('UTF-8', shift);
    return join '', map { sprintf '%%%02x', ord } split //, $bytes;
}

sub search {
    my ($query, $more, %options) = @_;
    return $n->get('/api/search?q=' . q_($query) . ($more ? "&$more" : ''),
                   %options);
}

sub ids { return map { $_->{id} } @{ $_[0]->json->{items}
                                     // $_[0]->json->{results} // [] } }

my @turbine = map { message("The turbine number $_ is <b>running</b> & well",
                            created_at => "'2026-01-0${_}T12:00:00.000400Z'") }
              1 .. 5;
$n->psql("INSERT INTO attachments (filename, original_filename, mime_type,
                                   size, category, channel_id, uploaded_by)
          VALUES ('f', 'turbine-plan.pdf', 'application/pdf', 1234, 'document',
                  '$news', '$member->{id}')");


# GET.

my $r = search('turbine');
is_ok($r, 'GET');
my $body = $r->json;
is_deeply([ sort keys %{ $body->{data} } ],
          [ qw(hasMore items limit page total) ], 'its members');
is_deeply({ map { $_ => $body->{$_} } qw(total page limit hasMore) },
          { total => 7, page => 1, limit => 20,
            hasMore => JSON::PP::false() }, 'five messages, a file, a channel');
my %types;
$types{ $_->{type} }++ for @{ $body->{items} };
is_deeply(\%types, { messages => 5, files => 1, channels => 1 }, 'types');

my ($item) = grep { $_->{id} eq $turbine[4] } @{ $body->{items} };
is($item->{title}, 'Message from Ada Lovelace', 'title of a message');
is($item->{highlight},
   'The <mark>turbine</mark> number 5 is &lt;b&gt;running&lt;/b&gt; &amp; well',
   'highlight, escaped');
is($item->{content}, 'The turbine number 5 is <b>running</b> & well',
   'content as it is');
is_deeply([ @$item{qw(channelId channelName userId createdAt)} ],
          [ $news, 'news', $member->{id}, '2026-01-05T12:00:00.000Z' ],
          'where, who, when');
like($item->{score}, qr/^\d+(\.\d+)?$/, 'score');

my ($file) = grep { $_->{type} eq 'files' } @{ $body->{items} };
is_deeply([ $file->{title}, @{ $file->{metadata} }{qw(size mimeType)} ],
          [ 'turbine-plan.pdf', 1234, 'application/pdf' ], 'a file');
my ($channel) = grep { $_->{type} eq 'channels' } @{ $body->{items} };
is_deeply([ $channel->{title}, $channel->{metadata}{isPrivate} ],
          [ 'news', JSON::PP::false() ], 'a channel, by its topic');

is($n->head('/api/search?q=turbine')->status, 200, 'HEAD');


# Paging.

$r = search('turbine', 'limit=2');
is(scalar ids($r), 2, 'limit');
ok($r->json->{hasMore}, 'there are more');
my @first = ids($r);
isnt((ids(search('turbine', 'limit=2&page=2')))[0], $first[0], 'page 2');
is_deeply([ ids(search('turbine', 'limit=1&offset=1')) ], [ $first[1] ],
          'offset');
is(search('turbine', 'limit=2&page=4')->json->{page}, 4, 'the last page');
ok(!search('turbine', 'limit=2&page=4')->json->{hasMore}, 'has no more');
is(search('turbine', 'limit=500')->json->{limit}, 100, 'at most 100');
is_deeply([ ids(search('turbine', 'offset=999999')) ], [], 'beyond the end');
is_error(search('turbine', $_), 400, 'BAD_REQUEST', $_)
    for qw(limit=0 limit=x page=0 offset=-1 limit=1.5 offset= limit=);


# POST.

sub post {
    my ($data, %options) = @_;
    return $n->post('/api/search', $data, %options);
}

$r = post({ query => ' turbine ', types => ['messages'], limit => 2 });
is_ok($r, 'POST');
$body = $r->json->{data};
is_deeply([ sort keys %$body ], [qw(pagination query results totals types)],
          'its members');
is_deeply($body->{totals}, { messages => 5, files => 0, users => 0,
                             channels => 0, total => 5 }, 'totals');
is($body->{query}, 'turbine', 'query, trimmed');
is_deeply($body->{types}, ['messages'], 'types');
is_deeply($body->{pagination}, { total => 5, limit => 2, offset => 0,
                                 hasMore => JSON::PP::true() }, 'pagination');
is(scalar @{ $body->{results} }, 2, 'results');

my %by_date = (query => 'turbine', types => ['messages'], sortBy => 'date');
is_deeply([ ids(post({ %by_date, sortOrder => 'asc' })) ], \@turbine,
          'by date, ascending');
is_deeply([ ids(post({ %by_date })) ], [ reverse @turbine ],
          'descending by default');
is_deeply([ ids(post({ %by_date, offset => 3 })) ],
          [ @turbine[1, 0] ], 'offset');
is_deeply([ ids(post({ %by_date, dateFrom => '2026-01-02',
                       dateTo => '2026-01-04' })) ], [ @turbine[3, 2, 1] ],
          'days; the last one to its end');
is_deeply([ ids(post({ %by_date, dateFrom => '2026-01-05T12:00:00Z' })) ],
          [ $turbine[4] ], 'from a time');
is_deeply([ ids(post({ %by_date, dateTo => '2026-01-01T14:00:00.000401+02:00'
                     })) ], [ $turbine[0] ], 'to a time, with an offset');
my ($first) = @{ post({ %by_date, sortOrder => 'asc' })->json->{results} };
is_deeply([ ids(post({ %by_date, dateFrom => $first->{createdAt},
                       dateTo => $first->{createdAt} })) ], [ $turbine[0] ],
          "a result's own time, as it is shown");
is_deeply([ ids(search("turbine before:$first->{createdAt}")) ],
          [ $turbine[0] ], 'the same as an operator');
is_deeply([ ids(post({ %by_date, channelIds => [$news],
                       userIds => [ $member->{id} ] })) ],
          [ reverse @turbine ], 'channelIds and userIds');
is_deeply([ ids(post({ %by_date, channelIds => [ 'channel-1' ] })) ], [],
          'an id that is none matches nothing');
is_deeply([ ids(post({ %by_date, userIds => [ $owner->{id} ] })) ], [],
          'another author');

for my $case (
    [ { query => 7 }, 'query type' ], [ {}, 'query required' ],
    [ { query => 'x' }, 'query length' ],
    [ { query => ' x　 ' }, 'query length' ],
    [ { query => 'ü' x 201 }, 'query length' ],
    [ { query => 'ok', types => 'messages' }, 'types type' ],
    [ { query => 'ok', types => ['people'] }, 'types.0 enum' ],
    [ { query => 'ok', channelIds => 'x' }, 'channelIds type' ],
    [ { query => 'ok', channelIds => [1] }, 'channelIds.0 type' ],
    [ { query => 'ok', userIds => {} }, 'userIds type' ],
    [ { query => 'ok', dateFrom => 'yesterday' }, 'dateFrom format' ],
    [ { query => 'ok', dateTo => '2026-02-30' }, 'dateTo format' ],
    [ { query => 'ok', dateTo => 20260101 }, 'dateTo type' ],
    [ { query => 'ok', sortBy => 'size' }, 'sortBy enum' ],
    [ { query => 'ok', sortOrder => 'up' }, 'sortOrder enum' ],
    [ { query => 'ok', limit => '10' }, 'limit type' ],
    [ { query => 'ok', limit => 0 }, 'limit range' ],
    [ { query => 'ok', limit => 1.5 }, 'limit type' ],
    [ { query => 'ok', offset => -1 }, 'offset range' ]) {
    my $r = post($case->[0]);
    my $name = encode_json($case->[0]);

    is_error($r, 400, 'VALIDATION_ERROR', $name);
    is("@{ $r->json->{details} // {} }{qw(field constraint)}", $case->[1],
       "$name: $case->[1]");
}
is_error($n->http('POST', '/api/search', body => '[]'), 400, 'BAD_REQUEST',
         'an array');

my $several = post({ query => 'x', types => ['people'], dateTo => '2026',
                     sortBy => 'size', limit => 0 });
is_error($several, 400, 'VALIDATION_ERROR', 'several failures');
is_deeply([ map { $_->{field} } @{ $several->json->{details}{errors} // [] } ],
          [qw(query types.0 dateTo sortBy limit)], 'all are listed');
is($several->json->{details}{field}, 'query', 'the first stands for them');

for my $case ([ 'ok before:x', 'q format' ], [ 'x', 'q length' ]) {
    is("@{ search($case->[0])->json->{details} // {} }{qw(field constraint)}",
       $case->[1], "GET: $case->[0]");
}

is_error(search($_->[0]), 400, 'VALIDATION_ERROR', "GET: $_->[1]")
    for [ '', 'empty' ], [ 'x', 'one character' ], [ '  x ', 'and blanks' ],
        [ 'x' x 201, '201 characters' ];
is_error($n->get('/api/search'), 400, 'VALIDATION_ERROR', 'GET: no q');
is_ok(search('ü' x 200), '200 characters of two bytes');
is_ok(search('日本'), 'two characters');


# Who asks.

is_ok(search('turbine', '', token => $member->{token}), 'signed in');
is_error(search('turbine', '', token => 'nonsense'), 401, 'INVALID_TOKEN',
         'a bad token is not nobody');
my ($ada) = @{ search('lovelace')->json->{items} };
is_deeply([ $ada->{type}, $ada->{title}, $ada->{metadata}{username} ],
          [ 'users', 'Ada Lovelace', 'ada' ], 'a user');
ok(!exists $ada->{content}, 'the email is not for anybody');
($ada) = @{ search('lovelace', '', token => $owner->{token})
              ->json->{items} };
is($ada->{content}, $member->{email}, 'but for who is signed in');
($ada) = @{ search('lovelace', '', token => $guest->{token})
              ->json->{items} };
ok(!exists $ada->{content}, 'a guest is like anybody');


# Scripts without spaces, phrases, operators: a sample of what SQL's own tests
# have in full.

my $chinese = message('今天发布了新的版本，欢迎大家试用。');
my $phrase  = message('the quick brown fox');
my $other   = message('brown is the quick fox', pinned => 'true');

is_deeply([ ids(search('版本')) ], [$chinese], 'Chinese');
is_deeply([ ids(search('"quick brown"')) ], [$phrase], 'a phrase');
is_deeply([ ids(search('quick is:pinned')) ], [$other], 'is:pinned');
is_deeply([ ids(search('quick -"quick brown"')) ], [$other], 'not');
is_deeply([ sort(ids(search('quick from:ada in:news'))) ],
          [ sort $phrase, $other ], 'from: and in:');
is_deeply([ ids(search('from:@ada before:2026-01-01')) ], [ $turbine[0] ],
          'operators alone');


# Whatever is asked, the answer is 200 or 400.

my @odd = ("'", '"', '\\', '"""', '((', '))', '&|!', ':*', 'a:b', 'from:',
           'in:""', 'has:x', 'is:', 'before:x', 'after:9999-99-99', '-', '--x',
           'or or', 'OR', '<mark>', '%%', '__', '$1$1', "\t\n x", "\x{feff}x",
           "\x{200b}\x{200b}", "\x{10ffff}\x{10ffff}", '-"', 'a <-> b',
           '!!a', "a'b''c", "E'\\x'", 'x' x 200, '* ' x 100, '"a ' x 60,
           '-a ' x 60, 'or a ' x 40, "\x{1F600}" x 100, 'İstanbul',
           'ß' x 100, "e\x{301}" x 100, '{"a":1}', '../../etc/passwd');

for my $odd (@odd) {
    my $get  = search($odd);
    my $post = post({ query => $odd });
    ok($get->status =~ /^(200|400)$/ && $post->status =~ /^(200|400)$/,
       'odd: ' . Encode::encode('UTF-8', substr $odd, 0, 20))
        or diag($get->summary . "\n" . $post->summary);
}

srand 4;
my @letters = (('a' .. 'e'), ' ', ' ', '"', '-', ':', '(', ')', '\\', "'", '*',
               '&', '|', '!', '<', '>', 'ü', '中', '文', "\x{1F600}", 'from:',
               'in:', 'has:link', 'or ', '%', '_', '@', '#');
my $bad = 0;
for (1 .. 200) {
    my $query = join '', map { $letters[rand @letters] } 1 .. 2 + rand 30;
    my $r = search($query);
    next if $r->status == 200 || $r->status == 400;
    diag(Encode::encode('UTF-8', $query) . ': ' . $r->summary);
    $bad++;
}
is($bad, 0, '200 random queries: 200 or 400');

is_error($n->get('/api/search?q=%ff%ff'), 400, 'BAD_REQUEST', 'no UTF-8');
is_error($n->get('/api/search?q=ab%00'), 400, 'BAD_REQUEST', 'a NUL');
is_error($n->http('POST', '/api/search', body => '{"query":"ab\\u0000"}'),
         400, 'BAD_REQUEST', 'a NUL in JSON');


# The switch.

$n->patch('/api/config', { features => { search => JSON::PP::false() } },
          token => $owner->{token});
is_error(search('turbine'), 403, 'FORBIDDEN', 'features.search is off: GET');
is_error(post({ query => 'turbine' }, token => $owner->{token}), 403,
         'FORBIDDEN', 'and POST');
$n->patch('/api/config', { features => { search => JSON::PP::true() } },
          token => $owner->{token});
is_ok(search('turbine'), 'and on again');


# Its own limit.

my $limited = NchatTest->new(limits => 1, http => 'nchat_rate_limit search 3;');
my $on = $limited->connection;
my @answers = map { $limited->get('/api/search?q=anything', on => $on) }
              1 .. 4;
is(join(' ', map { $_->status } @answers), '200 200 200 429', 'class search');
like($answers[0]->header('ratelimit-policy'), qr/^"search";q=3/, 'its name');

finish();
