# Deliveries that share a transaction: who goes together, and that what happens
# to one of them happens to that one only.

use strict;
use warnings;

use lib 't/lib';

use Test::More;
use Time::HiRes qw(sleep time);

use NchatTest;
use NchatTest::Chat;

my $n = NchatTest->new(
    workers => 1, http => 'nchat_postgres_pool batch=1;
                            nchat_postgres_timeout queue=5s batch=2s;');
my $hook = webhook($n, channel($n, 'deployments'), name => 'CI');

# What Postgres itself refuses: at once, and only when it commits.
$n->psql(<<'SQL');
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'poison' USING ERRCODE = TG_ARGV[0];
END
$$;
CREATE TRIGGER a_poison BEFORE INSERT ON messages FOR EACH ROW
    WHEN (NEW.content LIKE 'poison%') EXECUTE FUNCTION poison('P0001');
CREATE TRIGGER a_deadlock BEFORE INSERT ON messages FOR EACH ROW
    WHEN (NEW.content LIKE 'deadlock%') EXECUTE FUNCTION poison('40P01');
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON messages
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.content LIKE 'late%') EXECUTE FUNCTION poison('P0001');
SQL

# hold(SECONDS): for so long no delivery can be recorded. What comes meanwhile
# waits for the first one.
sub hold {
    my ($seconds) = @_;

    open my $psql, '-|', 'psql', '-Xqc', "BEGIN;
        LOCK TABLE webhook_deliveries IN EXCLUSIVE MODE;
        SELECT pg_sleep($seconds); COMMIT", $n->database_url
        or die "psql: $!\n";
    wait_for(sub {
        $n->psql("SELECT count(*) FROM pg_locks WHERE granted AND mode =
                  'ExclusiveLock' AND relation = 'webhook_deliveries'::regclass
                  AND pid <> pg_backend_pid()") == 1
    }, 5) or die "the table was not locked\n";

    return $psql;
}

# together(CONTENT...): their answers; undef is a body that is refused.
sub together {
    my $held = hold(1);
    my @answers = $n->parallel(map {
        [ POST => $hook->{path}, body => encode_json({ content => $_ }) ]
    } @_);
    close $held;
    return @answers;
}

sub statuses {
    my %count;
    $count{ $_ ? $_->status : 'none' }++ for @_;
    return \%count;
}

# stored(LIKE): the messages, and their transactions and times.
sub stored {
    my ($like) = @_;
    my ($row) = $n->rows("SELECT count(*), count(DISTINCT content),
                                 count(DISTINCT xmin::text),
                                 count(DISTINCT created_at)
                            FROM messages WHERE content LIKE '$like'");
    return @$row;
}


# Who goes together.

my @answers = together(map { "good $_" } 1 .. 30);
is_deeply(statuses(@answers), { 200 => 30 }, 'all are delivered');
my ($messages, $contents, $transactions, $times) = stored('good %');
is("$messages $contents", '30 30', 'each of them once');
cmp_ok($transactions, '<', 15, 'several in a transaction');
is($times, 30, 'each with a time of its own');
is($n->psql("SELECT count(*) FROM webhook_deliveries d JOIN messages m
             ON m.id = d.message_id AND m.created_at = d.created_at
             WHERE m.content LIKE 'good %'") + 0, 30, 'and its record');
my %ids = map { $_->json->{messageId} => 1 } @answers;
is(keys %ids, 30, 'each answer is its own');
for (1 .. 30) {
    is($n->psql("SELECT content FROM messages WHERE id = '"
                . $answers[$_ - 1]->json->{messageId} . "'") =~ s/\n//r,
       "good $_", "and tells of its message ($_)") if $_ % 7 == 0;
}


# A failure stays alone.

for my $poison ('poison', 'late', 'deadlock') {

    # on a connection that has nothing prepared

    $n->reload;
    is($n->post($hook->{path}, { content => "$poison alone" })->status, 500,
       "$poison: by itself");
    is_ok($n->post($hook->{path}, { content => "$poison after" =~ s/^\w/x/r }),
          "$poison: what comes after it");

    $n->reload;
    @answers = together((map { "fine with $poison $_" } 1 .. 8), "$poison 1",
                        undef, (map { "fine with $poison $_" } 9 .. 16),
                        "$poison 2", undef);
    is_deeply(statuses(@answers), { 200 => 16, 400 => 2, 500 => 2 },
              "$poison: two of twenty");
    is_deeply([ map { $_->status } @answers[8, 9, 18, 19] ],
              [ 500, 400, 500, 400 ], "$poison: the right ones");
    is_deeply([ (stored("fine with $poison %"))[0, 1] ], [ 16, 16 ],
              "$poison: each good one is stored once");
    is_deeply([ (stored("$poison %"))[0] ], [ 0 ], "$poison: no bad one is");
    is($n->psql("SELECT count(*) FROM webhook_deliveries WHERE message_id IN
                 (SELECT id FROM messages
                   WHERE content LIKE 'fine with $poison %')") + 0, 16,
       "$poison: each good one is recorded once");
}

is($n->psql("SELECT count(*) FROM webhook_deliveries
              WHERE outcome = 'refused'") + 0, 6, 'refusals are recorded');
like($n->error_log, qr/\[notice\] .*a batch failed at statement \S+ \(SQLSTATE/,
     'the error log has it');


# Clients that leave.

my $held = hold(1);
my @leavers = map { $n->connection } 1 .. 20;
$leavers[$_]->send(POST => $n->request(POST => $hook->{path},
    body => encode_json({ content => "leaver $_" }))) for 0 .. $#leavers;
my $stays = $n->connection;
$stays->send(POST => $n->request(POST => $hook->{path},
    body => encode_json({ content => 'stays' })));
sleep 0.3;
$_->abort for @leavers;
is_ok($stays->receive, 'who stays has the answer');
close $held;
is((stored('stays'))[0], 1, 'and the message');
is((stored('leaver %'))[0], (stored('leaver %'))[1], 'none is there twice');


# The connection is lost while they wait.

# The rows of pg_stat_activity of the batch lane, as its own role sees them.
sub backends {
    my ($what, $where) = @_;
    return NchatTest::Cluster::psql($n->module_url,
        "SELECT $what FROM pg_stat_activity
          WHERE application_name LIKE 'nchat batch %'
            AND datname = current_database() AND " . ($where // 'true'));
}

$held = hold(1);
my $client = fork // die "fork: $!\n";

if ($client == 0) {
    @answers = $n->parallel(map {
        [ POST => $hook->{path}, body => encode_json({ content => "lost $_" }) ]
    } 1 .. 12);
    my $lost = grep { $_->status == 503 && $_->header('retry-after') } @answers;
    require POSIX;
    POSIX::_exit($lost == 12 ? 0 : 1);
}

ok(wait_for(sub {
    backends('count(*)', "wait_event_type = 'Lock'") == 1
}, 5), 'a batch waits');
backends('pg_terminate_backend(pid)');
waitpid $client, 0;
is($? >> 8, 0, 'all of it is refused, and may be tried again');
close $held;
is((stored('lost %'))[0], 0, 'nothing of it is there');
is_ok($n->post($hook->{path}, { content => 'next' }), 'others do the work');
ok(wait_for(sub { backends('pid') }, 5), 'the connection is back');


# A batch that takes too long is given up as a whole, in time.

$held = hold(6);
my $begin = time;
@answers = $n->parallel(map {
    [ POST => $hook->{path}, body => encode_json({ content => "slow $_" }) ]
} 1 .. 4);
is_deeply(statuses(@answers), { 504 => 4 }, 'too slow');
cmp_ok(time - $begin, '<', 5, 'and none waits twice for that');
$n->psql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity
           WHERE query LIKE '%pg_sleep(6)%' AND pid <> pg_backend_pid()");
close $held;
is_ok($n->post($hook->{path}, { content => 'and on' }), 'it goes on');
is((stored('slow %'))[0], 0, 'nothing of the slow ones is there');

finish();
