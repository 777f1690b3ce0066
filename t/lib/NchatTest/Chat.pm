package NchatTest::Chat;

# Channels, members and webhooks for tests, made by the functions of the
# operator's tool.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Encode ();
use Exporter 'import';

our @EXPORT = qw(channel join_channel leave_channel webhook);

my $count = 0;

# channel(INSTANCE, NAME, OPTION => VALUE...): its id. Options: type (public),
# members (accounts), topic, description.
sub channel {
    my ($n, $name, %options) = @_;
    my $type = $options{type} // 'public';
    my @values = map { defined $_ ? literal($_) : 'NULL' }
                 $type eq 'direct' ? undef : $name, $type, $options{topic},
                 $options{description};

    my $id = $n->psql('INSERT INTO channels (name, type, topic, description)'
                      . ' VALUES (' . join(', ', @values) . ') RETURNING id');
    ($id) = $id =~ /([0-9a-f-]{36})/;
    join_channel($n, $id, @{ $options{members} // [] });

    return $id;
}

sub join_channel {
    my ($n, $channel, @accounts) = @_;
    $n->psql("INSERT INTO channel_members (channel_id, user_id)
              VALUES ('$channel', '$_->{id}')") for @accounts;
}

sub leave_channel {
    my ($n, $channel, @accounts) = @_;
    $n->psql("DELETE FROM channel_members
               WHERE channel_id = '$channel' AND user_id = '$_->{id}'")
        for @accounts;
}

# webhook(INSTANCE, CHANNEL, OPTION => VALUE...): { id, token, secret, path }.
# Options: name, secret, required (a signature is).
sub webhook {
    my ($n, $channel, %options) = @_;
    my $number = ++$count;
    my $token  = sprintf 'TOKEN%03d%s', $number, sha256_hex("$$ $number");
    my $name   = literal($options{name} // "hook $number");
    my $secret = defined $options{secret} ? literal($options{secret}) : 'NULL';

    my $id = $n->psql('SELECT id FROM nchat_webhook_create('
                      . literal($channel) . ", $name, '" . sha256_hex($token)
                      . "', $secret, " . ($options{required} ? 'true' : 'false')
                      . ", '127.0.0.1', NULL)");
    ($id) = $id =~ /([0-9a-f-]{36})/;

    return { id => $id, token => $token, secret => $options{secret},
             path => "/api/webhook/$id/$token" };
}

sub literal {
    my $text = Encode::encode('UTF-8', shift);
    $text =~ s/'/''/g;
    return "'$text'";
}

1;
