# Who finds what: every kind of caller, against every kind of channel, with each
# type and each filter of search.

use strict;
use warnings;
use utf8;

use lib 't/lib', 't/sql/lib';

use JSON::PP ();
use Test::More;

require './t/sql/chat_lib.pl';

chat_database();

# Callers.  "inside" is a member of the channels that have members, "leaver"
# was one; the others are members of nothing.  "author" writes, and does not search.

my @people = qw(guest member inside leaver moderator admin owner author);
my %role = map { $_ => /^(guest|moderator|admin|owner)$/ ? $_ : 'member' } @people;
my %id = map { $people[$_] => id(1, $_) } 0 .. $#people;

sql(join ";\n", map {
    "INSERT INTO users (id, email, username, display_name, role, created_at) "
    . "VALUES ('$id{$_}', '$_\@example.com', '$_', 'Needle $_', '$role{$_}', "
    . "'2026-01-01')"
} @people);

# Places, and who may read them.

my @places = (
    { name => 'plaza', type => 'public', readers => 'all' },
    { name => 'vault', type => 'private', readers => 'inside' },
    { type => 'direct', readers => 'inside' },
    { name => 'attic', type => 'public', readers => 'all', archived => 1 },
    { name => 'crypt', type => 'private', readers => 'inside', archived => 1 },
    { name => 'ruin', type => 'public', readers => 'nobody', deleted => 1 },
);

my (%things, @sql);

# A thing that may be found: which filters it passes is worked out from this.
sub thing {
    my ($type, $id, %thing) = @_;
    $things{$type}{$id} = { type => $type, id => $id, %thing };
}

for my $n (0 .. $#places) {
    my $place = $places[$n];
    my $channel = $place->{id} = id(2, $n);
    my $name = $place->{name} ? "'$place->{name}'" : 'NULL';
    my $archived = $place->{archived} ? "'2026-06-01'" : 'NULL';
    my $deleted = $place->{deleted} ? "'2026-06-01'" : 'NULL';

    push @sql, "INSERT INTO channels (id, name, type, topic, archived_at, "
        . "created_at) VALUES ('$channel', $name, '$place->{type}', "
        . "'Needle secret$n', $archived, '2026-01-01')";
    thing('channels', $channel, place => $n, date => '2026-01-01')
        if !$place->{deleted};
    thing('channels', $channel, place => $n, date => '2026-01-01',
          readers => 'all') if $place->{deleted};

    # Of two messages one is pinned, starred by everybody, has a link and an
    # image; the other has nothing.  So too the files.

    for my $side (0, 1) {
        my $message = id(3, $n * 2 + $side);
        my $author = $side ? 'inside' : 'author';
        my $date = $side ? '2026-02-10' : '2026-01-10';
        my $word = $side ? 'beta' : 'alpha https://example.com/';
        my $pinned = $side ? 'false' : 'true';

        push @sql, "INSERT INTO messages (id, channel_id, user_id, content, "
            . "pinned, created_at) VALUES ('$message', '$channel', "
            . "'$id{$author}', 'A needle $word secret$n 東京都庁', $pinned, '$date')";
        thing('messages', $message, place => $n, side => $side,
              author => $author, date => $date);

        my $file = id(4, $n * 2 + $side);
        my $category = $side ? 'document' : 'image';
        my $link = $side ? 'NULL' : "'$message'";

        push @sql, "INSERT INTO attachments (id, filename, original_filename, "
            . "mime_type, size, category, channel_id, message_id, uploaded_by, "
            . "created_at) VALUES ('$file', 'f', 'needle_"
            . ($side ? 'beta' : 'alpha') . "-secret$n.png', 'x/y', 1, "
            . "'$category', '$channel', $link, '$id{$author}', '$date')";
        thing('files', $file, place => $n, side => $side, author => $author,
              date => $date);

        push @sql, map {
            "INSERT INTO message_stars VALUES ('$id{$_}', '$message')"
        } @people if !$side;

        push @sql, "UPDATE messages SET deleted_at = $deleted "
            . "WHERE id = '$message'" if $place->{deleted};
        push @sql, "UPDATE attachments SET deleted_at = $deleted "
            . "WHERE id = '$file'" if $place->{deleted} && $side;
    }

    push @sql, map {
        "INSERT INTO channel_members VALUES ('$channel', '$id{$_}')"
    } qw(inside leaver) if $place->{readers} eq 'inside';
}

# A file of no channel is its uploader's, or nobody's.

