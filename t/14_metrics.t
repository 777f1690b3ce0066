# /api/metrics: Prometheus' text format, what the contract lists, one count for
# all workers, and labels with bounded values.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n = NchatTest->new(limits => 1, workers => 3,
                       set => { limit_req => '', limit_conn => '' });

# metrics: { 'name{labels}' => value }, after a check of the format.
sub metrics {
    my $r = $n->get('/api/metrics');
    my (%value, %type, %help, $family, %closed);
    my @wrong;

    is($r->status, 200, 'metrics answer');
    like($r->header('content-type'), qr{^text/plain; version=0\.0\.4},
         'content type');

    for my $line (split /\n/, $r->body) {
        if ($line =~ /^# (HELP|TYPE) ([a-z_]+) (.+)$/) {
            my ($what, $name, $text) = ($1, $2, $3);
            push @wrong, "again: $line"
                if $what eq 'HELP' && $help{$name}++
                   || $what eq 'TYPE' && $type{$name};
            push @wrong, "no type: $line"
                if $what eq 'TYPE' && $text !~ /^(?:counter|gauge|histogram)$/;
            $type{$name} = $text if $what eq 'TYPE';
            $closed{$family}++ if defined $family && $family ne $name;
            push @wrong, "in pieces: $line" if $closed{$name};
            $family = $name;
        } elsif ($line =~ /^([a-z_]+)(\{(?:[a-z]+="[^"\\]*",?)+\})? (\d+(?:\.\d+)?)$/) {
            my ($name, $labels, $number) = ($1, $2 // '', $3);
            push @wrong, "not of $family: $line"
                if $name !~ /^\Q$family\E(?:_bucket|_sum|_count)?$/;
            push @wrong, "no type or help: $line"
                if !$type{$family} || !$help{$family};
            push @wrong, "no counter's name: $line"
                if $type{$family} eq 'counter' && $name !~ /_total$/;
            push @wrong, "twice: $line" if exists $value{"$name$labels"};
            $value{"$name$labels"} = $number;
        } else {
            push @wrong, "unknown: $line";
        }
    }

    is(join("\n", @wrong), '', 'the format is right');
    like($r->body, qr/\n\z/, 'the last line ends');

    # Buckets only rise, and the last one has all.
    for my $name (grep { /_bucket\{.*le="\+Inf"/ } keys %value) {
        my ($base, $labels) = $name =~ /^(\w+)_bucket\{(.*),le="\+Inf"\}$/;
        my @buckets = map { $value{$_} }
                      sort { ($a =~ /le="([\d.]+)"/)[0]
                             <=> ($b =~ /le="([\d.]+)"/)[0] }
                      grep { /^\Q${base}_bucket{$labels,le="\E[\d.]+"\}$/ }
                      keys %value;
        push @buckets, $value{$name};
        push @wrong, "$name falls"
            if grep { $buckets[$_] < $buckets[$_ - 1] } 1 .. $#buckets;
        push @wrong, "$name is not the count"
            if $value{$name} != $value{"${base}_count{$labels}"};
    }
    is(join("\n", @wrong), '', 'the histograms are right');

    return \%value;
}

my $owner = $n->owner;
my $before = metrics();


# What the contract lists.

ok(exists $before->{$_}, $_)
    for 'process_start_time_seconds', 'nchat_hashing', 'nchat_workers',
        map({ "nchat_signins_total{outcome=\"$_\"}" } qw(ok failed limited)),
        map({ "nchat_rate_limited_total{class=\"$_\"}" }
            qw(default upload search webhook coarse)),
        map({ "nchat_db_connections{lane=\"fast\",state=\"$_\"}" }
            qw(ready connecting down)),
        map({ ("nchat_db_inflight{lane=\"$_\"}",
               "nchat_db_waiting{lane=\"$_\"}") } qw(fast batch lock slow)),
        'nchat_db_connects_total', 'nchat_db_lost_total',
        'nchat_db_refused_total{reason="queue"}',
        'nchat_cache_total{cache="config",result="hit"}',
        'nchat_cache_total{cache="config",result="miss"}',
        'nchat_messages_total', 'nchat_uploads_total',
        'nchat_webhook_deliveries_total{outcome="ok"}',
        'nchat_db_query_duration_seconds_count{lane="lock"}';

cmp_ok(abs($before->{process_start_time_seconds} - time), '<', 60,
       'it started a moment ago');
is($before->{nchat_workers}, 3, 'three workers');


# One count for all workers.

$n->parallel(map { [ GET => '/api/health', from => "127.0.7.$_" ] } 1 .. 120);
$n->parallel(map { [ GET => '/api/config', from => '127.0.8.1' ] } 1 .. 80);
$n->parallel(map { [ GET => "/api/n$_", from => '127.0.8.2' ] } 1 .. 30);
$n->post('/api/auth/signin', { email => $owner->{email}, password => $_ })
    for $owner->{password}, 'wrong', ('x') x 5;
$n->http('BREW', '/api/config');
$n->head('/api/health');

my $after = metrics();

# more(NAME, BY): how much a counter has risen.
sub more {
    my ($name, $by) = @_;
    is(($after->{$name} // 0) - ($before->{$name} // 0), $by, "$name: $by more");
}

sub requests {
    my ($endpoint, $method, $class) = @_;
    return "nchat_http_requests_total{endpoint=\"$endpoint\","
           . "method=\"$method\",status=\"${class}xx\"}";
}

more(requests('/api/health', 'GET', 2), 121);    # with one HEAD
more(requests('/api/config', 'GET', 2), 60);
more(requests('/api/config', 'GET', 4), 20);
more(requests('other', 'other', 4), 31);
more(requests('/api/auth/signin', 'POST', 2), 1);
more(requests('/api/auth/signin', 'POST', 4), 6);
more('nchat_rate_limited_total{class="default"}', 20);
more('nchat_signins_total{outcome="ok"}', 1);
more('nchat_signins_total{outcome="failed"}', 5);
more('nchat_signins_total{outcome="limited"}', 1);
more('nchat_http_request_duration_seconds_count{endpoint="/api/health",'
     . 'method="GET"}', 121);
more('nchat_cache_total{cache="config",result="hit"}', 60);
is($after->{'nchat_db_connections{lane="fast",state="ready"}'}, 6,
   'connections of all workers: 3 times 2');
is($after->{'nchat_db_connections{lane="listen",state="ready"}'}, 1,
   'and one that listens');


# Labels are bounded: nothing of what clients send is in them.

is(scalar(grep { m{/api/n\d} || /BREW/ } keys %$after), 0,
   'no unknown path or method becomes a label');

my %endpoints = map { $_ => 1 } map { /endpoint="([^"]*)"/ ? $1 : () }
                keys %$after;
cmp_ok(scalar keys %endpoints, '<', 60, 'a few endpoints');
cmp_ok(scalar keys %$after, '<', 2000, 'a few series');


# They stay over a reload, and forget workers that are gone.

$n->reconfigure;
ok(wait_for(sub { $n->workers == 3 }, 5), 'new workers');
my $reloaded = metrics();
cmp_ok($reloaded->{ requests('/api/health', 'GET', 2) }, '>=',
       $after->{ requests('/api/health', 'GET', 2) }, 'counters go on');
is($reloaded->{process_start_time_seconds},
   $after->{process_start_time_seconds}, 'the start stays');
is($reloaded->{nchat_workers}, 3, 'three workers, again');


# Prometheus' own tool agrees, where it is installed.

SKIP: {
    my ($promtool) = grep { -x } map { "$_/promtool" }
                     split(/:/, $ENV{PATH}), 'build/tools';
    skip 'no promtool here (bin/nchat-deps --promtool)', 1 if !$promtool;

    my $file = File::Temp->new;
    print $file $n->get('/api/metrics')->body;
    $file->flush;
    my $says = `$promtool check metrics <$file 2>&1`;
    is("$?: $says", '0: ', 'promtool has nothing to say');
}

is($n->head('/api/metrics')->status, 200, 'HEAD');
is_error($n->post('/api/metrics', {}), 405, 'METHOD_NOT_ALLOWED', 'POST');
is_error($n->get('/api/metricsx'), 404, 'NOT_FOUND', 'nothing beside it');


# What nchat.conf offers: for some addresses only.

my $file = $n->home . '/nchat.conf';
my $conf = NchatTest::Cluster::slurp($file);
is($conf =~ s/#deny   all;/deny all;/g, 1, 'one place to close');
NchatTest::Cluster::spew($file, $conf);
$n->reload;
ok(wait_for(sub { $n->get('/api/metrics')->status == 403 }, 5), 'closed');
is_error($n->get($_), 403, 'FORBIDDEN', "$_ is closed")
    for '/api/metrics', '/api/metrics/', '/api//metrics', '/api/x/../metrics';
is($n->get('/api/health')->status, 200, 'the rest is open');

finish();
