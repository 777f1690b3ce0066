# No token, secret or body of a webhook comes into any log, whoever writes the
# line: nginx, its limits, the module, at the level that is shipped and below.

use strict;
use warnings;

use lib 't/lib';

use Digest::SHA qw(hmac_sha256_hex);
use Test::More;

use NchatTest;
use NchatTest::Chat;

my $secret = 'SECRETwebhookKEY';

for my $level (qw(notice info)) {
    my $n = NchatTest->new(
        limits => 1, own_postgres => $level eq 'notice',
        http   => 'nchat_rate_limit webhook 1000;
                   nchat_postgres_timeout queue=1s connect=1s fast=1s;',
        set    => {
            client_body_timeout => 'client_body_timeout 1s;',
            error_log      => "error_log logs/error.log $level;",
            limit_req_zone =>
                'limit_req_zone $binary_remote_addr zone=nchat_req:1m rate=1r/s;',
            limit_req      => 'limit_req zone=nchat_req burst=60 nodelay;',
            limit_conn     => 'limit_conn nchat_conn 3;'
        });
    my $hook = webhook($n, channel($n, 'logs'), secret => $secret);
    my $path = $hook->{path};
    my $args = "/api/webhook/$hook->{id}?token=$hook->{token}";

    my $text = 'BODYOFDELIVERY';
    my $body = "{\"content\":\"$text\"}";
    my %sign = ('X-Webhook-Signature' => hmac_sha256_hex($body, $secret));

    for my $p ($path, $args) {
        is_ok($n->http('POST', $p, body => $body, headers => \%sign),
              "$level: a delivery");
        is($n->http('GET', $p)->status, 200, 'GET');
        is($n->http('POST', $p, body => "$body!")->status, 400, 'broken JSON');
        is($n->http('POST', $p, body => '{"content":""}')->status, 400,
           'invalid');
        is($n->http('POST', $p, body => $text x 80_000)->status, 413,
           'too large');
        is($n->http('POST', $p, body => $body, headers =>
                    { 'X-Webhook-Signature' =>
                      scalar reverse $sign{'X-Webhook-Signature'} })
             ->status, 401, 'a wrong signature');
        is($n->http('DELETE', $p)->status, 405, 'a wrong method');
        is($n->http('POST', $p . 'x', body => $body)->status, 401,
           'a wrong token');
    }

    # Other ways to write the same path.

    for my $p ("/api/./webhook/$hook->{id}/$hook->{token}",
               "//api//webhook/$hook->{id}/$hook->{token}",
               "/api/x/../webhook/$hook->{id}/$hook->{token}",
               "/api/%77ebhook/$hook->{id}/$hook->{token}",
               "/api/webhook%2f$hook->{id}/$hook->{token}",
               "/%61pi/webhook/$hook->{id}/$hook->{token}",
               "/api/webhook/$hook->{id}/$hook->{token}/",
               "/api/webhook/$hook->{id}/$hook->{token}?a=$secret",
               "/api/webhook/$hook->{id}/$hook->{token}#x",
               "/api/webhook/$hook->{token}",
               "/api/webhook/$hook->{id}/x/$hook->{token}",
               "http://h/api/webhook/$hook->{id}/$hook->{token}",
               "/webhook/$hook->{id}/$hook->{token}",
               "/API/Webhook/$hook->{id}/$hook->{token}",
               "/v1/webhook/$hook->{token}",
               "/api/webhook/../webhook/x/$hook->{token}",
               "$args&x=%zz") {
        $n->raw("POST $p HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                . "Content-Length: " . length($body) . "\r\n\r\n$body");
    }

    # What nginx cannot read.  At the level "info", nginx says which line that
    # was before any module knows of the request.

    my $long = 'x' x 9000;
    $n->raw("$_\r\n\r\n") for $level eq 'info' ? () : (
        "POST $path%00 HTTP/1.1\r\nHost: h", "POST $path", "POST $path HTTP/9.9", "POST $path HTTP/1.1 x",
        "PO ST $path HTTP/1.1\r\nHost: h", "post $path HTTP/1.1\r\nHost: h",
        "POST $path$long HTTP/1.1\r\nHost: h",
        "POST $path HTTP/1.1\r\nHost: h\r\nX-Long: $long$long$long$long",
        "POST $path HTTP/1.1", "POST $path HTTP/1.1\r\nHost: a\r\nHost: b",
        "POST $path HTTP/1.1\r\nHost: ../x",
        "POST $path HTTP/1.1\r\nHost: h\r\nContent-Length: x",
        "POST $path HTTP/1.1\r\nHost: h\r\nBad Header: $secret",
        "POST $path HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        "POST $args HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
        . "Transfer-Encoding: chunked");

    # A body that does not come, a client that leaves.

    my @open = map {
        my $c = $n->connection(timeout => 3);
        $c->queue('POST', "POST $path HTTP/1.1\r\nHost: h\r\n"
                          . "Content-Length: 1000\r\n\r\n{\"content\":\"$text");
        $c->send(undef, '');
        $c;
    } 1 .. 6;
    wait_for(sub { !grep { !$_->is_closed_within(0.1) } @open }, 5);

    # limit_req and limit_conn.

    my @answers = $n->parallel(map { [ 'POST', $path, body => $body,
                                       headers => \%sign ] } 1 .. 100);
    ok(scalar(grep { $_ && $_->status == 429 } @answers), 'over a limit');

    # A database that is away.

    if ($level eq 'notice') {
        $n->stop_postgres;
        wait_for(sub { $n->http('POST', $path, body => $body)->status == 503 },
                 10);
        $n->http('GET', $args);
        $n->start_postgres;
        wait_for(sub { $n->http('GET', $args)->status == 200 }, 10);
    }

    $n->get('/api/health', headers => { 'X-Request-Id' => 'the-last' });
    ok(wait_for(sub { $n->access_log =~ /the-last/ }, 10),
       'the access log is complete');
    like($n->error_log, qr{webhook/$hook->{id}/\*\*\*}, "$level: lines say so")
        if $level eq 'info';
    like($n->access_log, qr{/api/webhook/$hook->{id}/\*\*\* },
         'the access log names the webhook');

    for my $log ('error', 'access') {
        my $lines = $log eq 'error' ? $n->error_log : $n->access_log;

        for my $never ($hook->{token}, substr($hook->{token}, 0, 20), $secret,
                       $text, $sign{'X-Webhook-Signature'}) {
            my @found = grep { /\Q$never/i } split /\n/, $lines;
            ok(!@found, "$level: $never is not in the $log log")
                or diag(join "\n", map { substr $_, 0, 300 }
                                   @found[0 .. ($#found > 4 ? 4 : $#found)]);
        }
    }

    my $rows = $n->psql('SELECT * FROM webhook_deliveries')
               . $n->psql('SELECT * FROM audit_log');
    unlike($rows, qr/\Q$hook->{token}\E|\Q$secret/,
           'nor in a record of deliveries');
}

finish();
