# Rate limits: exact counts over workers and reloads, their headers, their keys.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Socket::IP;
use NchatTest;

my $n = NchatTest->new(
    limits  => 1,
    workers => 4,
    env     => { NCHAT_LISTEN => '127.0.0.1 [::1]' }
);

sub statuses {
    my %count;
    $count{ $_ ? $_->status : 'none' }++ for @_;
    return \%count;
}

# many(N, FROM, METHOD, PATH, ...): N requests at once from one address.
sub many {
    my ($count, $from, $method, $path, %options) = @_;
    return $n->parallel(map { [ $method, $path, from => $from, %options ] }
                        1 .. $count);
}

# one(FROM, METHOD, PATH, ...): one request from that address.
sub one {
    my ($from, $method, $path, %options) = @_;
    return (many(1, $from, $method, $path, %options))[0];
}


# 200 at once against a limit of 60, over four workers, several times over.

for my $i (1 .. 5) {
    my @answers = many(200, "127.0.1.$i", GET => '/api/config');

    is_deeply(statuses(@answers), { 200 => 60, 429 => 140 },
              'exactly 60 of 200 are let in');

    next if $i > 1;
    my @left = sort { $b <=> $a } map { $_->header('x-ratelimit-remaining') }
               grep { $_->status == 200 } @answers;
    is_deeply(\@left, [ reverse 0 .. 59 ], 'every one has its own remainder');

    my %resets = map { $_->header('x-ratelimit-reset') => 1 } @answers;
    is(scalar keys %resets, 1, 'all of them end at the same moment');

    for my $refused (grep { $_->status == 429 } @answers) {
        is_error($refused, 429, 'RATE_LIMIT_EXCEEDED', 'a refusal');
        is($refused->json->{error},
           'Rate limit exceeded. Please try again later.', 'its sentence');
        is($refused->header('x-ratelimit-remaining'), 0, 'nothing remains');
        like($refused->header('retry-after'), qr/^([1-9]|[1-5]\d|60)$/,
             'Retry-After');
        last;
    }
}


# The headers.

my $before = time;
my $r      = one('127.0.2.1', GET => '/api/config');

is($r->header('x-ratelimit-limit'), 60, 'X-RateLimit-Limit');
is($r->header('x-ratelimit-remaining'), 59, 'X-RateLimit-Remaining');
cmp_ok($r->header('x-ratelimit-reset') - $before, '>=', 59,
       'X-RateLimit-Reset is about a minute away');
cmp_ok($r->header('x-ratelimit-reset') - time, '<=', 61, 'and not more');
is($r->header('ratelimit-policy'), '"default";q=60;w=60', 'RateLimit-Policy');
like($r->header('ratelimit'), qr/^"default";r=59;t=(60|59)$/, 'RateLimit');

$r = one('127.0.2.1', GET => '/api/nothing');
is($r->header('x-ratelimit-remaining'), 58, 'an unknown path counts');
$r = one('127.0.2.1', PUT => '/api/config');
is($r->header('x-ratelimit-remaining'), 57, 'a wrong method counts');
$r = one('127.0.2.1', GET => '/api/auth/me', token => 'nonsense');
is($r->header('x-ratelimit-remaining'), 56, 'a bad token counts for the address');
$r = one('127.0.2.1', HEAD => '/api/config');
is($r->header('x-ratelimit-remaining'), 55, 'HEAD counts');
$r = one('127.0.2.1', GET => '/api/config',
         headers => { 'If-None-Match' => $r->header('etag') });
is($r->status, 304, 'not modified');
is($r->header('x-ratelimit-remaining'), 54, 'not modified counts');
$r = one('127.0.2.1', POST => '/api/config', body => 'x' x 1_100_000,
         close => 1);
is($r->status, 413, 'too large');
is($r->header('x-ratelimit-remaining'), 53, 'too large counts');


# OPTIONS costs nothing, and says how it stands.

many(100, '127.0.2.1', OPTIONS => '/api/config');
$r = one('127.0.2.1', OPTIONS => '/api/config');
is($r->status, 204, 'OPTIONS is let in');
is($r->header('x-ratelimit-remaining'), 53, 'OPTIONS tells what remains');
is(one('127.0.2.1', GET => '/api/config')->header('x-ratelimit-remaining'), 52,
   'OPTIONS does not count');

