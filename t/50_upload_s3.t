# Uploads to S3, against OpenStack Swift, which verifies every signature.

use strict;
use warnings;
use lib 't/lib';

use Test::More;
use NchatTest;
use NchatTest::Swift;

my $missing = NchatTest::Swift::missing();

if ($missing) {
    diag("S3 IS NOT TESTED: $missing cannot be installed");
    plan(skip_all => "needs the $missing");
}

my $swift = NchatTest::Swift->new;
is(($swift->request('PUT', '/chat'))[0], 200, 'a bucket');

sub key_file {
    my ($home, $secret) = @_;

    NchatTest::spew("$home/s3.key", "[default]\n"
        . 'aws_access_key_id = ' . $swift->access_key . "\n"
        . "aws_secret_access_key = $secret\n");
}

sub instance {
    my (%options) = @_;
    my $once = delete $options{once} // 'off';

    my $temp = File::Temp->newdir('nchat-s3-XXXXXX', TMPDIR => 1);
    chmod 0755, "$temp";
    mkdir "$temp/home";
    key_file("$temp/home", $swift->secret_key);

    my $n = NchatTest->new(
        home => "$temp/home",
        http => 'nchat_storage s3 endpoint=' . $swift->url
                . ' bucket=chat region=us-east-1 style=path'
                . " key_file=s3.key once=$once;\n"
                . ($options{lifetime}
                   ? "nchat_upload_lifetime $options{lifetime};\n" : ''),
        $options{share} ? (share => $options{share}) : ()
    );
    $n->{s3_temp} = $temp;

    return $n;
}

my $n     = instance();
my $user  = $n->owner;
my $other = $n->account('member');
my $body  = join '', map { chr rand 256 } 1 .. 300_000;

sub init {
    my (%data) = @_;
    return $n->post('/api/upload', { filename => "d\xe4ten 1.zip",
        contentType => 'application/zip', size => length $body, %data },
        token => $user->{token});
}

sub curl_put {
    my ($url, $body, %headers) = @_;
    my $file = File::Temp->new;
    binmode $file;
    print $file $body;
    $file->flush;

    return $n->curl('-o', '/dev/null', '-w', '%{http_code}', '-T',
                    $file->filename, map({ ('-H', "$_: $headers{$_}") }
                                         sort keys %headers), $url);
}

