# Webhooks in SQL: creation and audit, deliveries and their records,
# idempotency, refusals, and what the module's role may not do.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha256_hex);
use lib 't/lib', 't/sql/lib';

use List::Util qw(uniq);
use SqlTest;
use Test::More;

require './t/sql/chat_lib.pl';

my $db = chat_database();
my $hash = sha256_hex('token');

sub create {
    my %options = (channel => '#General', name => 'CI', secret => '',
                   signed => 'f', @_);

    return owner_call('nchat_webhook_create', @options{qw(channel name)}, $hash,
                      @options{qw(secret signed)}, '192.0.2.1', 'req-1');
}

sub deliver {
    my %options = (content => 'hello', token => $hash, signed => 'f', @_);

    return (calls('nchat_webhook_deliver', [
        @options{qw(id token signed content username avatar embeds attachments
                    key body_hash)}, '192.0.2.7', 'req-2']))[0];
}

# Creation.

my $answer = create();
is $answer->[0], 201, 'created';

my $webhook = $answer->[1]{webhook};
my $id = $webhook->{id};

is $webhook->{channelName}, 'general', 'in its channel, by name, any case';
ok !exists $webhook->{lastUsedAt}, 'never used';
unlike sql("SELECT entry FROM audit_log WHERE action = 'webhook_create'"),
    qr/$hash/, 'the audit record has no hash';
like sql("SELECT entry FROM audit_log WHERE action = 'webhook_create'"),
    qr/"requestId":"req-1"/, 'the audit record has the request';

is create(channel => 'nowhere')->[0], 404, 'unknown channel';
is create(name => ' ')->[0], 400, 'no name';
is create(signed => 't')->[1]{details}{field}, 'secret',
    'signatures need a secret';

sql("INSERT INTO channels (name, archived_at) VALUES ('old', now())");
is create(channel => 'old')->[0], 400, 'archived channel';

# Delivery.

$answer = deliver(id => $id, content => 'Straße ' . 'ü' x 1993,
                  username => 'Bot');
is $answer->[0], 200, 'delivered: 2000 characters, more bytes';

my $message = $answer->[1]{messageId};
is sql("SELECT author_name, char_length(content), in_public FROM messages "
       . "WHERE id = '$message'"), "Bot\t2000\tt", 'the message';
is sql("SELECT outcome, http_status, message_id, ip, request_id "
       . "FROM webhook_deliveries WHERE message_id = '$message'"),
   "delivered\t200\t$message\t192.0.2.7\treq-2", 'its record';
is found(q => 'straße')->{totals}{messages}, 1, 'found at once';

my ($get) = calls('nchat_webhook_get', [$id, $hash]);
is $get->[0], 200, 'get';
is_deeply [sort keys %{$get->[1]}],
    [qw(channel_id created_at id last_used_at name status)], 'its members';
is $get->[1]{last_used_at},
   sql("SELECT nchat_time(created_at) FROM messages WHERE id = '$message'"),
   'last used: now';

# Refusals, each recorded.

is deliver(id => $id, content => '')->[1]{details}{constraint}, 'length',
    'empty content';
is deliver(id => $id, content => 'x' x 2001)->[0], 400, 'long content';
is deliver(id => $id, token => sha256_hex('other'))->[1]{code},
    'INVALID_TOKEN', 'wrong token';
is deliver(id => id(9, 9))->[0], 404, 'unknown webhook';
is((calls('nchat_webhook_get', [$id, 'x']))[0][0], 401, 'get, wrong token');
is((calls('nchat_webhook_get', [id(9, 9), 'x']))[0][0], 404, 'get, unknown');

is sql("SELECT string_agg(http_status || ' ' || error, ', ' ORDER BY "
       . "created_at) FROM webhook_deliveries WHERE outcome = 'refused'"),
   '400 Validation failed: content must be 1-2000 characters, '
   . '400 Validation failed: content must be 1-2000 characters, '
   . '401 Invalid webhook token', 'records of refusals';
is sql('SELECT count(*) FROM messages'), 1, 'no message of them';

my $refusal = '{"error":"Bad","code":"BAD_REQUEST","details":{}}';
sub failed {
    my ($failed_id, $token) = @_;
    return (calls('nchat_webhook_failed', [$failed_id, $token, undef, 400,
                  $refusal, 'Bad', '192.0.2.7', 'req-3']))[0];
}
is failed($id, $hash)->[1]{error}, 'Bad', "the caller's own refusal";
is failed($id, 'x')->[0], 401, 'the token comes first';
is failed(id(9, 9), $hash)->[0], 404, 'and before it the webhook';
is sql("SELECT count(*) FROM webhook_deliveries WHERE request_id = 'req-3'"),
    2, 'recorded';

# Idempotency.

