# More searches than the database can do: who cannot be served in time is told
# so at once, the others are served.

use strict;
use warnings;

use lib 't/lib';

use List::Util 'max';
use Test::More;

use NchatTest;

my $n = NchatTest->new(
    workers => 1,
    http    => 'nchat_postgres_pool slow=1; nchat_postgres_timeout queue=1s;');

my %search = (q => '/api/search?q=something', audit => '/api/audit');
my $owner  = $n->owner;
my $slack  = $ENV{NCHAT_TEST_ASAN} ? 3 : 1;

# A search takes a fifth of a second.
$n->psql(<<'SQL');
CREATE OR REPLACE FUNCTION nchat_search_types(p_types text, p_known text[])
    RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.2);
    RETURN p_known;
END
$$;
SQL

sub search { return $n->get($search{q}) }

sub flood {
    return $n->parallel(map { [ GET => $search{q}, from => "127.0.3.$_" ] }
                        1 .. 30);
}

is(search()->status, 200, 'a search') for 1 .. 12;

my @answers  = flood();
my @served   = grep { $_->status == 200 } @answers;
my @refused  = grep { $_->status == 503 } @answers;

is(@served + @refused, 30, 'all are answered');
cmp_ok(scalar @served, '>=', 4, 'as many are served as there is time for');
cmp_ok(scalar @served, '<=', 8, 'and no more');
is_error($refused[0], 503, 'SERVICE_UNAVAILABLE', 'the others are refused');
is(scalar(grep { !$_->header('retry-after') } @refused), 0,
   'with the advice to come back');

my @late = grep { $_->time > 0.4 * $slack } @refused;
cmp_ok(scalar @late, '<=', 2, 'at once');
cmp_ok(max(map { $_->time } @served), '<', 1.5 * $slack,
       'none waits longer than configured');
is($n->get('/api/audit', token => $owner->{token})->status, 200,
   'it is open again at once');


# A bad time is forgotten.

$n->psql('CREATE OR REPLACE FUNCTION nchat_search_types(p_types text,
    p_known text[]) RETURNS text[] LANGUAGE sql AS $$ SELECT $2 $$');

is(search()->status, 200, 'quick again') for 1 .. 60;
@answers = flood();
is(scalar(grep { $_->status == 200 } @answers), 30, 'all are served');

finish();
