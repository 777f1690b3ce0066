# What the tests of the chat data's SQL share: many calls in one session,
# searches by name, ids.

use strict;
use warnings;
use utf8;

use lib 't/lib', 't/sql/lib';

use JSON::PP ();
use SqlTest;

my $json = JSON::PP->new->utf8;
my $db;

# A migrated database; returns its URLs, see SqlTest.
sub chat_database { $db = new_database() }

# Runs SQL, text, as the owner; rows as lines, columns between tabs.
sub sql { run_sql($db->{owner}, @_) }

# The same as the module's role.
sub module_sql { run_sql($db->{module}, @_) }

sub run_sql {
    my ($url, $sql) = @_;

    utf8::encode($sql);
    return value($url, $sql);
}

# Calls a function as the module, once for each list of arguments, in one
# session; returns [status, body] for each, the body decoded.
sub calls {
    my ($function, @arguments) = @_;

    return answers(module_sql(statements($function, @arguments)));
}

# One call as the owner.
sub owner_call {
    my ($function, @arguments) = @_;

    return (answers(sql(statements($function, \@arguments))))[0];
}

sub statements {
    my ($function, @arguments) = @_;

    return join "\n", map {
        "SELECT status, body FROM $function("
            . join(', ', map { literal($_) } @$_) . ');'
    } @arguments;
}

sub answers {
    return map {
        my ($status, $body) = split /\t/, $_, 2;
        utf8::encode($body);
        [$status, $json->decode($body)]
    } split /\n/, $_[0];
}

# searches({caller, guest, shape, q, types, channelIds, userIds, dateFrom,
# dateTo, sortBy, sortOrder, limit, offset}...): [status, body] for each.
sub searches {
    return calls('nchat_search', map {
        my $s = $_;
        [
            $s->{caller}, $s->{guest} ? 't' : 'f', $s->{shape} // 'results',
            $s->{q}, (map { $s->{$_} && JSON::PP->new->encode($s->{$_}) }
                          qw(types channelIds userIds)),
            @$s{qw(dateFrom dateTo sortBy sortOrder limit offset)}
        ]
    } @_);
}

# The body of one search that must succeed.
sub found {
    my ($answer) = searches({@_});

    die "search refused: $answer->[1]{error}\n" if $answer->[0] != 200;
    return $answer->[1];
}

# A UUID from a kind and a number, the same each time.
sub id { sprintf '%08d-0000-4000-8000-%012d', @_ }

1;
