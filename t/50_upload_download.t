# Downloads from the local store: ranges, conditions, headers, who may read.

use strict;
use warnings;
use lib 't/lib';

use Test::More;
use NchatTest;

my $n       = NchatTest->new(tls => 1);
my $owner   = $n->owner;
my $member  = $n->account('member');
my $other   = $n->account('member');
my $general = $n->psql("SELECT id FROM channels WHERE name = 'general'");
my $private = $n->psql("INSERT INTO channels (name, type)
                        VALUES ('board', 'private') RETURNING id");
$n->psql("INSERT INTO channel_members VALUES ('$private', '$member->{id}')");

my %content = (
    'image/png' => "\x89PNG\r\n\x1a\n" . 'x' x 3000,
    'image/svg+xml' => '<svg xmlns="http://www.w3.org/2000/svg"/>'
);

sub path_of { $_[0] =~ s{^http://localhost:\d+}{}r }

sub init {
    my ($account, $type, %data) = @_;
    my $body = $content{$type} // "content of $type";

    return $n->post('/api/upload', { filename => 'file.x',
        contentType => $type, size => length $body, %data },
        $account ? (token => $account->{token}) : ());
}

# The answer of complete.
sub upload {
    my ($account, $type, %data) = @_;
    my $start = init($account, $type, %data);

    $n->put(path_of($start->json->{uploadUrl}),
            body    => $content{$type} // "content of $type",
            headers => $start->json->{headers});

    return $n->post('/api/upload/complete',
        { fileId => $start->json->{fileId} }, token => $account->{token});
}

my %policy = (
    'content-security-policy' => qr/^default-src 'none';.*\bsandbox$/,
    'x-content-type-options'  => qr/^nosniff$/
);

sub is_safe {
    my ($r, $name) = @_;
    like($r->header($_), $policy{$_}, "$name: $_") for sort keys %policy;
}


# Public files: plain links.

my $r   = upload($member, 'image/png', channelId => $general,
                 filename => 'picture.png');
my $url = $r->json->{attachment}{url};
is($r->json->{attachment}{channelId}, $general, 'an attachment of a channel');
like($url, qr{^http://localhost:\d+/files/[0-9a-f-]{36}$},
     'of a public channel has a plain URL');

my $path = path_of($url);
my $png  = $content{'image/png'};

$r = $n->get($path);
is($r->status, 200, 'everyone can read it');
is($r->body, $png, 'whole');
is($r->header('content-type'), 'image/png', 'with its type');
is($r->header('accept-ranges'), 'bytes', 'offering ranges');
like($r->header('cache-control'), qr/^public, /, 'for shared caches too');
like($r->header('content-disposition'), qr/^inline; filename="picture\.png"/,
     'in place');
is($r->header('x-ratelimit-limit'), undef, 'counted in no class');
ok($r->header('x-request-id'), 'with a request id');
is_safe($r, 'an image');

my ($etag, $modified) = map { $r->header($_) } qw(etag last-modified);
like($etag, qr/^"[0-9a-f]{32}"$/, 'a strong ETag');

$r = $n->head($path);
is($r->status, 200, 'HEAD');
is($r->header('content-length'), length $png, 'has the length');

$r = $n->get($path, headers => { 'If-None-Match' => $etag });
is($r->status, 304, 'not modified by its ETag');
$r = $n->get($path, headers => { 'If-Modified-Since' => $modified });
is($r->status, 304, 'nor by its time');
is($n->get($path, headers => { 'If-None-Match' => '"x"' })->status, 200,
   'another ETag');
for my $condition ([ 'If-Match' => '"x"' ], [ 'If-Unmodified-Since' =>
                    'Mon, 01 Jan 2024 00:00:00 GMT' ]) {
    $r = $n->get($path, headers => { @$condition });
    is_error($r, 412, 'BAD_REQUEST', "$condition->[0] that fails");
    like($r->json->{error}, qr/\Q$condition->[0]\E/, 'it says so');
}

$r = $n->get($path, headers => { Range => 'bytes=10-19' });
is($r->status, 206, 'a range');
is($r->body, substr($png, 10, 10), 'of these bytes');
is($r->header('content-range'), 'bytes 10-19/' . length $png, 'says so');
is_safe($r, 'a range');
is($n->get($path, headers => { Range => 'bytes=-5' })->body,
   substr($png, -5), 'the last bytes');
like($n->get($path, headers => { Range => 'bytes=0-1,5-6' })
       ->header('content-type'), qr{^multipart/byteranges}, 'two ranges');
$r = $n->get($path, headers => { Range => 'bytes=99999-' });
is_error($r, 416, 'BAD_REQUEST', 'a range behind the end');
is($r->header('content-range'), 'bytes */' . length $png, 'is told the length');
is($n->get($path, headers => { Range => 'bytes=0-1', 'If-Range' => '"x"' })
     ->status, 200, 'a range of another version is the whole');

$r = $n->http2('GET', $path);
is($r->body, $png, 'over HTTP/2');
is_safe($r, 'over HTTP/2');


# What a browser would run is saved.

for my $case (['text/html', 1, '; charset=utf-8'], ['image/svg+xml', 1, ''],
              ['text/xml', 1, '; charset=utf-8'], ['application/xml', 1, ''],
              ['text/javascript', 1, '; charset=utf-8'],
              ['application/javascript', 1, '; charset=utf-8'],
              ['text/css', 1, '; charset=utf-8'],
              ['application/zip', 1, ''],
              ['text/plain', 0, '; charset=utf-8'],
              ['application/pdf', 0, ''], ['video/mp4', 0, ''],
              ['audio/mpeg', 0, ''])
{
    my ($type, $saved, $charset) = @$case;
    my $r = $n->get(path_of(upload($member, $type, channelId => $general)
                            ->json->{attachment}{url}));

    is($r->status, 200, $type);
    is($r->header('content-type'), "$type$charset", 'with its type');
    like($r->header('content-disposition'),
         $saved ? qr/^attachment;/ : qr/^inline;/,
         $saved ? 'is saved' : 'is shown');
    is_safe($r, $type);
}


# Files of private channels: signed links that expire.

{
    my $url = upload($member, 'text/plain', channelId => $private)
              ->json->{attachment}{url};

    like($url, qr{/files/[0-9a-f-]{36}\?expires=\d+&signature=[0-9a-f]{64}$},
         'a file of a private channel has a signed URL');
    my $path = path_of($url);
    my ($expires) = $path =~ /expires=(\d+)/;

    cmp_ok($expires, '>', time + 3500, 'that lasts an hour');
    cmp_ok($expires, '<', time + 7300, 'but not two');

    $r = $n->get($path);
    is($r->body, 'content of text/plain', 'it is good');
    like($r->header('cache-control'), qr/^private, max-age=\d+$/,
         'for this reader only');

    is_error($n->get($path =~ s/\?.*//r), 403, 'FORBIDDEN',
             'not without a signature');
    is_error($n->get($path =~ s/expires=\d+/'expires=' . ($expires + 1)/er),
             403, 'FORBIDDEN', 'not for longer');
    is_error($n->get($path =~ s/.$/z/r), 403, 'FORBIDDEN',
             'not with another signature');
    is_error($n->get($path =~ s/expires=\d+/expires=x/r), 403, 'FORBIDDEN',
             'not without a time');

    my $id   = $path =~ m{/files/([0-9a-f-]+)} && $1;
    my $past = time - 5;
    my $good = $n->psql("SELECT nchat_file_signature('$id', $past)");
    is_error($n->get("/files/$id?expires=$past&signature=$good"), 403,
             'FORBIDDEN', 'not when its time is over');

    my $from = $n->psql("SELECT nchat_file_signature(gen_random_uuid(),
                                                     $expires)");
    is_error($n->get("/files/$id?expires=$expires&signature=$from"), 403,
             'FORBIDDEN', 'not with that of another file');
}

# Those of no channel, such as avatars, are kept by their URL for good.

for my $who ($member, undef) {
    my $by  = $who ? 'a member' : 'nobody known';
    my $url = upload($who, 'text/plain', filename => 'avatar.txt')
              ->json->{attachment}{url};

    like($url, qr{/files/[0-9a-f-]{36}$}, "no channel, by $by: a plain URL");
    is($n->get(path_of($url))->body, 'content of text/plain', 'that is good');
}

is_error($n->get('/files/00000000-0000-4000-8000-000000000000'), 404,
         'NOT_FOUND', 'an unknown file');
is_error($n->get('/files/..%2f..%2fetc%2fpasswd'), 400, 'BAD_REQUEST',
         'a path instead of an id');
is_error($n->get('/files/x'), 404, 'NOT_FOUND', 'no id');


# A public channel becomes private, and its links with it.

my $channel = $n->psql("INSERT INTO channels (name) VALUES ('open')
                        RETURNING id");
my $answer = upload($member, 'text/plain', channelId => $channel);
$path = path_of($answer->json->{attachment}{url});
is($n->get($path)->status, 200, 'a link into a public channel');
$n->psql("UPDATE channels SET type = 'private' WHERE id = '$channel'");
is_error($n->get($path), 403, 'FORBIDDEN', 'ends when it becomes private');


# Where files may go.

sub refused {
    my ($status, $code, $name, $account, %data) = @_;
    is_error(init($account, 'text/plain', %data), $status, $code, $name);
}

refused(403, 'FORBIDDEN', 'not into a private channel of others', $other,
        channelId => $private);
refused(404, 'NOT_FOUND', 'not into a channel that is not', $member,
        channelId => '00000000-0000-4000-8000-000000000000');
refused(401, 'UNAUTHORIZED', 'anonymous callers into none', undef,
        channelId => $general);

$n->psql("UPDATE channels SET archived_at = now() WHERE id = '$channel'");
refused(403, 'FORBIDDEN', 'not into an archived channel', $member,
        channelId => $channel);

my $start = init($member, 'text/plain', channelId => $private);
$n->put(path_of($start->json->{uploadUrl}), body => 'content of text/plain',
        headers => $start->json->{headers});
$n->psql("DELETE FROM channel_members WHERE channel_id = '$private'");
is_error($n->post('/api/upload/complete',
                  { fileId => $start->json->{fileId} },
                  token => $member->{token}), 403, 'FORBIDDEN',
         'who leaves the channel meanwhile cannot complete');
$n->psql("INSERT INTO channel_members VALUES ('$private', '$member->{id}')");

my $message = $n->psql("INSERT INTO messages (channel_id, user_id, content)
    VALUES ('$general', '$member->{id}', 'look') RETURNING id");
$r = upload($member, 'image/png', messageId => $message);
is($r->json->{attachment}{messageId}, $message, 'a file of a message');
is($r->json->{attachment}{channelId}, $general, 'is in its channel');
is($n->psql("SELECT has_image FROM messages WHERE id = '$message'"), 't',
   'which knows of it');
refused(403, 'FORBIDDEN', 'not to a message of others', $other,
        messageId => $message);
refused(404, 'NOT_FOUND', 'not to one of another channel', $member,
        messageId => $message, channelId => $private);

$path = path_of($r->json->{attachment}{url});
is($n->get($path)->status, 200, 'it can be read');
$n->psql("UPDATE messages SET deleted_at = now() WHERE id = '$message'");
is_error($n->get($path), 404, 'NOT_FOUND', 'until its message is deleted');


# Files are found.

upload($member, 'text/plain', channelId => $general,
       filename => 'quarterly report.txt');
$r = $n->get('/api/search?q=quarterly');
my ($found) = grep { $_->{type} eq 'files' } @{ $r->json->{items} };
is($found->{title}, 'quarterly report.txt', 'a public file is found');
is($found->{metadata}{mimeType}, 'text/plain', 'with its type');

upload($member, 'text/plain', channelId => $private,
       filename => 'hushed report.txt');
sub finds {
    my $account = shift;
    my $r = $n->get('/api/search?q=hushed',
                    $account ? (token => $account->{token}) : ());
    return scalar grep { $_->{type} eq 'files' } @{ $r->json->{items} };
}
is(finds($member), 1, 'a private one by members');
is(finds($other), 0, 'by others not');
is(finds(), 0, 'nor by anonymous callers');

my ($private_item) = @{ $n->get('/api/search?q=hushed',
                                token => $member->{token})->json->{items} };
my $found_url = $private_item->{metadata}{url} // '';
like($found_url, qr/signature=/, 'search gives a fresh link')
    and is($n->get(path_of($found_url))->status, 200, 'that is good');


# A file that the disk lost.

$r    = upload($member, 'text/plain', channelId => $general);
$path = path_of($r->json->{attachment}{url});
my ($key) = $n->psql("SELECT storage_key FROM attachments
                       WHERE id = '" . $r->json->{attachment}{id} . "'");
unlink $n->home . "/files/$key" or die "unlink: $!\n";
$r = $n->get($path);
is_error($r, 404, 'NOT_FOUND', 'a file that is lost');
is($r->header('content-disposition'), undef, 'is no download');
like($n->error_log, qr/recorded, but not in the store/, 'is logged');

finish();
