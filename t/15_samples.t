# The samples of the API's document about accounts and the configuration, word
# for word (t/samples), with curl, in Node and in Python. Only the server's
# address and what the document leaves open (<token>) are filled in, and type
# annotations taken out, as a TypeScript compiler does.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp ();
use NchatTest;

my $n     = NchatTest->new(limits => 1);
my $url   = $n->url;
my $owner = $n->owner;

# sample(FILE): its text, for our server.
sub sample {
    my ($file, %fill) = @_;
    my $text = NchatTest::Cluster::slurp("t/samples/$file");

    $text =~ s{http://localhost:3000}{$url}g;
    $text =~ s/<(?:your-access-)?token>/$owner->{token}/g;
    return $text;
}

# output(COMMAND, TEXT): what a program prints that is given TEXT as a file.
sub output {
    my ($command, $suffix, $text) = @_;
    my $file = File::Temp->new(SUFFIX => $suffix);

    binmode $file;
    print $file $text;
    $file->flush;

    local @ENV{qw(no_proxy NO_PROXY)} = ('*', '*');
    my $output = `$command '$file' 2>&1`;
    is($? >> 8, 0, "$command: it runs") or diag($output);
    return $output;
}

sub with_password {
    my $hash = crypt $_[0], '$2a$04$abcdefghijklmnopqrstuu';
    $n->psql("UPDATE users SET password_hash = '$hash'
               WHERE email = 'user\@example.com'");
}


# curl.

my ($signup, $signin, $short) = split /^---\n/m, sample('account.sh');

my $answer = decode_json(output('sh', '.sh', $signup =~ s/^curl/curl -s/r));
is($answer->{user}{username}, 'johndoe', 'curl: signed up');
is($answer->{user}{displayName}, 'John Doe', 'curl: with a name');
is($answer->{data}{user}{role}, 'member', 'curl: under data as well');

# An account of another service, whose hash is kept.

$n->signup(email => 'user@example.com', username => 'user');

for my $case ([ $signin, 'your-password' ], [ $short, 'pass123' ]) {
    my ($sample, $password) = @$case;

    with_password($password);
    $answer = decode_json(output('sh', '.sh', $sample =~ s/^curl/curl -s/r));
    is($answer->{user}{email}, 'user@example.com', 'curl: signed in');
    is($answer->{user}{status}, 'online', 'curl: online');
    ok($answer->{accessToken} && $answer->{refreshToken}, 'curl: two tokens');
}

my ($history, $get, $update) = split /^---\n/m, sample('config.sh');

$answer = decode_json(output('sh', '.sh', $update =~ s/^curl/curl -s/r));
is($answer->{config}{branding}{appName}, 'My Team Chat', 'curl: updated');
$answer = decode_json(output('sh', '.sh', $get =~ s/^curl/curl -s/r));
is($answer->{config}{branding}{appName}, 'My Team Chat', 'curl: and read');
$answer = decode_json(output('sh', '.sh', $history =~ s/^curl/curl -s/r));
is_deeply($answer->{history}[0]{changes},
          { branding => { appName => 'My Team Chat' } }, 'curl: the history');


# JavaScript.

SKIP: {
    if ((qx(node --version 2>/dev/null) // '') !~ /^v(?:1[89]|[2-9]\d)/) {
        diag("\n*** THE JAVASCRIPT SAMPLES ARE NOT TESTED: no node 18\n");
        skip 'no node 18', 1;
    }

    my ($client, $errors) = map {
        sample($_) =~ s/\b(updates|token|url|options): (?:Partial<\w+>|\w+)/$1/gr
    } qw(client.ts errors.ts);

    my $script = <<"END";
const plain = globalThis.fetch
globalThis.fetch = (url, options) => plain(new URL(url, '$url'), options)
const token = '$owner->{token}', data = { x: 1 }
$client
const print = value => console.log(JSON.stringify(value))

print((await updateConfig({ branding: { appName: 'From Node' } }, token)).message)
print((await getConfig()).branding.appName)
await updateConfig({ branding: { appName: '' } }, token)
    .catch(error => print(error.message))
await updateConfig({}, 'nonsense').catch(error => print(error.message))
print((await apiRequestWithRetry('/api/health', {})).status)
$errors
END
    is(output('node', '.mjs', $script), <<'END', 'node: what the samples print');
"Configuration updated successfully"
"From Node"
"Validation failed: branding.appName must be 1-50 characters"
"Invalid or expired token"
200
API error: There is nothing at this path
END

    # The retry sample waits for its turn: 1 s, 2 s, and the window is over.

    $n->reconfigure(http => 'nchat_rate_limit default 5;
                             nchat_rate_limit_window 2s;');
    is(output('node', '.mjs', <<"END"), "200\n", 'node: the retry sample');
const plain = globalThis.fetch
globalThis.fetch = (url, options) => plain(new URL(url, '$url'), options)
$client
for (let i = 0; i < 6; i++) await fetch('/api/config')
console.log((await apiRequestWithRetry('/api/config', {})).status)
END
    $n->reconfigure(http => '');
}


# Python.

with_password('Passw0rd');
is(output('/usr/bin/python3', '.py', sample('client.py') . <<"END"), <<'END',

print(sign_in('user\@example.com', 'Passw0rd')['user']['username'])
token = sign_in('$owner->{email}', '$owner->{password}')['accessToken']
print(get_config()['landingTheme'])
print(update_config({'branding': {'appName': 'From Python'}}, token)['message'])
print(get_config(token)['branding']['appName'])
for attempt in (lambda: sign_in('user\@example.com', 'wrong'),
                lambda: update_config({'nothing': 1}, token),
                lambda: update_config({}, 'nonsense')):
    try:
        attempt()
    except requests.HTTPError as error:
        print(error.response.status_code, error.response.json()['code'])
END
user
simple-landing
Configuration updated successfully
From Python
401 UNAUTHORIZED
400 VALIDATION_ERROR
401 INVALID_TOKEN
END
   'python: what the samples print');

finish();
