# Rate limits as the operator sets them: windows, numbers, realip, nginx's own
# limits in front, off, and a zone that is full.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

sub statuses {
    my %count;
    $count{ $_ ? $_->status : 'none' }++ for @_;
    return \%count;
}

my $n = NchatTest->new(
    limits => 1,
    http   => 'nchat_rate_limit_window 2s;
               nchat_rate_limit default 10;
               nchat_rate_limit probe 20;
               set_real_ip_from 127.0.0.1;
               real_ip_header X-Forwarded-For;',
    set    => {
        limit_req_zone =>
            'limit_req_zone $binary_remote_addr zone=nchat_req:8m rate=1r/s;',
        limit_req  => 'limit_req zone=nchat_req burst=40 nodelay;',
        limit_conn => 'limit_conn nchat_conn 5;'
    }
);

sub from { return (headers => { 'X-Forwarded-For' => $_[0] }) }


# A window of two seconds.

my $connection = $n->connection;
my $begin      = Time::HiRes::time();
my @answers    = map { $n->get('/api/config', from('10.0.0.1'),
                               on => $connection) } 1 .. 12;

is_deeply(statuses(@answers), { 200 => 10, 429 => 2 }, 'ten of twelve');
is($answers[0]->header('ratelimit-policy'), '"default";q=10;w=2',
   'the policy says so');
my $wait = $answers[11]->header('retry-after');
like($wait, qr/^[12]$/, 'Retry-After');
is($answers[11]->header('x-ratelimit-reset'),
   $answers[0]->header('x-ratelimit-reset'), 'the end does not move');

ok(wait_for(sub { $n->get('/api/config', from('10.0.0.1'))->status == 200 },
            5), 'the window ends');
cmp_ok(Time::HiRes::time() - $begin, '>=', 2, 'not before its time');


# Behind a proxy that the operator trusts.

is_deeply(statuses(map { $n->get('/api/config', from("10.0.1.$_"),
                                 on => $connection) } 1 .. 12),
          { 200 => 12 }, 'each address behind the proxy has its own window');

for my $case ([ '2001:db8:1:2::1', '2001:db8:1:2:ffff::9', 'one /64', 8 ],
              [ '2001:db8:1:3::1', '2001:db8:1:4::1', 'two /64', 9 ],
              [ '::ffff:10.0.2.1', '10.0.2.1', 'a mapped address', 8 ])
{
    my ($first, $second, $name, $left) = @$case;
    $n->get('/api/config', from($first), on => $connection);
    is($n->get('/api/config', from($second), on => $connection)
         ->header('x-ratelimit-remaining'), $left, $name);
}


# nginx's own limits in front, with the same JSON; not on probes.

@answers = $n->parallel(map { [ GET => '/api/nothing', from => '127.0.9.1' ] }
                        1 .. 60);
my ($refused) = grep { $_->status == 429 && $_->header('x-ratelimit-limit') }
                @answers;
is_error($refused, 429, 'RATE_LIMIT_EXCEEDED', 'limit_req refuses in JSON');
like($refused->header('retry-after'), qr/^\d+$/, 'with Retry-After');
like($n->error_log, qr/limiting requests.*zone "nchat_req"/,
     'limit_req was it');

@answers = $n->parallel(map { [ GET => '/api/health', from => '127.0.9.1' ] }
                        1 .. 60);
is_deeply(statuses(@answers), { 200 => 60 }, 'probes are not limited');

my @held = map {
    my $held = $n->connection(from => '127.0.9.2');
    $held->send_some(substr $n->request('POST', '/api/auth/signin',
                                        body => '{}'), 0, -1);
    $held;
} 1 .. 5;
my $sixth;
wait_for(sub {
    ($sixth) = $n->parallel([ GET => '/api/nothing', from => '127.0.9.2' ]);
    $sixth->status == 429;
}, 3);
is_error($sixth, 429, 'RATE_LIMIT_EXCEEDED', 'limit_conn refuses in JSON');
like($n->error_log, qr/limiting connections by zone "nchat_conn"/,
     'limit_conn was it');
$_->close for @held;


# Off: nobody is refused, the headers stay.

my $off = NchatTest->new(http => 'nchat_rate_limit default 10;');

@answers = $off->parallel(map { [ GET => '/api/config' ] } 1 .. 50);
is_deeply(statuses(@answers), { 200 => 50 }, 'off: all are let in');
is($off->get('/api/config')->header('x-ratelimit-limit'), 10,
   'off: the headers stay');
is($off->get('/api/config')->header('x-ratelimit-remaining'), 0,
   'off: and count');


# A zone full of addresses goes on serving, and counts whom it remembers.

my $full = NchatTest->new(
    limits => 1,
    set    => { nchat_zone => 'nchat_zone nchat 1m;', limit_req => '',
                limit_conn => '' },
    http   => 'set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;'
);

my $evicted;
for my $turn (1 .. 80) {
    my $pipe = $full->connection;
    $pipe->queue(GET => $full->request('GET', '/api/nothing',
                                       from("10.$turn.$_.7")))
        for 1 .. 100;
    $pipe->send(undef, '');
    my @turn = map { $pipe->receive } 1 .. 100;
    my @bad  = grep { $_->status != 404 } @turn;
    fail('a full zone: ' . $bad[0]->summary) if @bad;
    $full->get('/api/metrics')->body
        =~ /^nchat_zone_evicted_total\{kind="rate"\} (\d+)/m;
    $evicted = $1;
    last if $evicted > 200;
}
cmp_ok($evicted, '>', 200, 'a full zone evicts, and counts that');

is_deeply(statuses(map { $full->get('/api/config', from('10.200.0.1')) }
                   1 .. 70), { 200 => 60, 429 => 10 },
          'a full zone: the newest windows are exact');
is($full->owner->{role}, 'owner', 'a full zone: sign-up works');
is($full->post('/api/auth/signin', { email => 'x@example.com', password => 'x' },
               from('10.200.0.2'))->status, 401,
   'a full zone: sign-in works');
is($full->patch('/api/config', { branding => { appName => 'Full' } },
                token => $full->owner->{token})->status, 200,
   'a full zone: the configuration finds room');
is($full->get('/api/config', from('10.200.0.3'))->json->{config}{branding}{appName},
   'Full', 'a full zone: and is served');

finish();
