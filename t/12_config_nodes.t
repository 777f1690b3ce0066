# One configuration for all: concurrent updates, several workers, several
# nodes, and a database that is away.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use NchatTest;

my $slack = $ENV{NCHAT_TEST_ASAN} ? 3 : 1.5;
my $one   = NchatTest->new(own_postgres => 1, workers => 3);
my $two   = NchatTest->new(share => $one, workers => 2);
my $owner = $one->owner;
my @token = (token => $owner->{token});

sub social { return $_[0]->get('/api/config')->json->{config}{social} }

# everywhere(MEMBER, VALUE, NAME): every worker of both nodes has it within a
# second.
sub everywhere {
    my ($member, $value, $name) = @_;
    my $begin = time;

    for my $node ($one, $two) {
        my $in_a_row = 0;
        my $ok = wait_for(sub {
            $in_a_row = (social($node)->{$member} // '') eq $value
                        ? $in_a_row + 1 : 0;
            $in_a_row == 12;
        }, 5);
        ok($ok, "$name: node " . ($node == $one ? 1 : 2));
    }

    cmp_ok(time - $begin, '<', 1 * $slack, "$name: within a second");

    # and none goes back
    my @other = grep { social($_)->{$member} ne $value }
                map { ($one, $two) } 1 .. 20;
    is(scalar @other, 0, "$name: by all workers");
}

$one->patch('/api/config', { social => { a => 'first' } }, @token);
everywhere(a => 'first', 'a change at node 1');

$two->patch('/api/config', { social => { a => 'second' } }, @token);
everywhere(a => 'second', 'a change at node 2');

$one->psql("SELECT nchat_config_update('{\"social\":{\"a\":\"third\"}}',
            '$owner->{id}', 'op\@example.com', 'op', '', '')");
everywhere(a => 'third', 'a change by the operator');

my ($first, $second) = map { $_->get('/api/config') } $one, $two;
is($first->header('etag'), $second->header('etag'), 'one ETag on both nodes');
is($first->body, $second->body, 'and one body');


# Who changes it sees the change at once, at the node that was asked.

my @stale = grep {
    $one->patch('/api/config', { social => { own => "v$_" } }, @token);
    grep { $_ ne social($one)->{own} } "v$_";
} 1 .. 20;
is(scalar @stale, 0, 'the own change is there with the next request');


# Concurrent updates of different members all survive.

my @updates = map {
    my $i = $_;
    map { [ $_ % 2 ? 'POST' : 'PATCH', '/api/config', @token,
            json => { social => { "n$i" => { "m$_" => $i } } } ] } 1 .. 20
} 1 .. 2;
my @answers = map { $_->{child} } map {
    my $node = $_;
    my $i    = $node == $one ? 0 : 20;
    pipe my $in, my $out or die "pipe: $!\n";
    my $child = fork // die "fork: $!\n";
    if (!$child) {
        my @got = $node->parallel(@updates[ $i .. $i + 19 ]);
        syswrite $out, join ' ', map { $_ ? $_->status : 0 } @got;
        kill KILL => $$;
    }
    close $out;
    { child => [ $child, $in ] };
} $one, $two;

for my $answer (@answers) {
    my ($child, $in) = @$answer;
    waitpid $child, 0;
    is(join(' ', <$in>), join(' ', (200) x 20), 'twenty updates at once');
}

my $social = $one->get('/api/config?history=true', @token)->json->{config}{social};
is(scalar(keys %{ $social->{n1} }) + keys %{ $social->{n2} }, 40,
   'all forty of two nodes survived');
is($one->psql('SELECT count(*) = max(version) - 1 FROM config_history'), 't',
   'each has a version of its own');
everywhere(last => 'x', 'afterwards')
    if $two->patch('/api/config', { social => { last => 'x' } }, @token)->status
       == 200;


# The database is away: the last known configuration is served, over a reload,
# too.

$one->stop_postgres;
my $etag = $one->get('/api/config')->header('etag');

is($one->get('/api/config')->json->{config}{social}{last}, 'x',
   'without the database it is served');
is($one->get('/api/config', headers => { 'If-None-Match' => $etag })->status,
   304, 'not modified, too');
is_error($one->patch('/api/config', {}, @token), 503, 'SERVICE_UNAVAILABLE',
         'a change is not possible');
$one->reconfigure;
my @after = map { $one->get('/api/config') } 1 .. 20;
is(scalar(grep { $_->status == 200 && $_->header('etag') eq $etag } @after), 20,
   'new workers serve it, too');


# A node that comes later, and one that was there.

$two->stop;
$one->start_postgres;
$two->start;
is(social($two)->{last}, 'x', 'a node that comes later');

ok(wait_for(sub { $one->patch('/api/config', { social => { back => 'y' } },
                              @token)->status == 200 }, 5),
   'changes are possible again');
everywhere(back => 'y', 'after the database was away');


# A database that was restored to an older state wins.

$one->psql("UPDATE config SET version = 5, doc = doc || '{\"social\":{\"a\":\"old\"}}'");
$one->stop_postgres;
$one->start_postgres;
ok(wait_for(sub { $one->get('/api/ready')->status == 200
                  && $two->get('/api/ready')->status == 200 }, 5), 'restored');
wait_for(sub { (social($one)->{a} // '') eq 'old' }, 5);
everywhere(a => 'old', 'an older version after a restore');
is($one->get('/api/config')->json->{version}, 5, 'with its number');

finish();
