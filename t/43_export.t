# The audit log as a download: formats, filters, and rows that flow only as fast
# as the client takes them.

use strict;
use warnings;
use utf8;

use lib 't/lib';

use Test::More;
use Time::HiRes qw(sleep time);

use NchatTest;

my $n = NchatTest->new(
    workers => 1, own_postgres => 1, tls => 1,
    http    => 'nchat_postgres_pool slow=2; nchat_postgres_timeout queue=1s slow=1s;',
    set     => { send_timeout => 'send_timeout 3s;' });
my $owner = $n->owner;
my $path  = '/api/audit/export';
my %admin = (token => $owner->{token});

sub export {
    my ($query, %options) = @_;
    return $n->get("$path?$query", %admin, %options);
}

sub entry {
    my ($action, %more) = @_;
    my $r = $n->post('/api/audit', { category => 'security', action => $action,
                                     description => 'd', %more }, %admin);
    die $r->summary if $r->status != 200;
    return $r->json->{data};
}


# Formats.

my @cells = ("plain", '=1+1', '+1', '-1', '@x', "\tx", "\rx", "a,b", 'say "x"',
             "two\nlines", "two\r\nlines", '＝wide', 'Grüße 😀', ' =x', "'");
my @entries = map { entry('format', description => $_) } @cells;

my $r = export('q=format&sort=timestamp&order=asc');
is($r->status, 200, 'json by default');
is($r->header('content-type'), 'application/json; charset=utf-8', 'its type');
like($r->header('content-disposition'),
     qr/^attachment; filename="audit-logs-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.json"$/,
     'its name');
is($r->header('cache-control'), 'no-store', 'not to be cached');
is(ref $r->json, 'ARRAY', 'a bare array');
is_deeply($r->json, \@entries, 'of the entries, as POST answered them');

$r = export('q=format&format=ndjson&order=asc');
is($r->header('content-type'), 'application/x-ndjson; charset=utf-8', 'ndjson');
like($r->header('content-disposition'), qr/\.ndjson"$/, 'its name');
is_deeply([ map { decode_json($_) } split /\n/, $r->body ], \@entries,
          'one entry a line');
like($r->body, qr/\}\n\z/, 'the last line ends as well');

$r = export('q=format&format=csv&order=asc');
is($r->header('content-type'), 'text/csv; charset=utf-8; header=present', 'csv');
my @rows = csv($r->body);
is_deeply(shift @rows,
          [ qw(id timestamp category action severity actor_id actor_type
               actor_email actor_username resource_type resource_id
               resource_name description success error_message ip_address
               request_id) ], 'the columns');
is_deeply([ map { $_->[0] } @rows ], [ map { $_->{id} } @entries ], 'the ids');
is_deeply([ map { $_->[12] } @rows ],
          [ "plain", "'=1+1", "'+1", "'-1", "'\@x", "'\tx", "'\rx", "a,b",
            'say "x"', "two\nlines", "two\r\nlines", "'＝wide", 'Grüße 😀',
            ' =x', "'" ], 'cells; formulas are none');
is_deeply([ @{ $rows[0] }[1 .. 8, 13, 14, 15] ],
          [ $entries[0]{timestamp}, 'security', 'format', 'info', $owner->{id},
            'user', @$owner{qw(email username)}, 'true', '', '127.0.0.1' ],
          'the other columns');
is(() = $r->body =~ /(?<!\r)\n/g, 1, 'rows end with CRLF; one cell has an LF');

is(export('q=nothing-like-that')->body, "[]\n", 'json of nothing');
is(export('q=nothing-like-that&format=ndjson')->body, '', 'ndjson of nothing');
is(scalar csv(export('q=nothing-like-that&format=csv')->body), 1,
   'csv of nothing: the header');


# Filters, as the list has them, from arguments and from a body.

entry('filtered', severity => 'critical', success => JSON::PP::false(),
      resource => { type => 'channel', id => 'c1', name => 'one' });
entry('filtered', category => 'user');

sub actions {
    my ($r) = @_;
    return $r->status == 200 ? scalar @{ $r->json } : $r->summary;
}