sub complete {
    my ($id, $account) = @_;
    return $n->post('/api/upload/complete', { fileId => $id },
                    token => ($account // $user)->{token});
}

sub ready {
    my ($check) = grep { $_->{name} eq 'storage' }
                  @{ $_[0]->get('/api/ready')->json->{checks} };
    return $check->{ready};
}

ok(ready($n), 'the store is ready');
is($n->get('/api/upload')->json->{status}, 'available', 'and available');


# From the beginning to the end, into a private channel.

my $channel = $n->psql("INSERT INTO channels (name, type)
                        VALUES ('board', 'private') RETURNING id");
$n->psql("INSERT INTO channel_members VALUES ('$channel', '$user->{id}')");

my $start = init(channelId => $channel);
is($start->status, 201, 'an upload is announced');
my ($id, $key, $url, $headers)
    = @{ $start->json }{qw(fileId key uploadUrl headers)};
my $service = $swift->url;

like($url, qr{^\Q$service\E/chat/\Q$key\E\?X-Amz-Algorithm=AWS4-HMAC-SHA256&},
     'with a presigned URL of the service');
is($start->json->{bucket}, 'chat', 'its bucket');
is($headers->{'Content-Type'}, 'application/zip', 'and headers');

is_error(complete($id), 409, 'CONFLICT', 'not completed before it is there');

is(curl_put($url, $body, %$headers, 'Content-Type' => 'text/html'), 403,
   'another type is refused by the service');
is(curl_put($url, "$body.", %$headers), 403, 'another size is');
is(curl_put($url =~ s/Signature=./Signature=x/r, $body, %$headers), 403,
   'another signature is');
is(curl_put($url =~ s/\.zip\?/.exe?/r, $body, %$headers), 403,
   'another key is');
is(curl_put($url, $body, %$headers), 200, 'the file itself is taken');

is_error(complete($id, $other), 404, 'NOT_FOUND', 'nobody else completes it');
my $r = complete($id);
is($r->status, 200, 'its owner completes it');
is($r->json->{attachment}{size}, length $body, 'with its size');
like($r->json->{etag}, qr/^"?[0-9a-f]{32}"?$/, "and the service's ETag");
is_deeply(complete($id)->json->{data}, $r->json->{data},
          'twice the same answer');

is(join(' ', map { $_->status } $n->parallel(map { ['POST',
    '/api/upload/complete', json => { fileId => $id }, token => $user->{token}
] } 1 .. 6)), join(' ', (200) x 6), 'also at once');


# Its download.

my $path = $r->json->{attachment}{url} =~ s{^http://localhost:\d+}{}r;
$r = $n->get($path);
is($r->status, 302, 'a download is a redirection');
my $location = $r->header('location');
like($location, qr{^\Q$service\E/chat/\Q$key\E\?.*X-Amz-Signature=},
     'to a presigned URL');
is($n->curl($location), $body, 'that gives the file');
like($n->curl('-o', '/dev/null', '-D', '-', $location),
     qr/^Content-Disposition: attachment; filename="d_ten 1\.zip"; filename\*=UTF-8''d%C3%A4ten%201\.zip\r$/mi,
     'under its name');
is_error($n->get($path =~ s/\?.*//r), 403, 'FORBIDDEN',
         'not without our own signature');


# The local store's way is closed.

is_error($n->put("/api/upload/content/$id?key=$key&type=application%2Fzip"
                 . "&size=1&expires=9999999999&signature=" . '0' x 64,
                 body => 'x', headers => $headers), 404, 'NOT_FOUND',
         'nothing is put here');


# What was never completed goes, when somebody comes by.

my $short = instance(lifetime => '1s', share => $n);
$start = $short->post('/api/upload', { filename => 'a.txt',
    contentType => 'text/plain', size => 5 }, token => $user->{token});
my $gone = $start->json->{key};
is(curl_put($start->json->{uploadUrl}, 'hello', %{ $start->json->{headers} }),
   200, 'an upload that nobody completes');
is(($swift->request('GET', "/chat/$gone"))[1], 'hello', 'is there');

ok(wait_for(sub {
    Time::HiRes::sleep(0.5);
    $short->post('/api/upload', { filename => 'a.txt',
        contentType => 'text/plain', size => 5 }, token => $user->{token});
    ($swift->request('GET', "/chat/$gone"))[0] == 404
}, 20), 'and is removed when its time is over');
ok(wait_for(sub { !$n->psql("SELECT count(*) FROM uploads
                              WHERE storage_key = '$gone'") }, 5),
   'its row, too');
is_error($short->post('/api/upload/complete',
                      { fileId => $start->json->{fileId} },
                      token => $user->{token}), 404, 'NOT_FOUND',
         'it cannot be completed any more');


# Only once, for services that know how.

my $once = instance(once => 'on', share => $n);
$start = $once->post('/api/upload', { filename => 'a.txt',
    contentType => 'text/plain', size => 5 }, token => $user->{token});
like($start->json->{uploadUrl},
     qr/SignedHeaders=content-length%3Bcontent-type%3Bhost%3Bif-none-match&/,
     'once=on signs a condition');
is_deeply($start->json->{headers},
          { 'Content-Type' => 'text/plain', 'If-None-Match' => '*' },
          'and tells the client');


# A wrong key, a bucket that is not, a service that is away.

my $wrong = $short;
key_file($wrong->home, 'wrong');
$wrong->reload;
ok(wait_for(sub { !ready($wrong) }, 10), 'not ready with a wrong key');
is($wrong->get('/api/upload')->json->{status}, 'unavailable',
   'and unavailable');
$start = $wrong->post('/api/upload', { filename => 'a.txt',
    contentType => 'text/plain', size => 5 }, token => $user->{token});
is(curl_put($start->json->{uploadUrl}, 'hello', %{ $start->json->{headers} }),
   403, 'its URLs are refused');
is_error($wrong->post('/api/upload/complete',
                      { fileId => $start->json->{fileId} },
                      token => $user->{token}), 503, 'SERVICE_UNAVAILABLE',
         'completing is an error of ours');

key_file($once->home, $swift->secret_key);
my $conf = $once->home . '/conf.d/test.conf';
NchatTest::spew($conf, NchatTest::Cluster::slurp($conf)
                       =~ s/bucket=chat/bucket=none/r);
$once->reload;
ok(wait_for(sub { !ready($once) }, 10), 'not ready without a bucket');

$start = init();
curl_put($start->json->{uploadUrl}, $body, %{ $start->json->{headers} });
$swift->stop;
is_error(complete($start->json->{fileId}), 503, 'SERVICE_UNAVAILABLE',
         'nothing is completed while the service is away');

finish();
