# What operators watch: the alert rules, each of which fires when it should and
# not when it should not, and the dashboard; both on metrics and labels that
# the server has.

use strict;
use warnings;

use lib 't/lib';

use File::Temp ();
use JSON::PP ();
use Test::More;

use NchatTest;
use NchatTest::Chat;
use NchatTest::Cluster qw(slurp spew);

my $rules_file = 'conf/monitoring/nchat.rules.yml';
my $tests_file = 't/monitoring/nchat.test.yml';
my $board_file = 'conf/monitoring/nchat-dashboard.json';

my ($promtool) = grep { -x } map { "$_/promtool" }
                 split(/:/, $ENV{PATH}), 'build/tools';
my $temp = File::Temp->newdir;

diag("\n*** NO PROMTOOL (bin/nchat-deps --promtool): MUCH IS NOT TESTED\n")
    if !$promtool;

# yaml(FILE): its content.
sub yaml {
    open my $pipe, '-|', '/usr/bin/python3', '-c',
        'import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1], '
        . 'encoding="utf-8")), sys.stdout)', $_[0] or die "python3: $!\n";
    local $/;
    return JSON::PP->new->decode(<$pipe>);
}

# promtool_says(NAME, ARGUMENTS): nothing is wrong.
sub promtool_says {
    my ($name, $arguments) = @_;

    SKIP: {
        skip 'no promtool', 1 if !$promtool;
        my $says = qx($promtool $arguments 2>&1);
        is($?, 0, $name) or diag($says);
        return $says;
    }

    return '';
}


# What the server exports.

my $n     = NchatTest->new(limits => 1);
my $owner = $n->owner;
my $hook  = webhook($n, channel($n, 'builds'));

$n->get('/api/config', token => $owner->{token});
$n->get('/api/search?q=word', token => $owner->{token});
$n->get('/api/nothing');
$n->post($hook->{path}, { content => 'done' });
$n->post('/api/auth/signin', { email => $owner->{email}, password => 'wrong' });

my $page  = $n->get('/api/metrics')->body;
my $paths = decode_json($n->get('/openapi.json')->body)->{paths};
my %exported = (up => {});

while ($page =~ /^(\w+)(?:\{(.*)\})? /mg) {
    my ($metric, $labels) = ($1, $2 // '');
    $exported{$metric} //= {};
    $exported{$metric}{$1}{$2} = 1 while $labels =~ /(\w+)="([^"]*)"/g;
}

# Prometheus adds these two, by the job's name and the target's address.
my %added = (job => 1, instance => 1);

spew("$temp/page", $page);
is(promtool_says('promtool check metrics', "check metrics <$temp/page"), '',
   'has no remarks');

# wrong(EXPRESSION): what it names and the server does not have.
sub wrong {
    my $expression = shift;
    my (@wrong, %labels);

    while ($expression =~ /\b(nchat_\w+|process_\w+|up)\b(?:\{([^}]*)\})?/g) {
        my ($metric, $selector) = ($1, $2 // '');
        my $known = $exported{$metric};

        push @wrong, "no metric $metric" if !$known;
        push @wrong, "no job in $metric\{$selector}"
            if $selector !~ /\bjob="nchat"/;
        %labels = (%labels, %{ $known // {} }, %added);

        while ($selector =~ /(\w+)(=~|!~|!=|=)"([^"]*)"/g) {
            my ($label, $operator, $value) = ($1, $2, $3);
            next if $added{$label};

            push @wrong, map { "no $label=\"$_\" in $metric" }
                         grep { !has_value($known, $label, $_) }
                         $operator =~ /~/ ? split(/\|/, $value) : $value;
        }
    }

    while ($expression =~ /\b(?:by|without|on|ignoring) \(([^)]*)\)/g) {
        push @wrong, map { "no label $_ in $expression" }
                     grep { !$labels{$_} } split /, */, $1;
    }

    return @wrong;
}

# Of endpoints and status classes, only those are exported that were seen.
sub has_value {
    my ($metric, $label, $value) = @_;

    return 0 if !$metric->{$label};
    return !!grep { s/\{\w+\}/x/gr =~ /^(?:$value)$/ } keys %$paths
        if $label eq 'endpoint';
    return $value =~ /^[1-5]xx$/ if $label eq 'status';
    return $metric->{$label}{$value};
}