is(actions(export('q=filtered')), 2, 'q');
is(actions(export('q=filtered&categories=user,auth')), 1, 'categories');
is(actions(export('severities=critical')), 1, 'severities');
is(actions(export('success=false')), 1, 'success');
is(actions(export('resource=channel:c1')), 1, 'resource');
is(actions(export("actor=$owner->{username}&q=filtered")), 2, 'actor');
is(actions(export('from=2100-01-01')), 0, 'from');
is(actions(export('to=2000-01-01')), 0, 'to');

$r = $n->post($path, { format => 'ndjson', q => 'filtered',
                       categories => ['user'], success => JSON::PP::true() },
              %admin);
is($r->status, 200, 'POST');
is(decode_json($r->body)->{category}, 'user', 'its filters');
is(actions($n->post($path, { categories => 'user,security', q => 'filtered' },
                    %admin)), 2, 'POST with categories as a string');
is(ref $n->http('POST', $path, %admin)->json, 'ARRAY', 'POST without a body');

for my $query ('format=xml', 'format=', 'categories=nonsense',
               'severities=high', 'categories=auth,,user', 'from=yesterday',
               'to=2026-02-30', 'success=maybe', 'sort=id', 'order=up') {
    is_error(export($query), 400, 'VALIDATION_ERROR', $query);
}
is_error($n->post($path, { success => 'true' }, %admin), 400,
         'VALIDATION_ERROR', 'a string is no boolean');
is_error($n->post($path, { format => 1 }, %admin), 400, 'VALIDATION_ERROR',
         'a number is no format');

is_error($n->get($path), 401, 'UNAUTHORIZED', 'anonymous');
is_error($n->get($path, token => $n->account('moderator')->{token}), 403,
         'FORBIDDEN', 'a moderator');
is($n->get($path, token => $n->account('admin')->{token})->status, 200,
   'an admin');
$r = $n->head($path, %admin);
is($r->status, 200, 'HEAD');
is($r->header('content-type'), 'application/json; charset=utf-8', 'its type');

$r = export('q=audit_export&order=desc')->json->[0];
is($r->{actor}{id}, $owner->{id}, 'exports are recorded');
is_deeply($r->{metadata}, { format => 'json', q => 'audit_export' },
          'with what was asked for');


# Large ones.

# One row of 900 KB, many of 20 KB, 100 MB in all: far more than sockets hold.

entry('large', metadata => { text => 'x' x 900_000 });
$n->psql("SELECT count(nchat_audit_record('file', 'large', NULL, NULL,
              'system', NULL, NULL, NULL, NULL, 'row ' || g, true, NULL,
              jsonb_build_object('text', repeat('y', 20000)), NULL, NULL))
            FROM generate_series(1, 5000) g");

my @bearer = ('-k', '-H', "Authorization: Bearer $owner->{token}");
my $large  = "$path?q=large&order=asc";

my $body  = $n->curl(@bearer, $n->url . $large);
my $whole = length $body;
my @lines = split /(?<=\}),?\n/, $body =~ s/^\[\n(.*)\n\]\n\z/$1/sr;
is(scalar @lines, 5001, 'a large export is complete');
is(length decode_json($lines[0])->{metadata}{text}, 900_000,
   'also its largest row');
is(decode_json($lines[-1])->{description}, 'row 5000', 'and its last one');
undef @lines;

ok($n->curl(@bearer, '--http2', $n->tls_url . $large) eq $body,
   'the same over HTTP/2');
ok($n->curl(@bearer, '--compressed', $n->url . $large) eq $body,
   'and compressed');

my ($worker) = $n->workers;


# A client that does not read: nothing piles up, and it goes.

sub memory {
    return NchatTest::Cluster::slurp("/proc/$worker/status")
           =~ /^VmRSS:\s+(\d+)/m ? $1 : die;
}

sub start_export {
    my $c = $n->connection(timeout => 20);
    $c->send('GET', $n->request('GET', "$path?q=large&order=asc", %admin));
    $c->socket->blocking(1);
    read_some($c, 1000);
    return $c;
}

sub read_some {
    my ($c, $count) = @_;
    my $bytes;
    my $got = sysread $c->socket, $bytes, $count;
    die "read: $!" if !defined $got;
    return $bytes;
}

