# openapi.yaml by itself, and that the check of answers sees what it should.

use strict;
use warnings;
use lib 't/lib';

use File::Temp ();
use Test::More;

use NchatTest;

my $n   = NchatTest->new;
my $tmp = File::Temp->newdir;


sub run {
    my @command = @_;
    my $output  = qx(@command 2>&1);
    return ($? >> 8, $output);
}

my ($status, $output) = run('bin/nchat-contract lint');
is($status, 0, 'examples fit their schemas, every route is described')
    or diag($output);


# One version everywhere.

my ($version) = read_file('openapi.yaml') =~ /^  version: (\S+)$/m;
is($n->get('/api/health')->json->{version}, $version,
   'the version of openapi.yaml is the server\'s');


# The check, with answers of this server that were falsified.

sub answer {
    my ($method, $path, %options) = @_;
    my $r = $n->http($method, $path, %options);

    return { test => 't', method => $method, path => $path,
             status => $r->status + 0, headers => $r->headers,
             body => $r->body,
             exists $options{json} ? (request => $options{json}) : () };
}

sub verdict {
    my ($answer, @changes) = @_;
    $answer = decode_json(encode_json($answer));
    $_->($answer) for @changes;
    write_file("$tmp/log", encode_json($answer) . "\n");
    return run("bin/nchat-contract check $tmp/log");
}

sub refused {
    my ($answer, $change, $why, $name) = @_;
    my ($status, $output) = verdict($answer, $change);
    is($status, 1, "$name is refused");
    like($output, $why, "$name: it says why");
}

# body(sub { … }): changes the decoded body, $_[0].
sub body {
    my $change = shift;
    return sub {
        my $body = decode_json($_[0]{body});
        $change->($body);
        $_[0]{body} = encode_json($body);
    };
}

my $owner  = $n->owner;
my $health = answer('GET', '/api/health');
my $lost   = answer('GET', '/api/nothing');
my $denied = answer('GET', '/api/auth/me');
my $signin = answer('POST', '/api/auth/signin',
                    json => { email    => $owner->{email},
                              password => $owner->{password} });

for my $true ($health, $lost, $denied, $signin,
              answer('HEAD', '/api/ready'), answer('DELETE', '/api/health'),
              answer('OPTIONS', '/api/config'), answer('GET', '/elsewhere'),
              answer('GET', '//api/./health/?x=y'))
{
    my ($status, $output) = verdict($true);
    is($status, 0, "as it is: $true->{method} $true->{path}") or diag($output);
}

refused($health, sub { $_[0]{status} = 202 }, qr/status 202 is not described/,
        'another status');
refused($health, sub { $_[0]{path} = '/api/healthy' },
        qr/status 200 is not described/, 'another path');
refused($health, sub { $_[0]{method} = 'POST' },
        qr/status 200 is not described/, 'another method');
refused($health, sub { $_[0]{headers}{'x-new'} = 1 },
        qr/header x-new is not described/, 'a new header');
refused($health, sub { delete $_[0]{headers}{'x-request-id'} },
        qr/header x-request-id is missing/, 'a missing header');
refused($health, sub { $_[0]{headers}{'x-ratelimit-limit'} = 'many' },
        qr/header x-ratelimit-limit is many/, 'a header of another form');
refused($health, sub { $_[0]{headers}{'content-type'} = 'text/html' },
        qr/the type is text\/html/, 'another type');
refused($health, sub { $_[0]{body} = 'x' }, qr/no JSON/, 'no JSON');
refused($health, body(sub { $_[0]{more} = 1 }), qr/'more' was unexpected/,
        'a new member');
refused($health, body(sub { $_[0]{data}{more} = 1 }), qr/'more' was unexpected/,
        'a new member under data');
refused($health, body(sub { delete $_[0]{version} }),
        qr/'version' is a required/, 'a missing member');
refused($health, body(sub { $_[0]{uptime} = '1' }), qr/uptime: '1' is not/,
        'a member of another type');
refused($health, body(sub { $_[0]{status} = 'ill' }), qr/status: 'ill' is not/,
        'a value that is none');
refused($health, body(sub { $_[0]{version} = '7' }),
        qr/data has other members/, 'data that says something else');
refused($denied, body(sub { delete $_[0]{details} }), qr/'details' is a requi/,
        'an error without details');
refused($denied, body(sub { $_[0]{code} = 'NOT_FOUND' }),
        qr/code: 'NOT_FOUND' is not/, 'the code of another status');
refused($lost, body(sub { $_[0]{hint} = 'x' }), qr/'hint' was unexpected/,
        'an error with more');
refused($signin, body(sub { $_[0]{user}{id} = 'x'; $_[0]{data}{user}{id} = 'x' }),
        qr/user\.id: 'x' does not match/, 'an id that is none');
refused($signin, sub { $_[0]{request} = { email => 7 } },
        qr/request that was accepted/, 'a request that is not described');

($status, $output) = verdict($health);
($status, $output) = run("bin/nchat-contract check --complete $tmp/log");
is($status, 1, 'one answer is not everything that is described');
like($output, qr{GET /api/config: no test gets the status 304},
     'and it says what is missing');

sub read_file {
    open my $in, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return <$in>;
}

sub write_file {
    open my $out, '>', $_[0] or die "$_[0]: $!\n";
    print $out $_[1];
    close $out;
}

finish();
