# What uploads may take: memory, time, the day's quota; what they leave behind.

use strict;
use warnings;
use lib 't/lib';

use File::Find ();
use File::Temp ();
use Test::More;
use Time::HiRes qw(sleep);
use NchatTest;

my $mb = 1024 * 1024;
my $n  = NchatTest->new(
    tls     => 1,
    workers => 1,
    http    => "nchat_upload_lifetime 2s;\nnchat_anonymous_uploads 3m;\n"
);
my $user = $n->owner;

sub path_of { $_[0] =~ s{^https?://localhost:\d+}{}r }

sub init {
    my ($account, %data) = @_;

    return $n->post('/api/upload', { filename => 'a.zip',
        contentType => 'application/zip', size => 100, %data },
        $account ? (token => $account->{token}) : ());
}

sub complete {
    my ($start, $account) = @_;

    return $n->post('/api/upload/complete',
        { fileId => $start->json->{fileId} },
        $account ? (token => $account->{token}) : ());
}

sub files_in {
    my $folder = $n->home . '/files/' . shift;
    my @files;

    File::Find::find(sub { push @files, $File::Find::name if -f }, $folder)
        if -d $folder;
    return @files;
}

# kB of the worker's memory that is not of files.
sub memory {
    my ($worker) = $n->workers;
    return NchatTest::Cluster::slurp("/proc/$worker/status")
           =~ /^RssAnon:\s+(\d+)/m ? $1 : die 'no RssAnon';
}

is($n->get('/api/upload')->json->{config}{presignedUrlExpiry}, 2,
   'the life of a URL is told');


# A large body takes no memory, however it comes.

my $big = File::Temp->new;
my $row = join '', map { chr rand 256 } 1 .. 65536;
print $big $row for 1 .. 90 * 16;
$big->flush;

for my $version (qw(--http1.1 --http2)) {
    init($user, size => 1000);    # what any request takes
    my $before = memory();
    my $most   = $before;

    my $start = init($user, contentType => 'video/mp4', size => 90 * $mb);
    my $url   = $n->tls_url . path_of($start->json->{uploadUrl});
    my $pid   = fork;

    if (!$pid) {
        exec 'curl', '-s', '-k', '--noproxy', '*', $version, '-o',
            '/dev/null', '-H', 'Content-Type: video/mp4', '-f', '-T',
            $big->filename, $url;
        exit 127;
    }

    while (!waitpid $pid, 1) {
        my $now = memory();
        $most = $now if $now > $most;
        sleep 0.01;
    }

    is($?, 0, "90 MB with curl $version");
    my $grown = $most - $before;
    SKIP: {
        skip 'the sanitizer keeps what was freed', 1 if $ENV{NCHAT_TEST_ASAN};
        cmp_ok($grown, '<', 3_000, "take $grown kB of memory at most");
    }
    is(complete($start, $user)->json->{attachment}{size}, 90 * $mb,
       'and are all there');
}


# A slow client that starts in time is in time.

my $long  = 'x' x 600_000;
my $start = init($user, size => length $long);
my $slow  = $n->connection;
my $body  = $n->request('PUT', path_of($start->json->{uploadUrl}),
    body => $long, headers => { 'Content-Type' => 'application/zip' });
$slow->send_some(substr $body, 0, 400_000);
sleep 2.6;
is(scalar(files_in('incoming')), 1, 'a body is on its way');
$slow->send('PUT', substr $body, 400_000);
is_ok($slow->receive, 'a slow upload that outlives its URL is taken');
is_ok(complete($start, $user), 'and can be completed');


# One that leaves, leaves nothing.

$start = init($user, size => length $long);
$slow  = $n->connection;
$slow->send_some(substr $n->request('PUT', path_of($start->json->{uploadUrl}),
    body => $long, headers => { 'Content-Type' => 'application/zip' }),
    0, -10);
ok(wait_for(sub { files_in('incoming') }, 3), 'a body is on its way');
$slow->abort;
ok(wait_for(sub { !files_in('incoming') }, 3),
   'it is gone when its client is');
ok(!-e $n->home . '/files/' . $start->json->{key}, 'nothing was stored');


# An answer before the body is read.

$start = init($user);
my $early = $n->connection(timeout => 5);
$early->send('PUT', $n->request('PUT',
    path_of($start->json->{uploadUrl}) =~ s/signature=./signature=x/r,
    headers => { 'Content-Type' => 'application/zip',
                 'Content-Length' => 100, Expect => '100-continue' }));
is_error($early->receive, 403, 'FORBIDDEN',
         'a wrong signature is refused before the body is sent');


# Expired ones go.

my $stored = init($user);
$n->put(path_of($stored->json->{uploadUrl}), body => 'x' x 100,
        headers => { 'Content-Type' => 'application/zip' });
my $bare = init($user);
my $file = $n->home . '/files/' . $stored->json->{key};
ok(-f $file, 'an upload that nobody completes is there');

# what a worker that was killed has left behind
my $stale = $n->home . '/files/incoming/0000000000';
my $fresh = $n->home . '/files/incoming/0000000001';
NchatTest::spew($_, 'x') for $stale, $fresh;
utime time - 90_000, time - 90_000, $stale;

sleep 2.2;
is_error($n->put(path_of($bare->json->{uploadUrl}), body => 'x' x 100,
                 headers => { 'Content-Type' => 'application/zip' }),
         403, 'FORBIDDEN', 'an expired URL is refused');
is_error(complete($bare, $user), 404, 'NOT_FOUND',
         'an expired upload cannot be completed');

ok(wait_for(sub { !-e $file }, 15), 'its file is removed');
ok(wait_for(sub { !$n->psql('SELECT count(*) FROM uploads') }, 15),
   'its row, too');
ok(!-e $stale, 'and what a killed worker left behind');
ok(-e $fresh, 'but not what is new');
unlink $fresh;

is($n->psql('SELECT count(*) FROM attachments'), scalar(files_in('uploads')),
   'what was completed stays');


# The day's quota of anonymous callers, together.

is(init(undef, size => 2 * $mb)->status, 201, 'anonymous: 2 of 3 MB');
is_error(init(undef, size => 2 * $mb), 403, 'FORBIDDEN', '2 more are too many');
is(init($user, size => 2 * $mb)->status, 201, 'users have none');
my $small = init(undef, size => $mb);
is($small->status, 201, 'but 1 MB is not');
is_error(init(undef, size => 1), 403, 'FORBIDDEN', 'then it is full');
ok(wait_for(sub { init(undef, size => 2 * $mb)->status == 201 }, 15),
   'what expires is given back');

my @all = $n->parallel(map { ['POST', '/api/upload', json => {
    filename => 'a', contentType => 'text/plain', size => $mb / 4 }] }
    1 .. 20);
cmp_ok(scalar(grep { $_->status == 201 } @all), '<=', 4,
       'many at once cannot exceed it');


# Switched off or on.

sub restart_with {
    my $line = shift;
    my $conf = $n->home . '/conf.d/test.conf';

    NchatTest::spew($conf, NchatTest::Cluster::slurp($conf)
        =~ s/nchat_anonymous_uploads.*?;/nchat_anonymous_uploads $line;/r);
    $n->reload;
}

restart_with('off');
ok(wait_for(sub { init(undef)->status == 401 }, 5), 'off: sign in first');
is(init($user)->status, 201, 'users may');
restart_with('on');
ok(wait_for(sub { init(undef, size => 90 * $mb)->status == 201 }, 5),
   'on: no quota');


# The store is away.

chmod 0, $n->home . '/files/incoming';
my ($check) = grep { $_->{name} eq 'storage' }
              @{ $n->get('/api/ready')->json->{checks} };
SKIP: {
    skip('the worker may read everything', 1) if $> != 0;
    ok(!$check->{ready}, 'not ready when the folder cannot be written');
}
chmod 0700, $n->home . '/files/incoming';

finish();