sub read_all {
    my ($c) = @_;
    my $all = '';
    $c->socket->blocking(1);
    local $SIG{ALRM} = sub { die "no end\n" };
    alarm 30;
    while (sysread $c->socket, $all, 1 << 20, length $all) {
        last if ended($all);
    }
    alarm 0;
    return $all;
}

# The chunk that says that all is there.
sub ended { return substr($_[0], -7) eq "\r\n0\r\n\r\n" }

sub free {
    return wait_for(sub { export('q=filtered')->status == 200 }, $_[0] // 5);
}

my $before = memory();
my $slow   = start_export();
sleep 0.5;
my $extra = memory() - $before;
cmp_ok($extra, '<', 16 * 1024, "a client that does not read: $extra KiB more");

is_error(export('q=filtered'), 503, 'SERVICE_UNAVAILABLE',
         'half of the connections are for exports: not another one');
is_ok($n->get('/api/audit', %admin), 'lists have the other half');
ok(free(15), 'after send_timeout its place is free again');
ok(!ended(read_all($slow)), 'and the connection is closed');


# A client that leaves.

for my $how (qw(close abort)) {
    for (1 .. 5) {
        my $c = start_export();
        read_some($c, 100_000) for 1 .. 3;
        $c->$how;
    }

    ok(free(5), "clients that left ($how) free their place");
}

# A slow one that goes on reading is served to the end, longer than any timeout
# of the lane or of sending.

$slow = start_export();
my $got = 1000;
my $end = time + 5;
while (time < $end) {
    $got += length read_some($slow, 1 << 18);
    sleep 0.05;
}
my $rest = read_all($slow);
ok(ended($rest), 'a slow client gets the end');
cmp_ok($got + length $rest, '>', $whole, 'and everything before it');


# Others are served in the meantime, at their usual pace.

$slow = start_export();
my $worst = 0;
for (1 .. 50) {
    my $started = time;
    is_ok($n->get('/api/config'), 'config') if $_ == 1;
    $n->get('/api/auth/me', %admin);
    $worst = time - $started if time - $started > $worst;
    read_some($slow, 200_000);
}
cmp_ok($worst, '<', $ENV{NCHAT_TEST_ASAN} ? 2 : 0.5,
       'other requests do not wait');
$slow->close;
ok(free(5), 'free again');


# A reload in the middle.

my @old = $n->workers;
open my $download, '-|', 'curl', '-s', @bearer, '--limit-rate', '20M',
     '-o', '/dev/null', '-w', '%{size_download}', $n->url . $large
    or die "curl: $!\n";
sleep 0.5;
$n->reload;
ok(free(5), 'the new worker serves');
is(readline $download, $whole, 'an export goes on over a reload');
CORE::close $download;
is($?, 0, 'to its very end');
ok(wait_for(sub { my %now = map { $_ => 1 } $n->workers;
                  !grep { $now{$_} } @old }, 10), 'then the old worker leaves');


# A database that goes away in the middle.

$slow = start_export();
$n->stop_postgres;
$rest = read_all($slow);
ok(!ended($rest), 'no end is claimed');
cmp_ok(length $rest, '<', $whole, 'when the database goes away');
is_error(export('q=large'), 503, 'SERVICE_UNAVAILABLE',
         'before the first row it is an error like others');
$n->start_postgres;
ok(wait_for(sub { export('q=filtered')->status == 200 }, 20), 'it comes back');

finish();


# csv(BYTES): rows of cells, by RFC 4180; dies of anything else.
sub csv {
    my $text = Encode::decode('UTF-8', shift);
    my (@rows, @row);

    while (length $text) {
        if ($text =~ s/^"((?:[^"]|"")*)"(,|\r\n)//
            || $text =~ s/^([^",\r\n]*)(,|\r\n)//) {
            my ($cell, $sep) = ($1, $2);
            push @row, $cell =~ s/""/"/gr;
            next if $sep eq ',';
            push @rows, [@row];
            @row = ();
        } else {
            die 'no CSV: ' . substr($text, 0, 100);
        }
    }

    return @rows;
}