for my $own (0, 1) {
    my $uploader = $own ? "'$id{inside}'" : 'NULL';
    push @sql, "INSERT INTO attachments (id, filename, original_filename, "
        . "mime_type, size, category, uploaded_by, created_at) VALUES ('"
        . id(4, 100 + $own) . "', 'f', 'needle_beta-own$own.png', 'x/y', 1, "
        . "'document', $uploader, '2026-02-10')";
    thing('files', id(4, 100 + $own), side => 1, author => 'inside',
          date => '2026-02-10', readers => $own ? 'inside' : 'nobody');
}

sql(join ";\n", @sql, "DELETE FROM channel_members WHERE user_id = '$id{leaver}'");

# Filters, and what passes them.

sub operators { my $t = shift->{type}; $t eq 'messages' || $t eq 'files' }
sub message { $_[0]{type} eq 'messages' }
sub first { !$_[0]{side} }
sub in { my ($t, @n) = @_; defined $t->{place} && grep { $t->{place} == $_ } @n }
sub person { $_[0]{type} eq 'users' }

my @filters = (
    ['needle', {}, sub { 1 }],
    (map {
        my $type = $_;
        ["type $type", { types => [$type] }, sub { $_[0]{type} eq $type }]
    } qw(messages files users channels)),
    (map {
        my $n = $_;
        ["channel $n", { channelIds => [id(2, $n)] }, sub { in($_[0], $n) }]
    } 0 .. $#places),
    ['all channels', { channelIds => [map { id(2, $_) } 0 .. $#places] },
     sub { in($_[0], 0 .. $#places) }],
    ['no channel', { channelIds => ['vault', id(9, 9)] }, sub { 0 }],
    (map {
        my $who = $_;
        ["user $who", { userIds => [$id{$who}] },
         sub { person($_[0]) ? $_[0]{id} eq $id{$who}
                             : ($_[0]{author} // '') eq $who }]
    } qw(author inside)),
    ['no user', { userIds => ['author', id(9, 9)] }, sub { 0 }],
    (map {
        my $who = $_;
        ["from:$who", {}, sub { operators(@_) && $_[0]{author} eq $who }],
        ["-from:\"needle $who\"", {},
         sub { operators(@_) && ($_[0]{id} eq id(4, 100)
                                 || $_[0]{author} ne $who) }]
    } qw(author inside)),
    (map {
        my $n = $_;
        my $name = $places[$n]{name};
        ["in:$name", {}, sub { operators(@_) && in($_[0], $n) }],
        ["-in:#$name", {}, sub { operators(@_) && !in($_[0], $n) }]
    } grep { $places[$_]{name} } 0 .. $#places),
    ['in:' . id(2, 2), {}, sub { operators(@_) && in($_[0], 2) }],
    ['has:link', {}, sub { message(@_) && first(@_) }],
    ['-has:link', {}, sub { operators(@_) && !(message(@_) && first(@_)) }],
    ['has:file', {}, sub { operators(@_) && (!message(@_) || first(@_)) }],
    ['has:image', {}, sub { operators(@_) && first(@_) }],
    ['-has:image', {}, sub { operators(@_) && !first(@_) }],
    ['is:pinned', {}, sub { message(@_) && first(@_) }],
    ['is:starred', {}, sub { message(@_) && first(@_) && $_[1] }],
    ['-is:starred', {}, sub { operators(@_) && !(message(@_) && first(@_)
                                                 && $_[1]) }],
    ['before:2026-01-31', {}, sub { operators(@_) && first(@_) }],
    ['after:2026-02-10', {}, sub { operators(@_) && !first(@_) }],
    ['dateTo', { dateTo => '2026-01-10' }, sub { $_[0]{date} le '2026-01-10' }],
    ['dateFrom', { dateFrom => '2026-01-10' },
     sub { $_[0]{date} ge '2026-01-10' }],
    ['alpha', { q => '"needle alpha"' }, sub { operators(@_) && first(@_) }],
    ['-alpha', { q => 'needle -alpha' },
     sub { !operators(@_) || !first(@_) }],
    ['or', { q => 'alpha or beta' }, sub { operators(@_) }],
    ['CJK', { q => '東京' }, sub { message(@_) }],
    ['only operators', { q => 'has:image from:author' },
     sub { operators(@_) && first(@_) }],
    ['only a negation', { q => '-alpha' }, sub { message(@_) && !first(@_) }],
    ['date', { sortBy => 'date' }, sub { 1 }],
    ['oldest', { sortBy => 'date', sortOrder => 'asc' }, sub { 1 }],
    ['worst', { sortOrder => 'asc' }, sub { 1 }],
);

thing('users', $id{$_}, date => '2026-01-01', readers => 'all') for @people;

# Whether a caller reads a thing.
sub reads {
    my ($caller, $thing) = @_;

    my $readers = $thing->{readers} // $places[$thing->{place}]{readers};
    return $readers eq 'all' || $readers eq $caller;
}

my @callers = ('anonymous', grep { $_ ne 'author' } @people);
my @cases;

for my $caller (@callers) {
    for my $filter (@filters) {
        my ($title, $search, $passes) = @$filter;
        my $query = $search->{q}
            // ($title =~ /^-?(from|in|has|is|before|after):/ ? "needle $title"
                                                             : 'needle');
        push @cases, {
            caller => $caller, title => $title, passes => $passes,
            search => { %$search, q => $query, caller => $id{$caller},
                        limit => 100, guest => $caller eq 'guest' }
        };
    }
}

my @answers = searches(map { $_->{search} } @cases);
is scalar @answers, scalar @cases, 'every search answers';

my $encoder = JSON::PP->new->canonical;

for my $n (0 .. $#cases) {
    my $case = $cases[$n];
    my ($caller, $search) = @$case{qw(caller search)};
    my $signed = $caller !~ /^(anonymous|guest)$/;
    my ($status, $body) = @{$answers[$n]};
    my (%expected, %got, %totals);

    for my $type (qw(messages files users channels)) {
        $expected{$type} = [sort map { $_->{id} } grep {
            reads($caller, $_) && $case->{passes}->($_, $signed)
        } values %{$things{$type}}];
        $got{$type} = [sort map { $_->{id} } grep { $_->{type} eq $type }
                       @{$body->{results}}];
        $totals{$type} = @{$expected{$type}};
        $totals{total} += @{$expected{$type}};
    }

    my $text = $encoder->encode($body);
    my $hidden = join '|', 'nothing', map { "secret$_" } grep {
        !reads($caller, { place => $_ }) && $places[$_]{readers} eq 'inside'
    } 0 .. $#places;

    my $fine = is_deeply [$status, \%got, $body->{totals}],
        [200, \%expected, \%totals], "$caller: $case->{title}";
    diag "query: $search->{q}" if !$fine;

    unlike $text, qr/$hidden/, "$caller: $case->{title}: nothing of the rest";
    unlike $text, qr/example\.com"/, "$caller: no email" if !$signed;
}

# A guest whose token still says member, and somebody deactivated since.

is found(q => 'needle is:starred', caller => $id{guest})->{totals}{total}, 0,
    'the role counts, not the token';
sql("UPDATE users SET status = 'deactivated' WHERE username = 'inside'");
my $late = found(q => 'needle', caller => $id{inside}, limit => 100)->{totals};
is_deeply [@$late{qw(messages channels users)}], [4, 3, 7],
    'deactivated: as anonymous, and not found';
sql("UPDATE users SET status = 'active' WHERE username = 'inside'");

# Rights follow what changes.

sub counts {
    return join ' ', map {
        found(q => 'needle', caller => $id{$_ // ''}, limit => 100,
              types => ['messages', 'files', 'channels'])->{totals}{total}
    } undef, 'leaver', 'inside';
}

is counts(), '11 11 27', 'before';
sql("INSERT INTO channel_members VALUES ('" . id(2, 1) . "', '$id{leaver}')");
is counts(), '11 16 27', 'a new member';
sql("DELETE FROM channel_members WHERE channel_id = '" . id(2, 1) . "'");
is counts(), '11 11 22', 'members who left';
sql("UPDATE channels SET type = 'private' WHERE name = 'plaza'");
is counts(), '6 6 17', 'a channel made private';
sql("UPDATE channels SET type = 'public' WHERE name IN ('plaza', 'vault')");
is counts(), '16 16 27', 'channels made public';
sql("UPDATE messages SET deleted_at = now() WHERE id = '" . id(3, 0) . "'");
is counts(), '14 14 25', 'a deleted message, gone with its file';
sql("UPDATE messages SET deleted_at = NULL WHERE id = '" . id(3, 0) . "'");
is counts(), '16 16 27', 'and both back';
sql("UPDATE messages SET channel_id = '" . id(2, 4) . "' WHERE id = '"
    . id(3, 1) . "'");
is counts(), '15 15 27', 'a message moved to a private channel';

done_testing();
