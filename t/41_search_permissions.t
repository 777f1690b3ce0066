# Who finds what: callers, channels, types and filters against each other, over
# HTTP and with real tokens. What somebody may not read changes nothing of what
# they see: neither results nor totals.

use strict;
use warnings;

use lib 't/lib';

use Test::More;

use NchatTest;
use NchatTest::Chat;

my $n = NchatTest->new;

# Callers. "inside" is a member of the private and the direct channel, "former"
# was one, the others of role never were.

my %who = (owner => $n->owner);
$who{$_} = $n->account($_) for qw(admin moderator guest);
$who{$_} = $n->account('member') for qw(member inside former author);
$who{anonymous} = {};

# Channels, each with a message, a file of it, and a word of its own.

my %channels = (
    public   => channel($n, 'zebra-public', topic => 'zebra'),
    private  => channel($n, 'zebra-private', type => 'private',
                        topic => 'zebra',
                        members => [ @who{qw(inside former author)} ]),
    direct   => channel($n, undef, type => 'direct', topic => 'zebra',
                        members => [ @who{qw(inside former author)} ]),
    archived => channel($n, 'zebra-archived', topic => 'zebra'),
    closed   => channel($n, 'zebra-closed', type => 'private',
                        topic => 'zebra',
                        members => [ @who{qw(inside former author)} ])
);

# Names are found by similar words, too: these are unlike each other and every
# name.

my %words = (
    'public'   => 'quokka', 'deleted public'   => 'numbatix',
    'private'  => 'bilbyom', 'deleted private'  => 'echidnu',
    'direct'   => 'jerboa', 'deleted direct'   => 'fossovu',
    'archived' => 'okapium', 'deleted archived' => 'tenrecho',
    'closed'   => 'wombats', 'deleted closed'   => 'gavialux'
);

