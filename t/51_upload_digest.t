# The digest of uploads: made while the body still arrives, from its file.

use strict;
use warnings;
use lib 't/lib';

use File::Find ();
use File::Temp ();
use Test::More;
use Time::HiRes qw(sleep);
use NchatTest;
use NchatTest::Client qw(chunks);

my $kb     = 1024;
my $mb     = 1024 * $kb;
my %type   = ('Content-Type' => 'application/zip');
my $n      = NchatTest->new(tls => 1, workers => 1, limits => 0);
my $user   = $n->owner;
my $random = join '', map { chr rand 256 } 1 .. 64 * $kb + 1;

sub path_of { $_[0]->json->{uploadUrl} =~ s{^https?://localhost:\d+}{}r }

sub init {
    my ($size, %data) = @_;

    return $n->post('/api/upload', { filename => 'a.zip', size => $size,
        contentType => 'application/zip', %data }, token => $user->{token});
}

# Bytes of which no two pieces are alike.
sub bytes {
    my $size = shift;
    my $text = $random x (1 + $size / length $random);

    return substr $text, 0, $size;
}

sub request_of {
    my ($start, $body, %options) = @_;

    return $n->request('PUT', path_of($start), body => $body,
                       headers => \%type, %options);
}

# The same by the openssl command.
sub etag_of {
    my $file = File::Temp->new;
    binmode $file;
    print $file shift;
    $file->flush;

    my $key = unpack 'H*', 'nchat file etag.';
    my $iv  = unpack 'H*', 'nchat files.';
    my @options = map { "-macopt $_" } "hexkey:$key", "hexiv:$iv";
    chomp(my $mac = qx{openssl mac -cipher AES-128-GCM @options -in $file GMAC});

    die "openssl gives no GMAC\n" if $mac !~ /^[0-9A-F]{32}$/;
    return '"' . lc($mac) . '"';
}

sub files_in {
    my $folder = $n->home . '/files/' . shift;
    my @files;

    File::Find::find(sub { push @files, $File::Find::name if -f }, $folder)
        if -d $folder;
    return @files;
}

sub descriptors {
    my ($worker) = $n->workers;
    return scalar(() = glob "/proc/$worker/fd/*");
}

# Sent in parts, so that threads catch up with what has arrived.
sub put_slowly {
    my ($start, $bytes, @cuts) = @_;
    my $slow = $n->connection;
    my $from = 0;

    for my $cut (@cuts) {
        $slow->send(undef, substr $bytes, $from, $cut - $from);
        $from = $cut;
        sleep 0.03;
    }

    $slow->send('PUT', substr $bytes, $from);
    return $slow->receive;
}


# The ETag is that of the content, whatever its size and way.

for my $size (1, 15, 16, 17, 64 * $kb - 1, 64 * $kb, 64 * $kb + 1,
              256 * $kb - 1, 256 * $kb, 256 * $kb + 1, $mb - 1, $mb, $mb + 1,
              1280 * $kb, 2 * $mb, 5 * $mb + 4097)
{
    my $body = bytes($size);
    my $etag = etag_of($body);
    my %ways = (
        'at once' => sub {
            $n->put(path_of($_[0]), body => $body, headers => \%type)
        },
        'in chunks' => sub {
            $n->put(path_of($_[0]), body => $body, headers => \%type,
                    chunked => 100_003)
        },
        'over HTTP/2' => sub {
            $n->http2('PUT', path_of($_[0]), body => $body,
                      headers => \%type)
        },
        'slowly' => sub {
            my $bytes = request_of($_[0], $body);
            put_slowly($_[0], $bytes, map { int $_ * length($bytes) / 5 }
                                      1 .. 4);
        },
        'slowly and in chunks' => sub {
            my $bytes = request_of($_[0], $body, chunked => 200_003);
            put_slowly($_[0], $bytes, map { int $_ * length($bytes) / 3 }
                                      1 .. 2);
        }
    );

    for my $way (sort keys %ways) {
        my $start = init($size);
        my $r     = $ways{$way}->($start);
        my $file  = $n->home . '/files/' . $start->json->{key};

        is($r && $r->header('etag'), $etag, "$size bytes $way: the ETag");
        ok(NchatTest::Cluster::slurp($file) eq $body, 'and all of them');

        # what was reserved is what was needed
        cmp_ok(512 * (stat $file)[12], '<=', $size + 16 * $kb,
               'take no more of the disk');
    }
}


# What nginx' own digest would have seen of a body that is too long or short.

for my $case (['too long', 2 * $mb, 3 * $mb], ['too short', 3 * $mb, 2 * $mb]) {
    my ($name, $announced, $sent) = @$case;

    is_error($n->put(path_of(init($announced)), body => bytes($sent),
                     headers => \%type, chunked => 300_000),
             400, 'BAD_REQUEST', "$name, in chunks");
    ok(wait_for(sub { !files_in('incoming') }, 3), 'nothing is left of it');
}


# Another type than announced is seen in the first piece, and told at the end.

for my $size (100 * $kb, 3 * $mb) {
    my $page  = '<!doctype html><script>1</script>' . bytes($size);
    my $start = init(length $page, filename => 'a.png',
                     contentType => 'image/png');
    my $bytes = request_of($start, $page,
                           headers => { 'Content-Type' => 'image/png' });

    is_error(put_slowly($start, $bytes, 80 * $kb, length($bytes) - 10), 400,
             'INVALID_FILE_TYPE', "a page of $size bytes called PNG");
    ok(wait_for(sub { !files_in('incoming') }, 3), 'nothing is left of it');
    ok(!-e $n->home . '/files/' . $start->json->{key}, 'or stored');
}


# Clients that leave while threads read what they sent.

my $body   = bytes(4 * $mb);
my $before = descriptors();
my @gone   = map { init(length $body) } 1 .. 60;

for my $start (@gone) {
    my $leaver = $n->connection;
    $leaver->send(undef, substr request_of($start, $body), 0,
                  int $mb + rand 2.9 * $mb);
    rand() < 0.5 ? $leaver->abort : $leaver->close;
}

ok(wait_for(sub { !files_in('incoming') }, 5), '60 clients left: no file stays');
ok(wait_for(sub { descriptors() <= $before }, 5), 'no descriptor does')
    or diag(descriptors() . " descriptors, $before before");

# and right after the last byte, while the last step waits for its thread
for my $start (@gone) {
    my $leaver = $n->connection;
    $leaver->send('PUT', request_of($start, $body));
    $leaver->abort;
}

ok(wait_for(sub { !files_in('incoming') }, 5), 'also after the last byte');
ok(wait_for(sub { descriptors() <= $before }, 5), 'no descriptor stays')
    or diag(descriptors() . " descriptors, $before before");

my $after = init(length $body);
is($n->put(path_of($after), body => $body, headers => \%type)->header('etag'),
   etag_of($body), 'who comes after them is served');


# A reload while a body arrives: the old worker ends what it began.

my ($old)  = $n->workers;
my $during = init(length $body);
my $slow   = $n->connection;
my $bytes  = request_of($during, $body);
$slow->send(undef, substr $bytes, 0, 2 * $mb);
ok(wait_for(sub { files_in('incoming') }, 3), 'a body is on its way');
$n->reload;
$slow->send('PUT', substr $bytes, 2 * $mb);
my $r = $slow->receive;
is_ok($r, 'a reload does not disturb it');
is($r->header('etag'), etag_of($body), 'its ETag is right');
ok(wait_for(sub { !-e "/proc/$old" }, 10), 'then the old worker leaves');


# No room in the threads' queue: what cannot be read ahead is read later, and
# who cannot have it at the end is told so.

$n->stop;
my $tight = NchatTest->new(workers => 1, limits => 0, share => $n,
    set => { thread_pool => 'thread_pool nchat threads=1;
                             thread_pool default threads=1 max_queue=1;' });
$n = $tight;

my @starts = map { init(length $body) } 1 .. 12;
my @many   = $n->parallel(map { ['PUT', path_of($_), body => $body,
                                 headers => \%type] } @starts);
my %seen;
$seen{ $_->status }++ for @many;
is(join(' ', grep { !/^(?:200|503)$/ } keys %seen), '',
   'a short queue: all are answered, with 200 or 503');
ok($seen{200}, 'some can be taken');
is_deeply([grep { $_ ne etag_of($body) }
           map { $_->status == 200 ? $_->header('etag') : () } @many], [],
          'whose ETag is right');

for my $i (grep { $many[$_]->status == 503 } 0 .. $#many) {
    is_ok($n->put(path_of($starts[$i]), body => $body, headers => \%type),
          'a refused one can be sent again');
}

finish();
