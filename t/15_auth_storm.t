# While many passwords are hashed the event loop goes on: whoever wants no
# hashing hardly notices.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use NchatTest;

my $n = NchatTest->new(
    workers     => 1,
    tls         => 1,
    bcrypt_cost => 0,    # as it is shipped
    http        => 'nchat_signin_limit address=1000000 email=1000000;'
);
my $owner = $n->owner;

# timed(PATH, N): the times of N requests, sorted.
sub timed {
    my ($path, $count, $until) = @_;
    my $connection = $n->connection;
    my @times;

    while (@times < $count || $until && !$until->()) {
        push @times, $n->get($path, on => $connection,
                             token => $owner->{token})->time;
        sleep 0.003;
    }

    return sort { $a <=> $b } @times;
}

sub p99 { $_[ int 0.99 * $#_ ] }

my %quiet = map { $_ => p99(timed($_, 200)) }
            qw(/api/health /api/config /api/auth/me);


# 150 sign-ins at once, with right and with wrong passwords.

my $child = fork // die "fork: $!\n";
if (!$child) {
    $n->parallel(map { [ POST => '/api/auth/signin', json => {
        email    => $_ % 3 ? $owner->{email} : "nobody$_\@example.com",
        password => $_ % 2 ? $owner->{password} : 'wrong' } ] } 1 .. 150);
    kill KILL => $$;
}

ok(wait_for(sub { ($n->get('/api/metrics')->body =~ /^nchat_hashing (\d+)/m)[0]
                  > 50 }, 10), 'a storm of sign-ins');

for my $path (sort keys %quiet) {
    my @times = timed($path, 60);
    my ($hashing) = $n->get('/api/metrics')->body =~ /^nchat_hashing (\d+)/m;
    my $limit = 0.1 + 5 * $quiet{$path};

    cmp_ok($hashing, '>', 0, "$path: the storm goes on");
    cmp_ok(p99(@times), '<', $limit, "$path: stays quick")
        or diag(sprintf 'quiet %.1f ms, now %.1f ms, worst %.1f ms',
                map { 1000 * $_ } $quiet{$path}, p99(@times), $times[-1]);
}

waitpid $child, 0;
ok(wait_for(sub { $n->get('/api/metrics')->body =~ /^nchat_hashing 0$/m }, 30),
   'it is over');


# Clients that leave while they wait for a thread: over HTTP/1 and HTTP/2.

for my $i (1 .. 30) {
    my $gone = $n->connection;
    $gone->send_some($n->request('POST', '/api/auth/signup', json => {
        email => "gone$i\@example.com", username => "gone$i",
        password => 'Passw0rd' }));
    sleep 0.005 if $i % 4 == 0;
    $i % 2 ? $gone->abort : $gone->close;
}

$n->curl('-k', '--http2', '-m', '0.15', '-H', 'Content-Type: application/json',
         '-d', encode_json({ email    => "h$_\@example.com", username => "http$_",
                             password => 'Passw0rd' }),
         $n->tls_url . '/api/auth/signup') for 1 .. 5;

is($n->get('/api/health')->status, 200, 'clients that leave while they wait');
ok(wait_for(sub { $n->get('/api/metrics')->body =~ /^nchat_hashing 0$/m }, 30),
   'their hashes are not waited for for ever');
is($n->http('POST', '/api/auth/signin', json => {
    email => $owner->{email}, password => $owner->{password} })->status, 200,
   'the next one is served');

finish();
