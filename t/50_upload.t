# Uploads to the local store: init, the signed PUT, complete.

use strict;
use warnings;
use utf8;
use lib 't/lib';

use File::Find ();
use File::Temp ();
use Test::More;
use NchatTest;

my $png = "\x89PNG\r\n\x1a\n" . join '', map { chr(rand 256) } 1 .. 5000;

my $n     = NchatTest->new(limits => 0);
my $owner = $n->owner;
my $user  = $n->account('member');
my $guest = $n->account('guest');

sub init {
    my ($account, %data) = @_;

    return $n->post('/api/upload', { filename => 'a.png',
        contentType => 'image/png', size => length $png, %data },
        $account ? (token => $account->{token}) : ());
}

# The path of an absolute URL of this server.
sub path_of {
    my $url = shift;
    $url =~ s{^http://localhost:\d+}{} or die "not our URL: $url\n";
    return $url;
}

sub put {
    my ($start, $body, %options) = @_;

    return $n->put(path_of($start->json->{uploadUrl}), body => $body,
                   headers => $start->json->{headers}, %options);
}

sub complete {
    my ($start, $account, %data) = @_;

    return $n->post('/api/upload/complete',
        { fileId => $start->json->{fileId}, %data },
        $account ? (token => $account->{token}) : ());
}

# The digest that an ETag is made of, by the openssl command.
sub digest_of {
    my $file = File::Temp->new;
    binmode $file;
    print $file shift;
    $file->flush;

    my $key = unpack 'H*', 'nchat file etag.';
    my $iv  = unpack 'H*', 'nchat files.';
    my @options = map { "-macopt $_" } "hexkey:$key", "hexiv:$iv";
    chomp(my $mac = qx{openssl mac -cipher AES-128-GCM @options -in $file GMAC});
    return lc $mac;
}

sub files_in {
    my $folder = shift;
    my @files;

    File::Find::find(sub { push @files, $File::Find::name if -f },
                     $n->home . "/files/$folder")
        if -d $n->home . "/files/$folder";
    return @files;
}


# What the service says of itself.

my $r = $n->get('/api/upload');
is_ok($r, 'the status');
is_deeply($r->json->{data}, {
    service => 'upload',
    status  => 'available',
    config  => {
        maxFileSize        => '50 MB',
        allowedTypes       => [qw(images videos audio documents archives code)],
        presignedUrlExpiry => 900
    },
    limits => [
        { type => 'image',    maxSize => '10 MB' },
        { type => 'video',    maxSize => '100 MB' },
        { type => 'audio',    maxSize => '50 MB' },
        { type => 'document', maxSize => '50 MB' },
        { type => 'archive',  maxSize => '100 MB' },
        { type => 'code',     maxSize => '10 MB' }
    ]
}, 'is as documented');

my ($storage) = grep { $_->{name} eq 'storage' }
                @{ $n->get('/api/ready')->json->{checks} };
ok($storage && $storage->{ready}, 'the readiness probe checks the store');


# From the beginning to the end.

my $start = init($user);
is($start->status, 201, 'an upload is announced');
is_ok($start, 'in the envelope');

my $data = $start->json;
my ($y, $m, $d) = (gmtime)[5, 4, 3];
my $day = sprintf '%04d/%02d/%02d', $y + 1900, $m + 1, $d;

like($data->{fileId}, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
     'with an id');
is($data->{key}, "uploads/$day/$data->{fileId}.png", 'a key');
is($data->{method}, 'PUT', 'the method');
is_deeply($data->{headers}, { 'Content-Type' => 'image/png' }, 'the headers');
ok(length $data->{bucket}, 'a bucket');
like($data->{expiresAt}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
     'an end');

is_error(complete($start, $user), 409, 'CONFLICT',
         'it cannot be completed before there is a file');

$r = put($start, $png);
is_ok($r, 'the PUT is taken');
my $etag = '"' . digest_of($png) . '"';
is($r->header('etag'), $etag, 'with the ETag of its content');
is($r->header('x-ratelimit-limit'), 30, 'it counts in class upload');

is_error(put($start, $png), 409, 'CONFLICT', 'a second PUT is refused');

is_error(complete($start, $owner), 404, 'NOT_FOUND',
         'somebody else cannot complete it');
is_error(complete($start), 404, 'NOT_FOUND', 'nor can an anonymous caller');
is_error(complete($start, $user, etag => '"0123"'), 409, 'CONFLICT',
         'nor its owner with another ETag');

$r = complete($start, $user, etag => $etag, width => 20, height => 30);
is($r->status, 200, 'its owner completes it');
my $attachment = $r->json->{attachment};
my $url        = delete $attachment->{url};
like(delete $attachment->{createdAt}, qr/^\d{4}-.*Z$/, 'with a time');
is_deeply($attachment, {
    id               => $data->{fileId},
    filename         => "$data->{fileId}.png",
    originalFilename => 'a.png',
    mimeType         => 'image/png',
    size             => length $png,
    category         => 'image',
    width            => 20,
    height           => 30,
    uploadedBy       => $user->{id}
}, 'the attachment');
is($r->json->{etag}, $etag, 'and its ETag');

is_deeply(complete($start, $user)->json->{data}, $r->json->{data},
          'completing twice gives the same answer');
is_error(put($start, $png), 409, 'CONFLICT',
         'a completed file cannot be put again');
is($n->get(path_of($url))->body, $png, 'the file comes back');

is(scalar(files_in('incoming')), 0, 'nothing is left in between');
is_deeply([files_in('uploads')], [$n->home . "/files/$data->{key}"],
          'the file is where its key says');

my ($audit) = $n->rows("SELECT category, action, actor_id, resource_id
                          FROM audit_log WHERE action = 'upload'");
is_deeply($audit, ['file', 'upload', $user->{id}, $data->{fileId}],
          'it is in the audit log, once');

my $metrics = $n->get('/api/metrics')->body;
like($metrics, qr/^nchat_uploads_total 1$/m, 'uploads are counted');


# Two at once.

$start = init($user);
put($start, $png);
my @twice = $n->parallel(map { ['POST', '/api/upload/complete',
    json => { fileId => $start->json->{fileId} }, token => $user->{token}] }
    1 .. 8);
is(scalar(grep { $_->status == 200 } @twice), 8,
   'completed eight times at once: eight answers');
is($n->psql("SELECT count(*) FROM attachments
              WHERE id = '" . $start->json->{fileId} . "'"), 1,
   'and one attachment');

$start = init($user);
my @puts = $n->parallel(map { ['PUT', path_of($start->json->{uploadUrl}),
    body => $png . '', headers => $start->json->{headers}] } 1 .. 8);
is(join(' ', sort map { $_->status } @puts), '200' . ' 409' x 7,
   'put eight times at once: one wins');


# What may be announced.

is_error(init($user, contentType => 'application/x-msdownload'), 400,
         'INVALID_FILE_TYPE', 'programs are refused');
is_error(init($user, contentType => ';'), 400, 'INVALID_FILE_TYPE',
         'so is no type');

$r = init($user, size => 10 * 1024 * 1024 + 1);
is_error($r, 400, 'FILE_TOO_LARGE', 'an image over 10 MB is refused');
is_deeply($r->json->{details}, { maxSize => 10485760, size => 10485761 },
          'with its limit');
is(init($user, size => 10 * 1024 * 1024)->status, 201, '10 MB are taken');
is(init($user, contentType => 'video/mp4', size => 104857600)->status, 201,
   'of video 100 MB');
is_error(init($user, contentType => 'audio/flac', size => 52428801), 400,
         'FILE_TOO_LARGE', 'of audio 50 MB');

is_error(init($user, size => 10 ** 18), 400, 'FILE_TOO_LARGE', 'any size over it');

for my $case ([{ size => 0 }, 'size', 'range'],
              [{ size => -1 }, 'size', 'range'],
              [{ size => 1.5 }, 'size', 'type'],
              [{ size => '5' }, 'size', 'type'],
              [{ filename => '' }, 'filename', 'length'],
              [{ filename => 'x' x 256 }, 'filename', 'length'],
              [{ filename => 7 }, 'filename', 'type'],
              [{ channelId => 'general' }, 'channelId', 'format'])
{
    my ($change, $field, $constraint) = @$case;
    $r = init($user, %$change);
    is_error($r, 400, 'VALIDATION_ERROR', "a wrong $field");
    is($r->json->{details}{constraint}, $constraint, "is told: $constraint");
}

$r = $n->post('/api/upload', {}, token => $user->{token});
is(join(' ', sort map { $_->{field} } @{ $r->json->{details}{errors} }),
   'contentType filename size', 'what is missing is told');

is_error($n->http('POST', '/api/upload', token => $user->{token},
                  body => '{"filename":"a\u0000b","contentType":"text/plain",'
                          . '"size":1}'),
         400, 'BAD_REQUEST', 'a NUL in the name is refused');

is(init($user, contentType => 'Text/PLAIN; charset=utf-8')->json->{headers}
       {'Content-Type'}, 'text/plain', 'parameters and case do not matter');


# Names are only ever shown.

for my $case (['../../../etc/passwd', ''], ["a\r\nX-Evil: 1.png", '.png'],
              ["gpj.\x{202e}exe", ''], ['CON', ''], ['con.txt', '.txt'],
              ['x' x 251 . '.png', '.png'], ["\x{1f600}" x 255, ''],
              ['a.TAR.GZ', '.gz'], ['a/b.c/d', ''], ['.htaccess', ''],
              ['a.png%00', ''], ['a.p"g', ''])
{
    my ($name, $ext) = @$case;
    my $shown = substr $name, 0, 12;
    $shown =~ s/[^ -~]/?/g;

    $start = init($user, filename => $name);
    is($start->json->{key}, "uploads/$day/" . $start->json->{fileId} . $ext,
       "the key of \"$shown\"");
    put($start, $png);
    $r = complete($start, $user);
    is($r->json->{attachment}{originalFilename}, $name, 'its name is kept');

    my $get = $n->get(path_of($r->json->{attachment}{url}));
    is($get->body, $png, 'it comes back');
    like($get->header('content-disposition'),
         qr/^inline; filename="[ !#\$&-.0-\[\]-~]*"; filename\*=UTF-8''[!#\$&+.^_`|~%0-9A-Za-z-]+$/,
         'its name is encoded');
    is($get->header('x-evil'), undef, 'and makes no header');
}


# Bodies and their headers.

sub refused {
    my ($status, $code, $name, $start, $body, %options) = @_;

    my $count = () = files_in('uploads');
    is_error(put($start, $body, %options), $status, $code, $name);
    is(scalar(files_in('uploads')), $count, 'and nothing is stored');
    ok(wait_for(sub { !files_in('incoming') }, 3), 'or left behind');
}

refused(400, 'BAD_REQUEST', 'a body that is too short', init($user),
        substr $png, 1);
refused(400, 'BAD_REQUEST', 'a body that is too long', init($user), "$png.");
refused(400, 'BAD_REQUEST', 'an empty body', init($user), '');
refused(400, 'BAD_REQUEST', 'a chunked body that is too short', init($user),
        substr($png, 1), chunked => 1);
refused(400, 'INVALID_FILE_TYPE', 'another type', init($user), $png,
        headers => { 'Content-Type' => 'image/jpeg' });
refused(400, 'INVALID_FILE_TYPE', 'no type', init($user), $png,
        headers => {});
refused(400, 'INVALID_FILE_TYPE', 'HTML that calls itself PNG',
        init($user, size => 29), '<html><script>1</script></html>' =~ s/..$//r);

$start = init($user);
is_ok(put($start, $png, chunked => 700), 'a chunked body of the right size');
is_ok(complete($start, $user), 'can be completed');


# URLs.

sub with_url {
    my ($change, $name) = @_;

    my $start = init($user);
    my $path  = path_of($start->json->{uploadUrl});
    local $_  = $path;
    $change->();
    isnt($_, $path, "a URL with $name");
    is_error($n->put($_, body => $png, headers => $start->json->{headers}),
             403, 'FORBIDDEN', 'is refused');
}

with_url(sub { s/signature=./signature=/ },         'a short signature');
with_url(sub { s/signature=\w+// },                 'no signature');
with_url(sub { s/\?.*// },                          'nothing but a path');
with_url(sub { s/size=\d/size=9/ },                 'another size');
with_url(sub { s/expires=1/expires=9/ },            'a later end');
with_url(sub { s/type=image%2Fpng/type=text%2Fhtml/ }, 'another type');
with_url(sub { s{key=uploads}{key=../uploads} },    'another key');
with_url(sub { s{content/[0-9a-f]{8}}{content/00000000} }, 'another id');

is_error($n->get('/api/upload/content/x'), 405, 'METHOD_NOT_ALLOWED',
         'only PUT is known there');


# Who may.

is_error(init($guest), 403, 'FORBIDDEN', 'guests may not upload');
is_error(init({ token => 'x.y.z' }), 401, 'INVALID_TOKEN',
         'a bad token is not anonymous');
is_error(complete(init($user), $guest), 403, 'FORBIDDEN',
         'nor complete an upload');

$start = init(undef);
is($start->status, 201, 'anonymous callers may');
is_error(complete($start, $user), 404, 'NOT_FOUND',
         'their uploads are theirs');
put($start, $png);
$r = complete($start);
is_ok($r, 'and they complete them');
ok(!exists $r->json->{attachment}{uploadedBy}, 'without a name');

is_error($n->post('/api/upload/complete', { fileId => 'x' },
                  token => $user->{token}), 404, 'NOT_FOUND',
         'an unknown upload');
is_error($n->post('/api/upload/complete', {}, token => $user->{token}), 400,
         'VALIDATION_ERROR', 'no upload at all');
is_error($n->post('/api/upload/complete', { fileId => $data->{fileId},
                  width => -1 }, token => $user->{token}), 400,
         'VALIDATION_ERROR', 'a width below zero');


# Switched off.

$start = init($user);
is_ok($n->patch('/api/config', { features => { fileUploads => \0 } },
                token => $owner->{token}), 'uploads are switched off');
wait_for(sub { $n->get('/api/upload')->json->{status} eq 'unavailable' }, 3);
is($n->get('/api/upload')->json->{status}, 'unavailable', 'the status says so');
is_error(init($user), 403, 'FORBIDDEN', 'nothing can be announced');
is_error(put($start, $png), 403, 'FORBIDDEN', 'nor put');
is_error(complete($start, $user), 403, 'FORBIDDEN', 'nor completed');
is($n->get(path_of($url))->status, 200, 'files can be read on');

finish();
