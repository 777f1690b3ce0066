# The audit log: entries, lists, export, deletion, seals.

use strict;
use warnings;
use utf8;

use lib 't/lib', 't/sql/lib';

use JSON::PP ();
use Test::More;

use SqlTest;

my $db = new_database();
my ($owner, $module) = @$db{qw(owner module)};

my $alice = uuid();
my $bob = uuid();

value($owner, "INSERT INTO users (id, email, username, display_name, role)
               VALUES ('$alice', 'alice\@example.com', 'alice', 'Alice', 'admin'),
                      ('$bob', 'bob\@example.com', 'Bob', 'Bob', 'member')");

sub create {
    my ($user, $name, $admin, $entry) = @_;
    return body($module, 'nchat_audit_create', $user, "$name\@example.com",
                $name, $admin ? 'true' : 'false', $entry, '10.0.0.1', 'req-1');
}

# list(viewer => …, q => …): the names are those of the parameters.
sub list {
    my %o = (page_limit => 100, page_offset => 0, @_);
    my @names = qw(viewer q categories severities actor resource since until
                   success sort direction page_limit page_offset);
    return body($module, 'nchat_audit_list', @o{@names});
}

sub descriptions {
    return join ' ', map { $_->{description} } @{ list(@_)->{items} };
}

sub verify { body($module, 'nchat_audit_verify') }

# Seals until so many were sealed: other tests' transactions on the same cluster
# may make one call wait for the next.
sub seal {
    my $expected = shift // 0;
    my $sealed = 0;

    for (1 .. 200) {
        $sealed += value($module, 'SELECT nchat_audit_seal()');
        return $sealed if $sealed >= $expected;
        select undef, undef, undef, 0.05;
    }

    return $sealed;
}

sub unsealed {
    return value($owner, 'SELECT count(*) FROM nchat_audit_hashes((SELECT'
                         . ' coalesce(max(last_seq), 0) + 1 FROM audit_blocks),'
                         . ' 9223372036854775807, 10000)');
}

subtest 'what an entry holds' => sub {
    my %entry = (
        category => 'file', action => 'import', severity => 'warning',
        description => "Datei „Übung“ \"q\" \\ =x", success => JSON::PP::false,
        errorMessage => 'no', correlationId => 'c-1',
        metadata => { n => 1.5, null => undef, list => [1, undef] },
        resource => { type => 'file', id => 'f1', name => 'a.txt',
                      previousValue => { a => 1 }, newValue => { a => 2 } },
        target => { x => ['y'] });

    my $got = create($bob, 'Bob', 0, { %entry, actor => { id => 'x', type => 'system' } });

    like(delete $got->{id}, qr/^[0-9a-f-]{36}$/, 'an id');
    like(delete $got->{timestamp}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
         'a time');
    is_deeply($got, { %entry, ipAddress => '10.0.0.1', requestId => 'req-1',
                      actor => { id => $bob, type => 'user', username => 'Bob',
                                 email => 'Bob@example.com' } },
              'all that was given, the actor being the caller');

    $got = create($alice, 'alice', 1,
                  { category => 'auth', action => 'a', description => 'd',
                    actor => { id => 'cron', type => 'system' },
                    ipAddress => '1.2.3.4', requestId => 'own' });
    is_deeply([@$got{qw(actor ipAddress requestId severity success)}],
              [{ id => 'cron', type => 'system' }, '1.2.3.4', 'own', 'info',
               JSON::PP::true], "an admin's own actor, address and request");
    is(value($owner, 'SELECT recorded_by, recorded_ip FROM audit_log'
                     . " WHERE id = '$got->{id}'"), "$alice\t10.0.0.1",
       'who recorded it and from where is kept');
    ok(!exists $got->{resource} && !exists $got->{errorMessage},
       'absent members are left out');
};

value($owner, 'TRUNCATE audit_log');

my $n = 0;

for my $row (['auth', 'signin', 'info', $alice, 'alice', 'one'],
             ['auth', 'signin', 'debug', $bob, 'Bob', 'two'],
             ['config', 'zeta', 'critical', $alice, 'alice', 'three'],
             ['file', 'alpha', 'error', $bob, 'Bob', 'four 50% off'],
             ['file', 'alpha', 'warning', $bob, 'Bob', 'Five'])
{
    my ($category, $action, $severity, $id, $name, $description) = @$row;
    value($module, "SELECT nchat_audit_record('$category', '$action',
        '$severity', '$id', 'user', lower('$name\@example.com'), '$name',
        '{\"type\": \"$category\", \"id\": \"r$n\"}', NULL, '$description',
        " . ($n++ != 3 ? 'true' : 'false') . ", NULL, NULL, NULL, NULL)");
}

subtest 'filters' => sub {
    is(descriptions(), 'Five four 50% off three two one', 'newest first');
    is(descriptions(viewer => $bob), 'Five four 50% off two', "one's own");
    is(descriptions(categories => 'auth,config'), 'three two one', 'categories');
    is(descriptions(severities => 'debug,error'), 'four 50% off two', 'severities');
    is(descriptions(actor => 'BOB@example.com'), 'Five four 50% off two', 'by email');
    is(descriptions(actor => 'bob'), 'Five four 50% off two', 'by username');
    is(descriptions(actor => $alice), 'three one', 'by id');
    is(descriptions(actor => "' OR true --"), '', 'no way into the statement');
    is(descriptions(resource => 'file'), 'Five four 50% off', "a resource's type");
    is(descriptions(resource => 'r2'), 'three', "a resource's id");
    is(descriptions(resource => 'file:r4'), 'Five', 'both');
    is(descriptions(success => 'false'), 'four 50% off', 'failures');
    is(descriptions(q => 'FIVE'), 'Five', 'words without regard to case');
    is(descriptions(q => '0%'), 'four 50% off', 'a wildcard is itself');
    is(descriptions(q => '0% o'), 'four 50% off', 'also with an index');
    is(descriptions(q => 'n_'), '', 'the other one too');
    is(descriptions(q => "x\\' --"), '', 'quotes and backslashes too');
    is(descriptions(since => '2020-01-01', until => '2020-01-02'), '', 'times');
    is(descriptions(q => 'alice', categories => 'auth'), 'one', 'all must hold');

    my $at = list(q => 'three')->{items}[0]{timestamp};
    is(descriptions(q => 'three', since => $at, until => $at), 'three',
       'both ends are inclusive, to the millisecond that is shown');
};

subtest 'order and pages' => sub {
    is(descriptions(sort => 'timestamp', direction => 'asc'),
       'one two three four 50% off Five', 'oldest first');
    is(descriptions(sort => 'severity', direction => 'asc'),
       'two one Five four 50% off three', 'severity by its rank');
    is(descriptions(sort => 'category', direction => 'desc'),
       'Five four 50% off three two one', 'category');
    is(descriptions(sort => 'action', direction => 'asc'),
       'four 50% off Five one two three', 'action');
    is(descriptions(sort => 'actor', direction => 'asc'),
       'one three two four 50% off Five', 'actor');

    my $page = list(page_limit => 2, page_offset => 2);
    is(join(' ', map { $_->{description} } @{ $page->{items} }), 'three two',
       'the second page');
    is_deeply($page->{entries}, $page->{items}, 'entries are items');
    is_deeply([@$page{qw(total page limit pageSize hasMore)}],
              [5, 2, 2, 2, JSON::PP::true], 'and the rest');
    is(list(page_limit => 2, page_offset => 4)->{hasMore}, JSON::PP::false,
       'the last page');
    is_deeply(list(page_offset => 100)->{items}, [], 'beyond the end');
};

subtest 'export' => sub {
    create($alice, 'alice', 1,
           { category => 'auth', action => '=1+1', description => "a\nb,\"c\"\t",
             actor => { id => '@x', type => 'user' } });
    create($alice, 'alice', 1,
           { category => 'auth', action => 'x', description => "nice\x01\x02ü" });

    my $export = sub {
        my $format = shift;
        my %o = @_;
        my $row = call($module, 'nchat_audit_export', $alice, 'a', 'b', $format,
                       @o{qw(q categories severities actor resource since until
                             success sort direction)}, '10.0.0.9', 'req-x');
        return NchatTest::Cluster::psql($module, $row->{copy});
    };

    my $text = $export->('ndjson', categories => 'auth');
    my @entries = map { JSON::PP->new->decode($_) } split /\n/, $text;

    is(scalar @entries, 4, 'one entry a line, of the category');
    is($entries[0]{description}, "nice\x01\x02ü", 'control characters');
    is_deeply($entries[1], list(q => '=1+1')->{items}[0], 'as in a list');

    my @rows = $export->('csv', categories => 'auth', direction => 'asc');
    like($rows[0], qr/\Aid,timestamp,category,action,severity,actor_id,actor_type,actor_email,actor_username,resource_type,resource_id,resource_name,description,success,error_message,ip_address,request_id\n/,
         'a header');
    like($rows[0], qr/,auth,'=1\+1,info,'\@x,user,,,,,,"a\nb,""c""\t",true,,10\.0\.0\.1,req-1\n/,
         'cells quoted, formulas neutralised');

    my $record = list(q => 'exported as csv')->{items}[0];
    is_deeply([@$record{qw(category action ipAddress)}, $record->{metadata}{format}],
              ['admin', 'audit_export', '10.0.0.9', 'csv'], 'it is recorded');
};

subtest 'hashes and seals' => sub {
    my $count = value($owner, 'SELECT count(*) FROM audit_log');
    is(seal($count), $count, 'all that is there is sealed');
    is(seal(), 0, 'once');
    is_deeply(verify(), { valid => JSON::PP::true, checked => $count + 0 },
              'and is valid');
    is(list()->{total}, $count, 'the total comes from the seals');

    value($module, "SELECT nchat_audit_record('auth', 'x', NULL, NULL, 'system',
        NULL, NULL, NULL, NULL, 'late', NULL, NULL, NULL, NULL, NULL)
        FROM generate_series(1, 2500)");
    is(list()->{total}, $count + 2500, 'and from what is not sealed yet');
    is(seal(2500), 2500, 'they are sealed too');
    is(value($module, 'SELECT max(count), max(total) FROM audit_blocks'),
       "1000\t" . ($count + 2500), 'blocks are small');
    ok(verify()->{valid}, 'valid');
};

subtest 'transactions in flight' => sub {
    my $sealed = value($owner, 'SELECT max(total) FROM audit_blocks');
    my $record = "SELECT nchat_audit_record('auth', 'x', NULL, NULL, 'system',
        NULL, NULL, NULL, NULL, 'slow', NULL, NULL, NULL, NULL, NULL);\n";

    open my $slow, '|-', 'psql', '-X', '-q', '-o', '/dev/null', $module or die;
    $slow->autoflush;
    print $slow "BEGIN;\n$record SELECT pg_advisory_lock(4711);\n";
    SqlTest::wait_until($module, 'AND granted', 1);

    value($module, $record) for 1 .. 3;
    is(seal(), 0, 'what came after an open transaction waits for it');
    is(list(q => 'slow')->{total}, 3, 'while it can be seen');

    print $slow "COMMIT;\n\\q\n";
    close $slow;
    is(seal(4), 4, 'nothing is skipped');
    ok(verify()->{valid}, 'valid');

    # Always somebody at work: the mark of one call serves the next one.

    open my $first, '|-', 'psql', '-X', '-q', '-o', '/dev/null', $module or die;
    $first->autoflush;
    print $first "BEGIN;\n$record SELECT pg_advisory_lock(4711);\n";
    SqlTest::wait_until($module, 'AND granted', 1);
    is(seal(), 0, 'one at work');

    open my $second, '|-', 'psql', '-X', '-q', '-o', '/dev/null', $module or die;
    $second->autoflush;
    print $second "BEGIN;\n$record SELECT pg_advisory_lock_shared(4711);\n";
    SqlTest::wait_until($module, 'AND NOT granted', 1);
    print $first "COMMIT;\n\\q\n";
    close $first;
    SqlTest::wait_until($module, 'AND granted', 1);
    is(seal(1), 1, 'the next one at work: what is older than both');
    print $second "COMMIT;\n\\q\n";
    close $second;
    is(seal(1), 1, 'then the other');
    ok(verify()->{valid}, 'valid');
};

