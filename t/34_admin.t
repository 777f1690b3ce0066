# nchat-admin on a running instance: what an operator types, and what the API
# makes of it.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Digest::SHA qw(hmac_sha256_hex);
use Encode ();
use File::Temp qw(tempdir);
use IPC::Open3 qw(open3);
use Symbol qw(gensym);
use Test::More;
use NchatTest;

my $n      = NchatTest->new;
my $owner  = $n->owner;
my $member = $n->signup(email => 'member1@example.com', username => 'member1');

delete @ENV{qw(NCHAT_DATABASE_URL NCHAT_URL SUDO_USER)};
$ENV{NCHAT_HOME} = $n->home;

my $url  = 'http://localhost:' . $n->port;
my $uuid = qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

# admin(ARGUMENTS, INPUT): a command line as one types it; (exit code, output,
# errors).
sub admin {
    my ($line, $input) = @_;

    my $pid = open3(my $in, my $out, my $err = gensym, 'sh', '-c',
                    "exec '$NchatTest::root/bin/nchat-admin' "
                    . Encode::encode('UTF-8', $line));
    print $in $input // '';
    close $in;
    my ($output, $errors) = map { local $/; readline($_) // '' } $out, $err;
    waitpid $pid, 0;

    return ($? >> 8, $output, $errors);
}

# json(ARGUMENTS): what is printed: one JSON value on one line, exit code 0.
sub json {
    my $line = shift;
    my ($code, $output, $errors) = admin("--json $line", @_);

    is($code, 0, "$line: exit code") or diag($errors);
    is($output =~ tr/\n//, 1, "$line: one line");
    return decode_json($output);
}

# is_refusal(ARGUMENTS, CODE): exit code 1, in words and as JSON.
sub is_refusal {
    my ($line, $code) = @_;
    my ($exit, $output, $errors) = admin($line);

    is($exit, 1, "$line: exit code");
    is($output, '', "$line: nothing on standard output");
    like($errors, qr/^nchat-admin: .+\n\z/, "$line: one line of reason");

    ($exit, $output) = admin("--json $line");
    is($exit, 1, "$line: exit code with --json");
    is(decode_json($output)->{code}, $code, "$line: the code");
    like($output, qr/^\{.*"details".*\}\n\z/, "$line: one object");
}


subtest 'webhooks' => sub {
    my $hook = json('webhook create --channel general --name CI');
    is_deeply([sort keys %$hook], [qw(id token url)], 'what is printed');
    like($hook->{id}, $uuid, 'the id');
    is($hook->{url}, "$url/api/webhook/$hook->{id}/$hook->{token}", 'the URL');

    my $path = $hook->{url} =~ s{^http://[^/]*}{}r;
    my $r    = $n->post($path, { content => 'built by an operator' });
    is_ok($r, 'a delivery');

    my $signed = json('webhook create --channel general --name Signed'
                      . ' --secret S --require-signature');
    $path = $signed->{url} =~ s{^http://[^/]*}{}r;
    my $body = '{"content":"signed"}';
    is($n->http('POST', $path, body => $body)->status, 401,
       'one without a signature');
    is_ok($n->http('POST', $path, body => $body, headers => {
        'X-Webhook-Signature' => 'sha256=' . hmac_sha256_hex($body, 'S') }),
        'one with it');

    my @list = @{ json('webhook list') };
    is_deeply([sort map { $_->{name} } @list], ['CI', 'Signed'], 'the list');
    unlike(encode_json(\@list), qr/\Q$hook->{token}\E/, 'without tokens');
    like((admin('webhook list'))[1], qr/^NAME +CHANNEL .*\n.*general/, 'in columns');

    $path = $hook->{url} =~ s{^http://[^/]*}{}r;
    is(json("webhook disable $hook->{id}")->{status}, 'disabled', 'disable');
    is($n->post($path, { content => 'x' })->status, 400, 'takes nothing');
    is(json('webhook enable CI')->{status}, 'active', 'enable, by its name');
    is($n->post($path, { content => 'x' })->status, 200, 'takes it again');

    my $new = json("webhook rotate $hook->{id}");
    is($new->{id}, $hook->{id}, 'rotate');
    isnt($new->{token}, $hook->{token}, 'another token');
    is($n->post($path, { content => 'x' })->status, 401, 'the old one');
    is($n->post($new->{url} =~ s{^http://[^/]*}{}r, { content => 'x' })->status,
       200, 'the new one');

    is(json("webhook delete $hook->{id}")->{id}, $hook->{id}, 'delete');
    is($n->post($path, { content => 'x' })->status, 404, 'is gone');
    is_refusal('webhook disable CI', 'NOT_FOUND');
    is_refusal('webhook create --channel nowhere --name CI', 'NOT_FOUND');
};


subtest 'channels' => sub {
    my $list = json('channel list');
    is_deeply([map { "$_->{name} $_->{type}" } @$list], ['general public'],
              'a fresh database has general');

    my $made = json('channel create secret-lab --private --description "Wir grüßen"');
    like($made->{id}, $uuid, 'create: the id');
    is($made->{name}, 'secret-lab', 'and the name');
    is($made->{type}, 'private', 'it is private');
    is($made->{description}, 'Wir grüßen', 'its description');

    my $finds = sub {
        scalar grep { $_->{type} eq 'channels' } @{
            $n->get('/api/search?q=secret-lab', token => $member->{token})
              ->json->{items} }
    };
    is($finds->(), 0, 'who is no member does not find it');
    my ($code, $output) = admin('channel join secret-lab member1@example.com');
    is($code, 0, 'join');
    is($output, "member1 is a member of secret-lab\n", 'is said');
    is($finds->(), 1, 'and finds it');
    is(json('channel leave secret-lab member1')->{user}{username}, 'member1',
       'leave');
    is($finds->(), 0, 'finds it no more');

    is_refusal('channel create Secret-Lab', 'CONFLICT');
    is_refusal('channel create "no spaces"', 'VALIDATION_ERROR');
    is_refusal('channel join secret-lab nobody', 'NOT_FOUND');
    is_refusal('channel leave nowhere member1', 'NOT_FOUND');
};


subtest 'users' => sub {
    is_deeply([map { "$_->{username} $_->{role} $_->{status}" }
               @{ json('user list') }],
              ["$owner->{username} owner active", 'member1 member active'],
              'the list');
    is_deeply([map { $_->{username} } @{ json('user list --role owner') }],
              [$owner->{username}], 'of one role');

    my $user = json('user show member1@example.com');
    is_deeply([@$user{qw(id email username role status)}, $user->{channels}],
              [$member->{id}, 'member1@example.com', 'member1', 'member',
               'active', ['general']], 'show');
    unlike(encode_json($user), qr/\$2/, 'no hash');
    my ($code, $output) = admin('user show MEMBER1');
    is($code, 0, 'for people');
    like($output, qr/^email: +member1\@example\.com$/m, 'a line each');

    is(json('user role member1 admin')->{role}, 'admin', 'role');
    ok(wait_for(sub { $n->get('/api/auth/me', token => $member->{token})
                        ->status == 401 }, 3), 'the old token has ended');
    $member = $n->signin($member);
    is($member->{role}, 'admin', 'a new one has it');
    is($n->get('/api/config?history=true', token => $member->{token})->status,
       200, 'which counts');

    is(json('user password member1 --stdin', "Changed0ne\n")->{id},
       $member->{id}, 'password');
    is($n->post('/api/auth/signin', $member)->status, 401, 'the old password');
    $member->{password} = 'Changed0ne';
    $member = $n->signin($member);
    ok($member->{token}, 'the new one');
    ($code, $output) = admin('user password member1 --stdin', "short\n");
    is($code, 1, 'a bad one is refused');

    for my $password ("Passw0rd\0x", "Passw0rd\xff") {
        my ($exit, $out, $errors) = admin('user password member1 --stdin',
                                          "$password\n");
        is($exit, 1, 'one that no client can send is refused');
        like($errors, qr/^nchat-admin: A password is UTF-8.*\n\z/, 'in words');
    }
    my ($exit, $out, $errors) = admin(q{user show "$(printf '\\377')"});
    is($exit, 2, 'an argument that is no UTF-8 is wrong usage');
    like($errors, qr/are not UTF-8\n\z/, 'in words');

    is(json('user deactivate member1')->{status}, 'deactivated', 'deactivate');
    is($n->post('/api/auth/signin', $member)->status, 403, 'no sign-in');
    is(json('user activate member1')->{status}, 'active', 'activate');
    is($n->post('/api/auth/signin', $member)->status, 200, 'sign-in');

    is_refusal('user show nobody', 'NOT_FOUND');
    is_refusal("user role $owner->{username} member", 'CONFLICT');
    is_refusal("user deactivate $owner->{username}", 'CONFLICT');

    is(json('user role member1 owner')->{role}, 'owner', 'a new owner');
    is(json("user show $owner->{id}")->{role}, 'admin', 'the former one');
    json("user role $owner->{id} owner");
};


subtest 'audit log' => sub {
    my $entries = json('audit tail -n 500');
    my %actions = map { $_->{action} => 1 } @$entries;
    ok($actions{$_}, "$_ is recorded")
        for qw(webhook_create webhook_delete channel_create role_change
               user_deactivate password_change);

    my ($code, $output) = admin('audit tail -n 3');
    is($code, 0, 'for people');
    is($output =~ tr/\n//, 3, 'the last three');
    is_deeply([map { $_->{id} } @{ json('audit tail -n 2') }],
              [map { $_->{id} } @{ json('audit tail -n 500') }[-2, -1]],
              'the newest last');
    my $token = $n->signin($owner)->{token};
    is($n->get('/api/audit?q=secret-lab', token => $token)->json->{items}[0]
         {actor}{id}, 'operator', 'the API shows it too');
    is(json('audit verify')->{valid}, JSON::PP::true, 'the chain is whole');
};


subtest 'migrate and status' => sub {
    is_deeply(json('migrate'), { applied => [] }, 'nothing to migrate');
    is((admin('migrate'))[1], "up to date\n", 'for people');

    my $status = json('status');
    is($status->{server}, 'ready', 'the server is ready');
    is($status->{url}, $url, 'where it is');
    like((admin('status'))[1], qr/^server: +ready$/m, 'for people');

    $n->stop;
    my ($code, $output) = admin('--json status');
    is($code, 1, 'a server that is stopped: exit code');
    is(decode_json($output)->{server}, 'not running', 'is said');
    is(scalar @{ json('user list') }, 2, 'the rest works without it');
};


subtest 'the command line' => sub {
    for my $line ('', 'user', 'user list', 'user show', 'user role',
                  'user password', 'user deactivate', 'user activate', 'channel',
                  'channel create', 'channel list', 'channel join',
                  'channel leave', 'webhook', 'webhook create', 'webhook list',
                  'webhook disable', 'webhook rotate', 'webhook delete', 'audit',
                  'audit tail', 'migrate', 'status')
    {
        my ($code, $output) = admin("$line --help");
        is($code, 0, "$line --help");
        like($output, qr/^usage: nchat-admin.*Exit status/s, 'says how');
    }
    is((admin($_))[0], 2, "usage: '$_'")
        for '', 'user', 'user fly', 'user show', 'user role member1 emperor',
            'channel create', 'webhook create --name CI', 'audit tail -n x';

    local $ENV{NCHAT_HOME} = '/nonexistent';
    my ($code, undef, $errors) = admin('user list');
    is($code, 1, 'no database');
    like($errors, qr/NCHAT_DATABASE_URL/, 'says what to set');
    local $ENV{NCHAT_DATABASE_URL} = $n->database_url;
    is(scalar @{ json('user list') }, 2, 'NCHAT_DATABASE_URL alone');
};


# make start writes what the shell reads: quotes, where there are any.

subtest 'the file env, in the words of the shell' => sub {
    my $home = tempdir(CLEANUP => 1);
    my ($user, $password, $host, $port, $database) =
        $n->database_url =~ m{//(.+?):(.+?)@([^:/]+):(\d+)/(\w+)};
    my $words = "host=$host port=$port dbname='$database' user='$user' "
                . "password='$password'";

    open my $env, '>', "$home/env" or die "$home/env: $!";
    print $env "NCHAT_DATABASE_URL='", $words =~ s/'/'\\''/gr, "'\n";
    close $env;

    local $ENV{NCHAT_HOME} = $home;
    is(scalar @{ json('user list') }, 2, 'is read');
};

finish();