my @first = (id => $id, content => 'once', key => 'k', body_hash => 'a');
my $once = deliver(@first)->[1]{messageId};
is deliver(@first)->[1]{messageId}, $once, 'same key: the first answer';
is deliver(@first, body_hash => 'b')->[1]{code}, 'CONFLICT', 'another body';
is sql("SELECT count(*) FROM messages WHERE content = 'once'"), 1, 'one message';
is sql("SELECT count(*) FROM webhook_deliveries WHERE outcome = 'repeated'"),
    1, 'the repetition is recorded';
is deliver(@first, key => 'x' x 256)->[0], 400, 'a long key';

sql("UPDATE webhook_keys SET created_at = created_at - interval '23 hours 59 "
    . "minutes'");
is deliver(@first)->[1]{messageId}, $once, 'still, just before 24 hours';
sql("UPDATE webhook_keys SET created_at = created_at - interval '2 minutes'");
isnt deliver(@first, body_hash => 'b')->[1]{messageId}, $once,
    'anew after 24 hours, with any body';

sql("UPDATE webhook_keys SET created_at = created_at - interval '2 days'");
is module_sql('SELECT nchat_webhook_prune()'), 1, 'old keys are forgotten';

# The same key twenty times at once.

my @storm = at_once($db->{module}, map {
    ['nchat_webhook_deliver', $id, $hash, 'f', 'storm', (undef) x 4, 'storm',
     'a', undef, undef]
} 1 .. 20);
is scalar(grep { $_->{status} == 200 } @storm), 20, 'twenty at once';
is scalar(uniq(map { $_->{body}{messageId} } @storm)), 1, 'one answer';
is sql("SELECT count(*) FROM messages WHERE content = 'storm'"), 1,
    'one message';

# Links, files and images in what is delivered.

deliver(id => $id, content => 'picture https://example.com/',
        attachments => '[{"url":"https://example.com/a.PNG"}]');
deliver(id => $id, content => 'picture of none',
        attachments => '[{"url":"https://example.com/a.zip"}]');
is found(q => "picture has:$_->[0]")->{totals}{messages}, $_->[1],
    "has:$_->[0]" for ['link', 1], ['file', 2], ['image', 1];
is found(q => 'picture -has:image')->{totals}{messages}, 1, '-has:image';
is found(q => 'picture from:ci')->{totals}{messages}, 2, 'from: a webhook';

# Changes.

my $change = sub { owner_call('nchat_webhook_change', $id, @_[0 .. 3], '', '') };

is $change->(undef, undef, undef, 't')->[0], 400, 'signatures need a secret';
is $change->(undef, undef, 'key', 't')->[0], 200, 'secret and signatures';
is deliver(id => $id)->[0], 401, 'unsigned';
is deliver(id => $id, signed => 't')->[0], 200, 'signed';
is $change->('disabled', undef, undef, 'f')->[1]{webhook}{status}, 'disabled',
    'disabled';
is deliver(id => $id)->[1]{code}, 'BAD_REQUEST', 'not active';
is((calls('nchat_webhook_get', [$id, $hash]))[0][1]{status}, 'disabled',
    'get says so');
is $change->('active', sha256_hex('new'))->[0], 200, 'a new token';
is deliver(id => $id)->[0], 401, 'the old token';
is deliver(id => $id, token => sha256_hex('new'))->[0], 200, 'the new one';

sql("UPDATE channels SET archived_at = now() WHERE name = 'general'");
is deliver(id => $id, token => sha256_hex('new'))->[1]{error},
    "The webhook's channel is archived", 'archived channel';
sql('UPDATE channels SET archived_at = NULL');

is scalar @{owner_call('nchat_webhook_list')->[1]{webhooks}}, 1, 'list';
is owner_call('nchat_webhook_history', $id, 3)->[1]{deliveries}[0]{error},
    "The webhook's channel is archived", 'newest delivery first';

is owner_call('nchat_webhook_delete', $id, '', '')->[0], 200, 'deleted';
is owner_call('nchat_webhook_delete', $id, '', '')->[0], 404, 'once';
is deliver(id => $id, token => sha256_hex('new'))->[0], 404, 'unknown now';
is sql("SELECT string_agg(action, ' ' ORDER BY seq) FROM audit_log"),
    'webhook_create webhook_update webhook_update webhook_update '
    . 'webhook_delete', 'the audit log';

# The module's rights.

for my $statement ('UPDATE webhook_deliveries SET error = NULL',
                   'DELETE FROM webhook_deliveries',
                   'TRUNCATE webhook_deliveries',
                   'UPDATE webhooks SET secret = NULL',
                   "SELECT nchat_webhook_create('general', 'x', '$hash', '', "
                   . 'false, NULL, NULL)')
{
    like refusal($db->{module}, $statement), qr/permission denied/,
        "refused: $statement";
}

done_testing();