is(scalar wrong('sum(rate(nchat_nothing_total{job="nchat"}[5m]))'), 1,
   'the check knows an unknown metric');
is(scalar wrong('nchat_workers'), 1, 'a missing job');
is(scalar wrong('nchat_db_waiting{job="nchat",lane="fast|quick"}'), 1,
   'an unknown value');
is(scalar wrong('nchat_workers{job="nchat",lane="fast"}'), 1,
   'an unknown label');
is(scalar wrong('sum by (lane) (nchat_db_waiting{job="nchat"})'), 0,
   'and what is right');
is(scalar wrong('sum by (line) (nchat_db_waiting{job="nchat"})'), 1,
   'an unknown label to sum by');


# Alerts.

promtool_says('promtool check rules', "check rules $rules_file");
promtool_says('promtool test rules', "test rules $tests_file");

my @rules = map { @{ $_->{rules} } } @{ yaml($rules_file)->{groups} };
my %tests;

for my $test (map { @{ $_->{alert_rule_test} } } @{ yaml($tests_file)->{tests} }) {
    my $fires = @{ $test->{exp_alerts} } ? 'fires' : 'silent';
    $tests{ $test->{alertname} }{$fires}++;
}

cmp_ok(scalar @rules, '>', 10, 'there are rules');

for my $rule (@rules) {
    my $name = $rule->{alert};

    is_deeply([ wrong($rule->{expr}) ], [], "$name: all of it is exported");
    like($rule->{for}, qr/^\d+[mh]$/, 'is patient');
    like($rule->{labels}{severity}, qr/^(?:critical|warning)$/, 'is severe');
    ok(length $rule->{annotations}{summary} > 20, 'says what is wrong');
    ok(length $rule->{annotations}{action} > 40, 'and what to do');
    ok($tests{$name}{fires} && $tests{$name}{silent}, 'is tested both ways');
}


# The dashboard.

my $board  = JSON::PP->new->utf8->decode(slurp($board_file));
my @panels = grep { $_->{type} ne 'row' } @{ $board->{panels} };
my (%ids, %cells, %shown);
my $recorded = "groups:\n  - name: dashboard\n    rules:\n";

for my $panel (@{ $board->{panels} }) {
    is($ids{ $panel->{id} }++, 0, "panel $panel->{title}: a number of its own");
    my $at = $panel->{gridPos};
    my @taken = grep { $cells{$_}++ } map { my $x = $_;
                    map { "$x,$_" } $at->{y} .. $at->{y} + $at->{h} - 1 }
                $at->{x} .. $at->{x} + $at->{w} - 1;
    is("@taken", '', 'a place of its own');
    cmp_ok($at->{x} + $at->{w}, '<=', 24, 'on the page');
}

for my $panel (@panels) {
    my $title = $panel->{title};
    ok(length $panel->{description}, "$title says what it shows");
    ok($panel->{fieldConfig}{defaults}{unit}, 'and in which unit');

    for my $target (@{ $panel->{targets} }) {
        my $expression = $target->{expr};

        is_deeply([ wrong($expression) ], [], 'all of it is exported');
        is($target->{datasource}{uid}, '${datasource}', 'of the chosen source');
        $shown{$1}++ while $expression =~ /\b((?:nchat|process)_\w+)\{/g;

        # As Prometheus gets it.
        $expression =~ s/\$__rate_interval/5m/g;
        $expression =~ s/\$instance/.*/g;
        $recorded .= "      - {record: \"p:$panel->{id}:$target->{refId}\", expr: "
                     . JSON::PP->new->allow_nonref->encode($expression) . "}\n";
    }
}

spew("$temp/dashboard.yml", $recorded);
promtool_says('Prometheus understands the dashboard',
              "check rules $temp/dashboard.yml");

for my $family ($page =~ /^# TYPE (\w+) /mg) {
    ok(scalar(grep { /^\Q$family\E(?:_bucket|_count|_sum)?$/ } keys %shown),
       "$family is on the dashboard");
}

finish();
