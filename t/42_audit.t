# The audit log: entries, who may write and see which, deletion, the chain.

use strict;
use warnings;
use utf8;

use lib 't/lib';

use Test::More;

use NchatTest;

my $n = NchatTest->new;
my $owner  = $n->owner;
my $admin  = $n->account('admin');
my $member = $n->account('member');
my $other  = $n->account('member');
my $guest  = $n->account('guest');
my $time   = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
my $uuid   = qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
my ($true, $false) = (JSON::PP::true(), JSON::PP::false());

sub record {
    my ($who, %entry) = @_;
    return $n->post('/api/audit', { category => 'message', action => 'test',
                                    description => 'A test', %entry },
                    token => $who->{token});
}

sub listed {
    my ($who, $query) = @_;
    return $n->get("/api/audit?$query", token => $who->{token});
}

sub actions {
    my $r = listed(@_);
    return $r->status == 200
           ? join ' ', map { $_->{action} } @{ $r->json->{items} }
           : $r->summary;
}


# An entry.

my $full = {
    category => 'security', action => 'key_rotated', severity => 'warning',
    resource => { type => 'key', id => 'k1', name => 'Schlüssel',
                  previousValue => { bits => 1024 }, newValue => [1, 2] },
    target => { type => 'user', id => 'u1' },
    description => 'Größer "als" vorher 😀', success => $false,
    errorMessage => 'half of it', metadata => { a => { b => [1.5, undef] } },
    ipAddress => '198.51.100.7', requestId => 'r-1', correlationId => 'c-1'
};

my $r = $n->post('/api/audit', $full, token => $member->{token});
is_ok($r, 'an entry with everything');
my $entry = $r->json->{data};
like($entry->{id}, $uuid, 'id');
like($entry->{timestamp}, $time, 'timestamp');
is_deeply($entry->{actor}, { id => $member->{id}, type => 'user',
                             email => $member->{email},
                             username => $member->{username} },
          'the actor is the caller');
is_deeply({ map { $_ => $entry->{$_} } keys %$full }, $full,
          'everything else is as given');
is_deeply([ sort keys %{ $r->json } ],
          [ sort 'data', keys %$entry ], 'the members stand beside data too');
ok($r->json->{success} && !$entry->{success},
   'but success, which is the envelope\'s there');

$r = record($member);
is_ok($r, 'an entry with the least');
$entry = $r->json->{data};
is_deeply({ map { $_ => $entry->{$_} } qw(severity success ipAddress requestId) },
          { severity => 'info', success => $true, ipAddress => '127.0.0.1',
            requestId => $r->header('x-request-id') }, 'its defaults');
ok(!exists $entry->{$_}, "no $_")
    for qw(resource target errorMessage metadata correlationId);

is_deeply(record($member, actor => { id => 'somebody', type => 'system' })
          ->json->{data}{actor}{id}, $member->{id},
          'a member is the actor, whatever they say');
is(record($admin, actor => {})->json->{data}{actor}{id}, $admin->{id},
   'an actor that names nobody is the caller');
is_deeply(record($admin, actor => { id => 'cron', type => 'system' })
          ->json->{data}{actor}, { id => 'cron', type => 'system' },
          'admins say who it was');
