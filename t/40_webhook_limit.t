# Rate limits of webhooks: each has a window of its own, and nobody without its
# token can use that up.

use strict;
use warnings;

use lib 't/lib';

use Test::More;

use NchatTest;
use NchatTest::Chat;

my $n = NchatTest->new(limits => 1, http => 'nchat_rate_limit webhook 30;');
my $channel = channel($n, 'limits');

my ($busy, $quiet, $first, $both) = map { webhook($n, $channel) } 1 .. 4;
my $nobody = '/api/webhook/00000000-0000-4000-8000-%012d/token';

sub statuses {
    my %count;
    $count{ $_ ? $_->status : 'none' }++ for @_;
    return join ' ', map { "$count{$_} x $_" } sort keys %count;
}

sub deliveries {
    my ($count, $path, %options) = @_;
    return map { [ 'POST', $path, json => { content => "number $_" },
                   from => '127.0.0.2', %options ] } 1 .. $count;
}

# count(METHOD, PATH, TIMES, FROM): one after the other.
sub in_turn {
    my ($path, $times, $from) = @_;
    my $on = $n->connection(from => $from);
    return map { $n->post($path, { content => 'x' }, on => $on) } 1 .. $times;
}

sub window { return "@{$_[0]->headers}{qw(x-ratelimit-limit
                                          x-ratelimit-remaining)}" }


# 200 at once against 30.

my @answers = $n->parallel(deliveries(200, $busy->{path}));
is(statuses(@answers), '30 x 200 170 x 429',
   '200 at once: 30 are delivered');
is($n->psql("SELECT count(*) FROM messages WHERE webhook_id = '$busy->{id}'"),
   30, 'and are messages');

my ($refused) = grep { $_->status == 429 } @answers;
is_error($refused, 429, 'RATE_LIMIT_EXCEEDED', 'the rest is told so');
is(window($refused), '30 0', 'nothing remains');
like($refused->header('retry-after'), qr/^([1-9]|[1-5]\d|60)$/, 'Retry-After');
like($refused->header('ratelimit'), qr/^"webhook";r=0;t=\d+$/, 'RateLimit');
is_deeply([ sort { $a <=> $b }
            map { $_->header('x-ratelimit-remaining') }
            grep { $_->status == 200 } @answers ], [ 0 .. 29 ],
          'each of the 30 has its own number');

is_error($n->post($busy->{path}, { content => 'from elsewhere' }), 429,
         'RATE_LIMIT_EXCEEDED', 'the window is not one of an address');
is_error($n->get($busy->{path}), 429, 'RATE_LIMIT_EXCEEDED', 'nor of a method');
is_error($n->post("/api/webhook/$busy->{id}?token=$busy->{token}",
                  { content => 'x' }), 429, 'RATE_LIMIT_EXCEEDED',
         'nor of a form of the address');
is(window($n->post($quiet->{path}, { content => 'x' })), '30 29',
   'another webhook has its own');


# Several addresses share one webhook's window.

@answers = $n->parallel(map { deliveries(20, $both->{path},
                                         from => "127.0.0.$_") } 11 .. 13);
is(statuses(@answers), '30 x 200 30 x 429', '60 from three addresses');


# Wrong tokens count by (id, address).

my $wrong = "/api/webhook/$quiet->{id}/wrong";
@answers = in_turn($wrong, 35, '127.0.0.3');
is(statuses(@answers), '30 x 401 5 x 429', 'wrong tokens');
is(window($answers[0]), '30 29', 'the first of them');
is(window($answers[29]), '30 0', 'the last one');
is((in_turn($wrong, 1, '127.0.0.4'))[0]->status, 401,
   'another address has its own window');
is(statuses(in_turn($wrong . 'er', 1, '127.0.0.3')), '1 x 429',
   'another wrong token has not');
is(window((in_turn($quiet->{path}, 1, '127.0.0.3'))[0]), '30 28',
   'the right token has, from there too');

@answers = $n->parallel(map { [ 'POST', "/api/webhook/$quiet->{id}/w$_",
                                json => { content => 'x' },
                                from => '127.0.0.5' ] } 1 .. 100);
is(statuses(@answers), '30 x 401 70 x 429', '100 wrong tokens at once');

@answers = in_turn($wrong, 100, '127.0.0.3');
is(statuses(@answers), '100 x 429', 'a hundred more');
is(statuses(in_turn($quiet->{path}, 1, '127.0.0.3')), '1 x 200',
   'the right one is still let through');

in_turn("/api/webhook/$first->{id}/wrong", 40, '127.0.0.6');
is(statuses(in_turn($first->{path}, 3, '127.0.0.6')), '3 x 200',
   'also one that was never used before');

is(statuses(in_turn($both->{path}, 1, '127.0.0.7')), '1 x 429',
   'whose window is over, that one is not');


# Unknown webhooks count by address.

@answers = map { in_turn(sprintf($nobody, $_), 1, '127.0.0.8') } 1 .. 35;
is(statuses(@answers), '30 x 404 5 x 429', 'unknown ids');
is(window($answers[0]), '30 29', 'the first of them');
is(statuses(in_turn(sprintf($nobody, 99), 1, '127.0.0.9')), '1 x 404',
   'another address has its own window');
is(statuses(in_turn('/api/webhook/nonsense/x', 1, '127.0.0.8')), '1 x 429',
   'an id that is no UUID is an unknown one');
is(statuses(in_turn($quiet->{path}, 1, '127.0.0.8')), '1 x 200',
   'a real one is served');

@answers = $n->parallel(map { [ 'POST', sprintf($nobody, $_),
                                json => { content => 'x' },
                                from => '127.0.0.10' ] } 1 .. 100);
is(statuses(@answers), '30 x 404 70 x 429', '100 unknown ones at once');


# A token that was changed is worth nothing.

my $changed = webhook($n, $channel);
is(statuses(in_turn($changed->{path}, 1, '127.0.0.14')), '1 x 200',
   'before the change');
$n->psql("UPDATE webhooks SET token_hash = repeat('0', 64)
           WHERE id = '$changed->{id}'");
is(statuses(in_turn($changed->{path}, 40, '127.0.0.14')), '30 x 401 10 x 429',
   'after it');


# What fails counts as well; OPTIONS does not.

my $failing = webhook($n, $channel);
my $on = $n->connection;
is(window($n->http('POST', $failing->{path}, body => '{', on => $on)), '30 29',
   'broken JSON');
$n->options($failing->{path}, on => $on);
is(window($n->post($failing->{path}, { content => '' }, on => $on)), '30 28',
   'an invalid body');
is(window($n->get($failing->{path}, on => $on)), '30 27', 'GET');


# Counters survive a reload.

$n->reload;
is(statuses(in_turn($busy->{path}, 1, '127.0.0.2')), '1 x 429',
   'over the limit after a reload');

finish();
