# Webhooks: deliveries, what they are checked for, and what stays of them.

use strict;
use warnings;
use utf8;

use lib 't/lib';

use Digest::SHA qw(hmac_sha1_hex hmac_sha256_hex);
use Encode ();
use Test::More;

use NchatTest;
use NchatTest::Chat;

my $n = NchatTest->new;
my $general = channel($n, 'deployments');
my $hook    = webhook($n, $general, name => 'CI');
my $nobody  = '00000000-0000-4000-8000-000000000000';

sub messages {
    return $n->psql("SELECT count(*) FROM messages
                      WHERE channel_id = '$general'") + 0;
}

sub last_delivery {
    my ($row) = $n->rows("SELECT outcome, http_status, error, message_id, ip,
                                 request_id FROM webhook_deliveries
                           ORDER BY created_at DESC LIMIT 1");
    my %row;
    @row{qw(outcome status error message ip request)} = @$row;
    return \%row;
}


# A delivery, by both forms of the address.

my $r = $n->post($hook->{path}, { content => 'Deployment successful!',
                                  username => 'CI/CD Bot' },
                 headers => { 'X-Request-Id' => 'delivery-1' });
is_ok($r, 'a delivery');
is($r->json->{channelId}, $general, 'its channel');
like($r->json->{messageId}, qr/^[0-9a-f-]{36}$/, 'its message');
is_deeply($r->json->{data}, { map { $_ => $r->json->{$_} }
                              qw(messageId channelId) },
          'the payload is under data too');
is_deeply([ $n->rows("SELECT content, author_name, webhook_id, channel_id
                        FROM messages
                       WHERE id = '$r->{json}{messageId}'") ],
          [ [ 'Deployment successful!', 'CI/CD Bot', $hook->{id}, $general ] ],
          'the message is there');
is_deeply(last_delivery(),
          { outcome => 'delivered', status => 200, error => '',
            message => $r->json->{messageId}, ip => '127.0.0.1',
            request => 'delivery-1' }, 'the record is there');

is_ok($n->post("/api/webhook/$hook->{id}?token=$hook->{token}",
               { content => 'with the token as an argument' }),
      'the token as an argument');
is_ok($n->post("/api/webhook/\U$hook->{id}\E/$hook->{token}/",
               { content => 'UUIDs have no case' }),
      'an id in upper case, a slash at the end');
is_ok($n->http('POST', $hook->{path}, body => '{"content":"text/plain"}',
               headers => { 'Content-Type' => 'text/plain' }),
      'whatever the type');
is_ok($n->http('POST', $hook->{path}, chunked => 7,
               body => '{"content":"in chunks of seven bytes"}'), 'chunked');

my $search = $n->get('/api/search?q=%22chunks+of+seven%22');
is(eval { $search->json->{items}[0]{content} // $search->json->{items}[0]{snippet} },
   'in chunks of seven bytes', 'found by search at once')
    or diag($search->summary);


# What GET says.

$r = $n->get($hook->{path});
is_ok($r, 'GET');
is($r->json->{id}, $hook->{id}, 'id');
is($r->json->{name}, 'CI', 'name');
is($r->json->{channel_id}, $general, 'channel_id');
is($r->json->{status}, 'active', 'status');
like($r->json->{$_}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, $_)
    for qw(created_at last_used_at);
unlike($r->body, qr/token|secret/i, 'nothing secret in it');
is($n->head($hook->{path})->status, 200, 'HEAD');

my $fresh = webhook($n, $general);
ok(!exists $n->get($fresh->{path})->json->{last_used_at},
   'a webhook that was never used has no last_used_at');
is_ok($n->get("/api/webhook/$hook->{id}?token=$hook->{token}"),
      'GET with the token as an argument');
is($n->options($hook->{path})->header('allow'), 'GET, HEAD, POST, OPTIONS',
   'OPTIONS');
is_error($n->delete($hook->{path}), 405, 'METHOD_NOT_ALLOWED', 'DELETE');


# Who is refused.

my $content = { content => 'no' };
my $before  = messages();

is_error($n->post("/api/webhook/$nobody/$hook->{token}", $content), 404,
         'NOT_FOUND', 'an unknown id');
is_error($n->post("/api/webhook/nonsense/$hook->{token}", $content), 404,
         'NOT_FOUND', 'an id that is none');
is_error($n->get("/api/webhook/$nobody/$hook->{token}"), 404, 'NOT_FOUND',
         'GET of an unknown id');

$r = $n->post("/api/webhook/$hook->{id}/wrong", $content);
is_error($r, 401, 'INVALID_TOKEN', 'a wrong token');
like($r->header('www-authenticate'), qr/^Bearer/, 'WWW-Authenticate');
is(last_delivery()->{status}, 401, 'it is recorded');
is_error($n->post("/api/webhook/$hook->{id}", $content), 401, 'INVALID_TOKEN',
         'no token');
is_error($n->post("/api/webhook/$hook->{id}/$fresh->{token}", $content), 401,
         'INVALID_TOKEN', q(another webhook's token));
is_error($n->post("/api/webhook/$hook->{id}?token=$hook->{token}%20",
                  $content), 401, 'INVALID_TOKEN', 'a token and a space');
is_error($n->get("/api/webhook/$hook->{id}/wrong"), 401, 'INVALID_TOKEN',
         'GET with a wrong token');

my $closed = webhook($n, $general);
$n->psql("UPDATE webhooks SET status = 'disabled' WHERE id = '$closed->{id}'");
is_error($n->post($closed->{path}, $content), 400, 'BAD_REQUEST',
         'not active');
is($n->get($closed->{path})->json->{status}, 'disabled',
   'GET tells that it is not active');

my $archive = channel($n, 'archive');
my $old     = webhook($n, $archive);
$n->psql("UPDATE channels SET archived_at = now() WHERE id = '$archive'");
is_error($n->post($old->{path}, $content), 400, 'BAD_REQUEST',
         'an archived channel');
is(last_delivery()->{outcome}, 'refused', 'recorded as refused');


# What a delivery may hold.

my $face = "\x{1F600}";

sub refused {
    my ($data, $field, $constraint, $name) = @_;
    my $r = $n->post($hook->{path}, $data);

    is_error($r, 400, 'VALIDATION_ERROR', $name) or return;
    is("@{$r->json->{details}}{qw(field constraint)}", "$field $constraint",
       "$name: field and constraint");
    like($r->json->{error}, qr/^Validation failed: /, "$name: the sentence");
}

refused({}, 'content', 'required', 'no content');
refused({ content => '' }, 'content', 'length', 'an empty content');
refused({ content => 'x' x 2001 }, 'content', 'length', '2001 characters');
refused({ content => $face x 2001 }, 'content', 'length',
        '2001 characters of four bytes');
refused({ content => 7 }, 'content', 'type', 'a number as content');
refused({ content => undef }, 'content', 'type', 'null as content');
refused({ %$content, embeds => [ map { {} } 1 .. 11 ] }, 'embeds', 'length',
        '11 embeds');
refused({ %$content, embeds => {} }, 'embeds', 'type', 'embeds as an object');
refused({ %$content, embeds => ['text'] }, 'embeds', 'type',
        'an embed that is no object');
refused({ %$content, attachments => 'file' }, 'attachments', 'type',
        'attachments as a string');
refused({ %$content, username => 'x' x 81 }, 'username', 'length',
        'a long username');
refused({ %$content, avatar_url => 'javascript:alert(1)' }, 'avatar_url',
        'format', 'an avatar that is no web address');
refused({ %$content, avatar_url => "http://h/" . 'x' x 2048 }, 'avatar_url',
        'length', 'a long avatar_url');
is(last_delivery()->{error},
   'Validation failed: avatar_url must be at most 2048 characters',
   'the record says why') or diag(last_delivery()->{error});

is_error($n->http('POST', $hook->{path}, body => '{"content":'), 400,
         'BAD_REQUEST', 'broken JSON');
is(last_delivery()->{status}, 400, 'broken JSON is recorded');
is_error($n->http('POST', $hook->{path}, body => '["content"]'), 400,
         'BAD_REQUEST', 'not an object');
is_error($n->http('POST', $hook->{path}), 400, 'BAD_REQUEST', 'no body');
is_error($n->http('POST', $hook->{path}, body => 'x',
                  headers => { 'Content-Type' => 'multipart/form-data' }),
         415, 'UNSUPPORTED_MEDIA_TYPE', 'multipart');
is_error($n->http('POST', $hook->{path}, body => '{"content":"x"}',
                  headers => { 'Content-Encoding' => 'gzip' }),
         415, 'UNSUPPORTED_MEDIA_TYPE', 'an encoded body');
is(last_delivery()->{status}, 415, 'which is recorded');
is_error($n->http('POST', $hook->{path}, body => 'x' x 1_100_000), 413,
         'PAYLOAD_TOO_LARGE', 'over 1 MiB');
is_error($n->http('POST', "/api/webhook/$nobody/x", body => '{'), 404,
         'NOT_FOUND', 'broken JSON for an unknown webhook is 404');
is_error($n->http('POST', "/api/webhook/$hook->{id}/x", body => '{'), 401,
         'INVALID_TOKEN', 'and for a wrong token 401');
is(messages(), $before, 'no message came of any of them');

$r = $n->post($hook->{path}, {
    content => $face x 2000, username => $face x 80,
    avatar_url => 'https://example.com/a.png', color => 'unknown member',
    embeds => [ map { { title => "n$_" } } 1 .. 10 ],
    attachments => [ 'https://example.com/log.txt', { id => 1.5 } ] });
is_ok($r, '2000 characters of four bytes, 10 embeds');
is_deeply([ $n->rows("SELECT char_length(content), char_length(author_name),
                             author_avatar, jsonb_array_length(embeds),
                             embeds -> 9 ->> 'title', attachments
                        FROM messages WHERE id = '$r->{json}{messageId}'") ],
          [ [ 2000, 80, 'https://example.com/a.png', 10, 'n10',
              '["https://example.com/log.txt", {"id": 1.5}]' ] ],
          'all of it is stored');


# Signatures.

my $secret = 'geheim ü';
my $signed = webhook($n, $general, secret => $secret);
my $strict = webhook($n, $general, secret => $secret, required => 1);
our $body  = '{"content": "signed",  "username":"x"}';

sub sign {
    my ($hook, %headers) = @_;
    return $n->http('POST', $hook->{path}, body => $body,
                    headers => { 'Content-Type' => 'application/json',
                                 %headers });
}

my $bytes  = Encode::encode('UTF-8', $secret);
my $sha256 = hmac_sha256_hex($body, $bytes);
my $sha1   = hmac_sha1_hex($body, $bytes);

for my $h ($signed, $strict) {
    my $kind = $h == $strict ? 'required' : 'optional';

    is_ok(sign($h, 'X-Webhook-Signature' => "sha256=$sha256"),
          "$kind: X-Webhook-Signature");
    is_ok(sign($h, 'X-Webhook-Signature' => $sha256), "$kind: without sha256=");
    is_ok(sign($h, 'X-Hub-Signature-256' => "sha256=\U$sha256"),
          "$kind: X-Hub-Signature-256");
    is_ok(sign($h, 'X-Hub-Signature' => "sha1=$sha1"),
          "$kind: X-Hub-Signature");
    is_ok(sign($h, 'X-Hub-Signature' => "sha1=$sha1",
               'X-Hub-Signature-256' => "sha256=$sha256"), "$kind: both");

    $before = messages();
    is_error(sign($h, 'X-Hub-Signature-256' => $_), 401, 'INVALID_TOKEN',
             "$kind: wrong, " . ($_ || 'empty'))
        for 'sha256=' . '0' x 64, 'sha256=' . substr($sha256, 0, 62), '',
            $sha256, "sha1=$sha1", 'sha256=' . 'x' x 64;
    is_error(sign($h, 'X-Hub-Signature' => "sha1=$sha1",
                  'X-Hub-Signature-256' => 'sha256=' . '0' x 64),
             401, 'INVALID_TOKEN', "$kind: one of two is wrong");
    is(messages(), $before, "$kind: no message came of them");
}

# The signature comes before whatever the body says.

for my $case (['{"content": 5}', 'VALIDATION_ERROR'],
              ['{"content"', 'BAD_REQUEST'])
{
    local $body = $case->[0];
    my %right = ('X-Hub-Signature-256' =>
                     'sha256=' . hmac_sha256_hex($body, $bytes));
    my %wrong = ('X-Hub-Signature-256' => 'sha256=' . '0' x 64);

    is_error(sign($signed, %wrong), 401, 'INVALID_TOKEN',
             "$case->[1]: a wrong signature");
    is_error(sign($strict), 401, 'INVALID_TOKEN', "$case->[1]: without");
    is_error(sign($strict, %right), 400, $case->[1], "$case->[1]: signed");
    is(last_delivery()->{status}, 400, 'recorded');
    is_error(sign($signed), 400, $case->[1], "$case->[1]: need not be signed");
}

is_ok(sign($signed), 'optional: without');
is_error(sign($strict), 401, 'INVALID_TOKEN', 'required: without');
is(last_delivery()->{error}, 'Webhook signature required', 'recorded');
is_error(sign($hook, 'X-Webhook-Signature' => "sha256=$sha256"), 401,
         'INVALID_TOKEN', 'a signature for a webhook without a secret');
is(last_delivery()->{status}, 401, 'recorded');
is_error(sign({ path => "/api/webhook/$nobody/x" },
              'X-Webhook-Signature' => $sha256), 404, 'NOT_FOUND',
         'a signature for an unknown webhook');
is_error(sign({ path => "/api/webhook/$signed->{id}/x" },
              'X-Webhook-Signature' => $sha256), 401, 'INVALID_TOKEN',
         'a right signature with a wrong token');
is(last_delivery()->{error}, 'Invalid webhook token', 'recorded as that');


# Idempotency.

sub once {
    my ($key, $data, %headers) = @_;
    return $n->post($hook->{path}, $data,
                    headers => { 'Idempotency-Key' => $key, %headers });
}

$before = messages();
my $first  = once('key-1', { content => 'once' });
my $second = once('key-1', { content => 'once' });
is_ok($first, 'a delivery with a key');
is_deeply($second->json, $first->json, 'again: the same answer');
is(messages(), $before + 1, 'and one message');
is(last_delivery()->{outcome}, 'repeated', 'recorded as a repetition');
is_error(once('key-1', { content => 'other' }), 409, 'CONFLICT',
         'the key with another body');
is_deeply($n->post($hook->{path}, { content => 'once' },
                   headers => { 'webhook-id' => 'key-1' })->json,
          $first->json, 'webhook-id is the same');
is_error(once('', { content => 'x' }), 400, 'VALIDATION_ERROR',
         'an empty key');
is_error(once('k' x 256, { content => 'x' }), 400, 'VALIDATION_ERROR',
         'a long key');
is_error(once("\xff", { content => 'x' }), 400, 'BAD_REQUEST',
         'a key that is no text');
isnt($n->post($fresh->{path}, { content => 'once' },
              headers => { 'Idempotency-Key' => 'key-1' })
       ->json->{messageId}, $first->json->{messageId},
     'the key of another webhook is another one');

$before = messages();
my @all = $n->parallel(map { [ 'POST', $hook->{path},
                               json => { content => 'all at once' },
                               headers => { 'Idempotency-Key' => 'key-2' } ] }
                       1 .. 50);
my %ids = map { ($_->json->{messageId} // $_->summary) => 1 } @all;
is(scalar(keys %ids), 1, '50 at once: one answer') or diag(join ' ', keys %ids);
is(messages(), $before + 1, 'and one message');

finish();
