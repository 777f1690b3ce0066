# make demo fills a running instance, and once more if asked again.

use strict;
use warnings;

use lib 't/lib';
use Test::More;

use NchatTest;

my $n = NchatTest->new(limits => 1);

sub demo {
    local $ENV{NCHAT_HOME} = $n->home;

    my $text = `bin/nchat-demo 2>&1`;
    return ($? >> 8, $text);
}

my ($exit, $text) = demo();
is($exit, 0, 'nchat-demo with rate limits on') or diag($text);
like($text, qr/6 people, 4 channels, 300 messages, 4 files/, 'what it made');

my $ada = $n->signin({ email => 'ada@example.com', password => 'Passw0rd' });
is($ada->{role}, 'owner', 'the first one is the owner');

my $found = $n->get('/api/search?q=deployment');
cmp_ok($found->json->{total}, '>', 20, 'messages are found');

$found = $n->get('/api/search?q=roadmap');
ok((grep { $_->{type} eq 'files' && $_->{title} eq 'roadmap.md'
           && $_->{channelName} eq 'engineering' }
    @{ $found->json->{items} }), 'files are found, by anybody');

my ($messages) = $n->get('/api/metrics')->body =~ /^nchat_messages_total (\d+)/m;
is($messages, 300, 'metrics counted the messages');

finish();