many(70, '127.0.2.2', GET => '/api/config');
is(one('127.0.2.2', OPTIONS => '/api/config')->status, 204,
   'OPTIONS is let in even then');


# Probes are counted and never refused.

my @probes = many(650, '127.0.2.3', GET => '/api/health');
is_deeply(statuses(@probes), { 200 => 650 }, 'probes are not refused');
$r = one('127.0.2.3', GET => '/api/health');
is($r->header('x-ratelimit-limit'), 600, 'their limit');
is($r->header('x-ratelimit-remaining'), 0, 'they are counted');
is($r->header('ratelimit-policy'), '"probe";q=600;w=60', 'their policy');
is(one('127.0.2.3', GET => '/api/config')->header('x-ratelimit-remaining'), 59,
   'in a class of their own');
is(one('127.0.2.2', GET => '/api/health')->status, 200,
   'and are let in where others are refused');


# A method that a path lacks counts in the path's class, and OPTIONS tells it.

for my $case ([ DELETE  => '/api/upload', 'upload' ],
              [ GET     => '/api/upload/complete', 'upload' ],
              [ OPTIONS => '/api/upload/complete', 'upload' ],
              [ PUT     => '/api/search/', 'search' ],
              [ POST    => '/api/health', 'probe' ],
              [ PUT     => '/api/config', 'default' ])
{
    my ($method, $path, $class) = @$case;
    like(one('127.0.2.4', $method => $path)->header('ratelimit-policy'),
         qr/^"$class";/, "$method $path: class $class");
}
is(one('127.0.2.4', GET => '/api/upload')->header('x-ratelimit-remaining'), 27,
   'they counted, but for OPTIONS');


# A user is counted by the id, wherever the requests come from.

my $owner  = $n->owner;
my $member = $n->signup;
my @mine   = $n->parallel(map { [ GET => '/api/auth/me', token =>
                                  $owner->{token}, from => "127.0.3.$_" ] }
                          1 .. 100);
is_deeply(statuses(@mine), { 200 => 60, 429 => 40 },
          'a user has 60, over all addresses');
is(one('127.0.3.1', GET => '/api/config')->status, 200,
   'the address itself is not used up');
is(one('127.0.3.1', GET => '/api/auth/me', token => $member->{token})->status,
   200, 'nor is another user at it');
is(one('127.0.3.200', GET => '/api/config', token => $owner->{token})->status,
   429, 'a public endpoint counts for the user, too');
is(one('127.0.3.200', GET => '/api/health', token => $owner->{token})->status,
   200, 'but for probes');
is(one('127.0.3.201', GET => '/api/auth/me',
       token => $owner->{token} =~ s/.\z//r)->status, 401,
   'a tampered token does not use up the user');


# X-Forwarded-For means nothing until the operator says so.

my @forwarded = $n->parallel(map { [ GET => '/api/config', from => '127.0.4.1',
                                     headers => { 'X-Forwarded-For' =>
                                                  "10.0.0.$_",
                                                  'X-Real-IP' => "10.1.0.$_",
                                                  Forwarded => "for=10.2.0.$_"
                                                } ] } 1 .. 100);
is_deeply(statuses(@forwarded), { 200 => 60, 429 => 40 },
          'forwarding headers are ignored');


# IPv6: all of a /64 are one client.

SKIP: {
    my $v6 = IO::Socket::IP->new(PeerHost => '::1', PeerPort => $n->port)
        or skip 'no IPv6 here', 1;
    print $v6 "GET /api/config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    local $/;
    like(<$v6>, qr/x-ratelimit-remaining: 59\r/i,
         'IPv6 is counted apart from IPv4');
}


# Over a reload the counters stay.

many(50, '127.0.5.1', GET => '/api/config');
$n->reload;
is_deeply(statuses(many(30, '127.0.5.1', GET => '/api/config')),
          { 200 => 10, 429 => 20 }, 'the count goes on after a reload');


# A reload in the middle changes nothing: it is exactly 60 all the same.

my @during;
for my $part (1 .. 4) {
    push @during, many(50, '127.0.5.2', GET => '/api/config');
    $n->reload if $part == 2;
}
is_deeply(statuses(@during), { 200 => 60, 429 => 140 },
          'exactly 60 of 200 with a reload in between');

finish();