my %things;
for my $name (sort keys %channels) {
    for my $deleted (0, 1) {
        my $kind = $deleted ? "deleted $name" : $name;
        my $word = $words{$kind};
        my $at   = $deleted ? 'now()' : 'NULL';

        my ($message) = $n->psql(
            "INSERT INTO messages (channel_id, user_id, content, pinned,
                                   deleted_at)
             VALUES ('$channels{$name}', '$who{author}{id}',
                     'zebra $word https://example.com/$word', true, $at)
             RETURNING id") =~ /([0-9a-f-]{36})/;
        my ($file) = $n->psql(
            "INSERT INTO attachments (filename, original_filename, mime_type,
                                      size, category, message_id, uploaded_by,
                                      deleted_at)
             VALUES ('x', 'zebra-$word.png', 'image/png', 1, 'image',
                     '$message', '$who{author}{id}', $at)
             RETURNING id") =~ /([0-9a-f-]{36})/;

        $things{$kind} = { message => $message, file => $file,
                           word => $word };
        $n->psql("INSERT INTO message_stars (user_id, message_id)
                  VALUES ('$_->{id}', '$message')")
            for grep { $_->{id} } values %who;
    }
}

$n->psql("UPDATE channels SET archived_at = now()
           WHERE id IN ('$channels{archived}', '$channels{closed}')");
leave_channel($n, $channels{$_}, $who{former}) for qw(private direct closed);

# What each may read.

my @open   = qw(public archived);
my @all    = qw(public archived private direct closed);
my %reads  = map { $_ => [@open] } keys %who;
$reads{$_} = [@all] for qw(inside author);

my @callers = sort keys %who;

sub post {
    my ($caller, %data) = @_;
    my $r = $n->post('/api/search', { query => 'zebra', limit => 100, %data },
                     token => $who{$caller}{token});
    $r->status == 200 or return { error => $r->summary };
    return $r->json->{data};
}

# found(CALLER, DATA): what was found, as "type channel" names.
sub found {
    my ($caller, %data) = @_;
    my $answer = post($caller, %data);
    my %names  = map { $channels{$_} => $_ } keys %channels;
    my %known  = map { $things{$_}{message} => $_, $things{$_}{file} => $_ }
                 keys %things;

    return $answer->{error} if $answer->{error};
    return join ', ', sort map {
        "$_->{type} " . ($known{ $_->{id} } // $names{ $_->{id} } // $_->{id})
    } @{ $answer->{results} };
}

sub expected {
    my ($caller, @types) = @_;
    my @found;
    for my $type (@types) {
        push @found, "$type $_" for @{ $reads{$caller} };
    }
    return join ', ', sort @found;
}

for my $caller (@callers) {

    # Each type, and all of them.

    for my $types ([qw(messages)], [qw(files)], [qw(channels)], [qw(users)],
                   [qw(messages files users channels)]) {
        my @types = grep { $_ ne 'users' } @$types;
        is(found($caller, types => $types), expected($caller, @types),
           "$caller finds @$types");
    }

    my $answer = post($caller);
    my $count  = scalar @{ $reads{$caller} };
    is_deeply($answer->{totals}, { messages => $count, files => $count,
                                   channels => $count, users => 0,
                                   total => 3 * $count },
              "$caller: totals count nothing else");

    # By GET.

    my $r = $n->get('/api/search?q=zebra&limit=100',
                    token => $who{$caller}{token});
    is($r->json->{total}, 3 * $count, "$caller: by GET the same");

    # Each filter and operator.

    my @mine = $caller eq 'anonymous' || $caller eq 'guest'
               ? () : @{ $reads{$caller} };
    my $messages = expected($caller, 'messages');
    my %only = (types => ['messages']);

    is(found($caller, %only, query => 'zebra is:pinned'), $messages,
       "$caller: is:pinned");
    is(found($caller, %only, query => 'zebra has:link'), $messages,
       "$caller: has:link");
    is(found($caller, %only, query => 'zebra has:file'), $messages,
       "$caller: has:file");
    is(found($caller, %only, query => 'zebra has:image'), $messages,
       "$caller: has:image");
    is(found($caller, %only, query => 'zebra is:starred'),
       join(', ', sort map { "messages $_" } @mine), "$caller: is:starred");
    is(found($caller, %only, query => "zebra from:$who{author}{username}"),
       $messages, "$caller: from:");
    is(found($caller, %only, query => 'zebra after:2000-01-01'), $messages,
       "$caller: after:");
    is(found($caller, %only, userIds => [ $who{author}{id} ]), $messages,
       "$caller: userIds");
    is(found($caller, %only, dateFrom => '2000-01-01', dateTo => '2100-01-01'),
       $messages, "$caller: dates");
    is(found($caller, %only, sortBy => 'date', sortOrder => 'asc'), $messages,
       "$caller: sorted");
    is(found($caller, %only, query => '"zebra" or zebra'), $messages,
       "$caller: a phrase or a word");
    is(found($caller, %only, query => 'zebra -nothing'), $messages,
       "$caller: not");

    for my $name (sort keys %channels) {
        my $may = grep { $_ eq $name } @{ $reads{$caller} };

        is(found($caller, types => [qw(messages files)],
                 channelIds => [ $channels{$name} ]),
           $may ? "files $name, messages $name" : '',
           "$caller: channelIds of $name");
        is(found($caller, %only, query => "zebra in:zebra-$name"),
           $may && $name ne 'direct' ? "messages $name" : '',
           "$caller: in:zebra-$name");
        is(found($caller, query => $things{$name}{word}),
           $may ? "files $name, messages $name" : '',
           "$caller: a word of $name");

        my $hidden = post($caller, query => $things{"deleted $name"}{word});
        is($hidden->{totals}{total}, 0, "$caller: what was deleted in $name");
    }
}

# A private channel that may not be seen answers like one that isn't there.

sub same_answers {
    my ($caller, $one, $other, $name) = @_;
    my ($a, $b) = map { my $answer = post($caller, %$_);
                        delete $answer->{query}; $answer } $one, $other;
    is_deeply($a, $b, "$caller: $name");
}

for my $caller (qw(anonymous guest member former moderator admin owner)) {
    same_answers($caller, { channelIds => [ $channels{private} ] },
                 { channelIds => ['00000000-0000-4000-8000-000000000000'] },
                 'a hidden channel is like an unknown one');
    same_answers($caller, { query => 'zebra in:zebra-private' },
                 { query => 'zebra in:no-such-name' }, 'by name too');
    same_answers($caller, { query => $things{private}{word} },
                 { query => 'onlynowhere' }, 'a hidden word is like no word');
}

# Rights count when they are asked for: leaving and joining.

leave_channel($n, $channels{private}, $who{inside});
is(found('inside', query => $things{private}{word}), '', 'left: not found');
join_channel($n, $channels{private}, $who{inside}, $who{member});
is(found('inside', query => $things{private}{word}),
   'files private, messages private', 'joined: found again');
is(found('member', query => $things{private}{word}),
   'files private, messages private', 'a new member finds what was before');

# A guest who is a member of a private channel is still a guest.

join_channel($n, $channels{private}, $who{guest});
is(found('guest', query => $things{private}{word}), '',
   'a guest finds no private channel');

finish();