subtest 'a dump from another cluster' => sub {
    value($owner, "UPDATE audit_seal_mark SET xid = '9223372036854775807',
                   last_seq = 5");
    value($module, "SELECT nchat_audit_record('auth', 'x', NULL, NULL, 'system',
        NULL, NULL, NULL, NULL, 'restored', NULL, NULL, NULL, NULL, NULL)");
    is(seal(1), 1, 'is sealed on');
    ok(verify()->{valid}, 'valid');
};

subtest 'deletion' => sub {
    my $delete = sub {
        return call($module, 'nchat_audit_delete', $alice, 'a', 'alice', @_,
                    '10.0.0.1', 'req-d');
    };
    my $total = list()->{total};
    my @two = map { $_->{id} } @{ list(q => 'slow')->{items} }[0, 1];

    is_deeply($delete->([@two, uuid(), 'no id', "x'"], undef, undef, undef)->{body},
              { deletedCount => 2, remainingCount => $total - 1 },
              'by id; what is none is passed over');
    is_deeply($delete->(undef, '2100-01-01', 'auth', 'info')->{body}{deletedCount},
              list(q => 'deleted')->{items}[0]{metadata}{deletedCount},
              'by age, category and severity');
    is(list(categories => 'auth', severities => 'info')->{total}, 0, 'they are gone');
    is(list()->{total}, value($owner, 'SELECT count(*) FROM audit_log'),
       'the total is true');
    ok(verify()->{valid}, 'the chain is valid');
    seal(1);
    ok(verify()->{valid}, 'also when the record is sealed');

    my $record = list(q => 'deleted')->{items}[0];
    is_deeply([@$record{qw(category action)}, $record->{actor}{id},
               $record->{metadata}{olderThan}],
              ['admin', 'audit_delete', $alice, '2100-01-01T00:00:00.000Z'],
              'the deletion is recorded');
    is($delete->([$record->{id}], undef, undef, undef)->{body}{deletedCount}, 0,
       'and stays by id');
    $delete->(undef, '2100-01-01', undef, undef);
    is(list()->{total}, 4, 'and by age');
    is_deeply($delete->(undef, undef, 'auth', undef),
              { status => 400, body => {
                    code => 'VALIDATION_ERROR',
                    error => 'Validation failed: ids or olderThan is required',
                    details => { field => 'ids', constraint => 'required' } } },
              'neither is refused');

    create($bob, 'Bob', 0, { category => 'admin', action => 'audit_delete',
                             description => 'fake' });
    is($delete->([list(q => 'fake')->{items}[0]{id}], undef, undef,
                 undef)->{body}{deletedCount}, 1,
       "somebody's own entry of that name is not protected");

    value($module, "SELECT nchat_audit_record('auth', 'x', NULL, NULL, 'system',
        NULL, NULL, NULL, NULL, 'fresh', NULL, NULL, NULL, NULL, NULL)");
    $delete->([list(q => 'fresh')->{items}[0]{id}], undef, undef, undef);
    seal(unsealed());
    ok(verify()->{valid}, 'an entry that went before it was sealed');
};

subtest 'tampering' => sub {
    value($module, "SELECT nchat_audit_record('auth', 'x', NULL, NULL, 'system',
        NULL, NULL, NULL, NULL, 'fresh ' || i, NULL, NULL, NULL, NULL, NULL)
        FROM generate_series(1, 2500) i");
    seal(unsealed());

    my $id = value($owner, "SELECT id FROM audit_log WHERE description = 'fresh 7'");
    my $where = "WHERE id = '$id'";
    my $rehash = "UPDATE audit_log a SET hash = nchat_audit_hash(a) $where;";

    # Each is done in a transaction that is rolled back after the look.

    my $after = sub {
        my $sql = shift;
        my $text = value($owner, "BEGIN; $sql; SELECT body FROM"
                                 . ' nchat_audit_verify(); ROLLBACK;');
        return JSON::PP->new->decode($text);
    };

    for my $set ("description = 'x'", "category = 'file'", "actor_id = 'x'",
                 "success = false", "ip_address = '1.1.1.1'",
                 "recorded_ip = '1.1.1.1'", 'internal = false',
                 "entry = replace(entry, 'fresh', 'stale')",
                 q{"timestamp" = "timestamp" - interval '1 ms'})
    {
        my $got = $after->("UPDATE audit_log SET $set $where");
        ok(!$got->{valid}, "UPDATE audit_log SET $set");
        is_deeply([@{ $got->{firstBroken} }{qw(reason id)}], ['content', $id],
                  'names the entry');
    }

    my $reason = sub { $after->(@_)->{firstBroken}{reason} };

    is($reason->("UPDATE audit_log SET description = 'x' $where; $rehash"), 'chain',
       'with its hash made anew');
    is($reason->("DELETE FROM audit_log $where"), 'entries', 'an entry removed');
    is($reason->('UPDATE audit_blocks SET count = count - 1, total = total - 1'
                 . " WHERE (SELECT seq FROM audit_log $where)"
                 . " BETWEEN first_seq AND last_seq; DELETE FROM audit_log $where"),
       'chain', 'and the counts with it');
    is($reason->('DELETE FROM audit_blocks WHERE number = 2'), 'chain',
       'a block removed');
    is($reason->("UPDATE audit_blocks SET hash = '\\x00' WHERE number = 2"), 'chain',
       'a hash of a block changed');
    is($reason->('INSERT INTO audit_tombstones SELECT seq, hash, 1 FROM audit_log'
                 . " $where; DELETE FROM audit_log $where"), 'deletion',
       'a deletion that nobody recorded');
    is($reason->("DELETE FROM audit_deletions WHERE number = 1"), 'deletion',
       'a deletion without its row');
    ok(verify()->{valid}, 'all of that was rolled back');
};

subtest 'many writers' => sub {
    my $before = list()->{total};
    my @rows = at_once($module, map {
        ['nchat_audit_create', $bob, 'b', 'Bob', 'false',
         { category => 'user', action => "a$_", description => 'at once' }, undef,
         undef] } 1 .. 20);

    is(scalar(grep { $_->{status} == 200 } @rows), 20, 'all are written');
    is(list()->{total}, $before + 20, 'all are there');
    my $count = unsealed();
    is(seal($count), $count, 'and sealed');
    ok(verify()->{valid}, 'valid');
};

done_testing();