is_deeply([ $n->rows("SELECT recorded_by, recorded_ip FROM audit_log
                       WHERE actor_id = 'cron'") ],
          [ [ $admin->{id}, '127.0.0.1' ] ], 'who recorded it is kept');
ok(!exists record($member, password => 'x')->json->{data}{password},
   'an unknown member is ignored');

is_error($n->post('/api/audit', {}), 401, 'UNAUTHORIZED', 'anonymous');
is_error(record($guest), 403, 'FORBIDDEN', 'a guest');


# What is wrong with one.

sub refused {
    my ($entry, $field, $constraint) = @_;
    my $r = record($member, %$entry);
    my $name = "$field $constraint";

    is_error($r, 400, 'VALIDATION_ERROR', $name);
    is("@{ $r->json->{details} // {} }{qw(field constraint)}", $name,
       "$name: details");
}

refused({ category => undef }, 'category', 'type');
refused({ category => 'weather' }, 'category', 'enum');
refused({ severity => 'high' }, 'severity', 'enum');
refused({ action => '' }, 'action', 'length');
refused({ action => 'x' x 101 }, 'action', 'length');
refused({ action => 7 }, 'action', 'type');
refused({ description => '' }, 'description', 'length');
refused({ description => 'ü' x 2001 }, 'description', 'length');
refused({ success => 'true' }, 'success', 'type');
refused({ errorMessage => 'x' x 2001 }, 'errorMessage', 'length');
refused({ metadata => 'text' }, 'metadata', 'type');
refused({ metadata => [1] }, 'metadata', 'type');
refused({ target => 'x' }, 'target', 'type');
refused({ resource => 'x' }, 'resource', 'type');
refused({ resource => { type => 'x' } }, 'resource.id', 'required');
refused({ resource => { id => 'x' } }, 'resource.type', 'required');
refused({ resource => { id => 1, type => 'x' } }, 'resource.id', 'type');
refused({ actor => 'me' }, 'actor', 'type');
refused({ actor => { email => {} } }, 'actor.email', 'type');
refused({ requestId => 'x' x 129 }, 'requestId', 'length');

$r = $n->post('/api/audit', {}, token => $member->{token});
is_deeply([ map { $_->{field} } @{ $r->json->{details}{errors} } ],
          [qw(category action description)], 'all failures are told');
is_ok(record($member, description => '😀' x 2000),
      'lengths are counted in characters');


# The list.

$n->psql('TRUNCATE audit_log, audit_blocks, audit_tombstones, audit_deletions,
          audit_seal_mark');

record($member, action => 'one', category => 'user');
record($other, action => 'two', category => 'auth', severity => 'error',
       success => $false, errorMessage => 'broken glass');
record($admin, action => 'three', category => 'config',
       resource => { type => 'channel', id => 'c7', name => 'Kanal' });
record($member, action => 'four', category => 'user', severity => 'critical',
       description => '100% of_it');

is(actions($owner, ''), 'four three two one', 'newest first');
is(actions($admin, ''), 'four three two one', 'admins see all');
is(actions($member, ''), 'four one', 'others see what they did');
is(actions($guest, ''), '', 'guests see what they did: nothing');
is_error($n->get('/api/audit'), 401, 'UNAUTHORIZED', 'anonymous');

$r = listed($owner, 'limit=3')->json;
is_deeply($r->{entries}, $r->{items}, 'entries are the items');
is_deeply({ map { $_ => $r->{$_} } qw(total page limit pageSize hasMore) },
          { total => 4, page => 1, limit => 3, pageSize => 3,
            hasMore => $true }, 'a page');
is(actions($owner, 'limit=3&page=2'), 'one', 'the next one');
is(actions($owner, 'pageSize=3&page=2'), 'one', 'by pageSize');
is(actions($owner, 'limit=2&pageSize=3&page=2'), 'two one', 'limit wins');
is(actions($owner, 'offset=1&limit=2&page=9'), 'three two', 'offset wins');
is(listed($owner, 'limit=1000')->json->{limit}, 100, 'at most 100');
is(actions($owner, 'page=1000000'), '', 'beyond the end');
for my $query (qw(page=0 limit=0 limit=x offset=-1 page=1.5 pageSize=0
                  pageSize=x page=99999999999999999999)) {
    is_error(listed($owner, $query), 400, 'BAD_REQUEST', $query);
}

for my $case (
    [ 'q=BROKEN', 'two' ], [ 'q=kanal', 'three' ], [ 'q=100%25+of_', 'four' ],
    [ 'q=100%25of', '' ], [ 'q=_it', 'four' ], [ 'q=', 'four three two one' ],
    [ "q=$member->{username}", 'four one' ],
    [ 'categories=user', 'four one' ], [ 'categories=user,auth',
                                         'four two one' ],
    [ 'severities=error,critical', 'four two' ],
    [ 'categories=user&severities=info', 'one' ],
    [ "actor=$member->{id}", 'four one' ],
    [ "actor=\U$member->{email}", 'four one' ],
    [ "actor=$other->{username}", 'two' ], [ 'actor=nobody', '' ],
    [ 'resource=channel', 'three' ], [ 'resource=c7', 'three' ],
    [ 'resource=channel:c7', 'three' ], [ 'resource=channel:c8', '' ],
    [ 'success=false', 'two' ], [ 'success=true', 'four three one' ],
    [ 'sort=timestamp&order=asc', 'one two three four' ],
    [ 'order=asc', 'one two three four' ],
    [ 'sort=action&order=asc', 'four one three two' ],
    [ 'sort=action', 'two three one four' ],
    [ 'sort=category&order=asc', 'two three one four' ],
    [ 'sort=severity&order=desc', 'four two three one' ],
    [ 'sort=actor&order=asc&q=one', 'one' ],
    [ 'from=2000-01-01&to=2100-01-01', 'four three two one' ],
    [ 'from=2100-01-01', '' ], [ 'to=2000-01-01', '' ],
    [ 'unknown=1', 'four three two one' ]) {
    is(actions($owner, $case->[0]), $case->[1], $case->[0]);
}

my ($one, $two) = map { $_->{timestamp} }
                  reverse @{ listed($owner, '')->json->{items} };
is(actions($owner, "from=$two"), 'four three two', 'from is inclusive');
is(actions($owner, "to=$one"), 'one', 'to is inclusive');
is(actions($owner, 'to=' . substr $one, 0, 10), 'four three two one',
   'a day as upper bound is its end');
is(actions($owner, 'from=' . $one =~ s/Z$/%2B00:00/r), 'four three two one',
   'with an offset');
is(actions($member, "actor=$other->{id}"), '', 'no filter shows more');

for my $query ('categories=weather', 'categories=user,weather',
               'categories=USER', 'severities=high', 'from=now', 'to=13:00',
               'to=2026-02-29', 'success=1', 'sort=id', 'order=down',
               'q=' . 'x' x 201) {
    is_error(listed($owner, $query), 400, 'VALIDATION_ERROR', $query);
}
is_error(listed($owner, 'q=%ff'), 400, 'BAD_REQUEST', 'no UTF-8');
is_error(listed($owner, 'q=%00'), 400, 'BAD_REQUEST', 'a NUL');

for my $q (q('), q("), q(\\), q($1), q(%), q(--), q(;DROP TABLE x), q(:x),
           q(E'\\000'), '{', '[[:x:]]') {
    my $arg = join '', map { sprintf '%%%02x', ord } split //, $q;
    is(listed($owner, "$_=$arg")->status, 200, "$_=$q")
        for qw(q actor resource);
}


# Deletion.

sub remove {
    my ($who, $data) = @_;
    return $n->http('DELETE', '/api/audit', json => $data,
                    token => $who->{token});
}

is_error(remove($member, { ids => [] }), 403, 'FORBIDDEN', 'members may not');
is_error($n->http('DELETE', '/api/audit', json => {}), 401, 'UNAUTHORIZED',
         'nor anybody');
is_error(remove($admin, {}), 400, 'VALIDATION_ERROR', 'neither');
is_error(remove($admin, { category => 'user' }), 400, 'VALIDATION_ERROR',
         'a category alone');
is_error(remove($admin, $_), 400, 'VALIDATION_ERROR', encode_json($_))
    for { ids => [] }, { ids => 'x' }, { ids => [1] }, { olderThan => 'x' },
        { olderThan => '2100-01-01', category => 'x' },
        { olderThan => '2100-01-01', severity => 'info' },
        { olderThan => '2100-01-01', severity => ['high'] };
is_error($n->http('DELETE', '/api/audit', token => $admin->{token}), 400,
         'BAD_REQUEST', 'no body');

my @ids = map { $_->{id} } @{ listed($owner, 'q=two')->json->{items} };
$r = remove($admin, { ids => [ @ids, 'no-id', $ids[0] ] });
is_ok($r, 'by ids');
is_deeply($r->json->{data}, { deletedCount => 1, remainingCount => 4 },
          'one less, and the record of it');
is(actions($owner, ''), 'audit_delete four three one', 'which is in the list');

$r = remove($admin, { olderThan => '2100-01-01', category => 'user',
                      severity => [ 'critical', 'error' ] });
is($r->json->{deletedCount}, 1, 'by age, category and severity');
is(actions($owner, ''), 'audit_delete audit_delete three one', 'that one');
is(remove($admin, { olderThan => '2000-01-01' })->json->{deletedCount}, 0,
   'nothing is that old');

my @records = map { $_->{id} }
              @{ listed($owner, 'q=audit_delete')->json->{items} };
is(remove($admin, { ids => \@records })->json->{deletedCount}, 0,
   'records of deletions stay');
$r = remove($admin, { olderThan => '2100-01-01' });
is($r->json->{deletedCount}, 2, 'everything else goes');
is(actions($owner, '') =~ s/audit_delete ?//gr, '', 'only they are left');
is_deeply([ $n->rows("SELECT recorded_by, ip_address FROM audit_log
                       WHERE action = 'audit_delete' LIMIT 1") ],
          [ [ $admin->{id}, '127.0.0.1' ] ], 'with who and from where');


# The chain.

sub verified {
    my $r = $n->get('/api/audit/verify', token => $admin->{token});
    return $r->status == 200 ? $r->json->{data} : $r->summary;
}

is_error($n->get('/api/audit/verify', token => $member->{token}), 403,
         'FORBIDDEN', 'verification is for admins');
record($member, action => "chain$_") for 1 .. 5;
ok(verified()->{valid}, 'valid before it is sealed');
ok(wait_for(sub { $n->psql('SELECT coalesce(sum(count), 0) FROM audit_blocks')
                  >= 5 }, 15), 'a job seals new entries');
my $checked = verified();
ok($checked->{valid} && $checked->{checked} >= 5, 'valid');
ok(!exists $checked->{firstBroken}, 'nothing is broken');

my ($chain3) = map { $_->{id} }
               @{ listed($owner, 'q=chain3')->json->{items} };
$n->psql("UPDATE audit_log SET description = 'forged' WHERE id = '$chain3'");
$checked = verified();
ok(!$checked->{valid}, 'a changed entry');
is($checked->{firstBroken}{id}, $chain3, 'is found');


# The server's own.

$n->patch('/api/config', { branding => { appName => 'Audited' } },
          token => $admin->{token}, headers => { 'X-Request-Id' => 'cfg-1' });
my ($own) = @{ listed($owner, 'q=config_update')->json->{items} };
is_deeply([ @$own{qw(category action requestId ipAddress)}, $own->{actor}{id} ],
          [ 'config', 'config_update', 'cfg-1', '127.0.0.1', $admin->{id} ],
          'a change of the configuration');
is_deeply($own->{resource}{newValue}, { branding => { appName => 'Audited' } },
          'only what changed');
is_deeply([ keys %{ $own->{resource}{previousValue} } ], ['branding'],
          'and what it was before');


# Nobody but that one function deletes: the module's role cannot.

for my $sql ('DELETE FROM audit_log', "UPDATE audit_log SET action = 'x'",
             'TRUNCATE audit_log', 'DELETE FROM audit_blocks',
             "INSERT INTO audit_log (id) VALUES (gen_random_uuid())",
             'DROP TABLE audit_log') {
    my $output = `psql -X -q -c "$sql" '@{[ $n->module_url ]}' 2>&1`;
    like($output, qr/permission denied|must be owner/, $sql);
}

finish();
