# nchat-admin, the operator's tool.

use strict;
use warnings;

use lib 't/lib', 't/sql/lib';

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use IPC::Open3 qw(open3);
use JSON::PP ();
use Symbol qw(gensym);
use Test::More;

use SqlTest;

my $db = new_database();
my $owner = $db->{owner};
my $home = File::Temp->newdir('nchat-admin-XXXXXX', TMPDIR => 1);

open my $env, '>', "$home/env" or die;
print $env "NCHAT_URL=http://127.0.0.1:1\nNCHAT_DATABASE_URL=$owner\n";
close $env;

delete @ENV{qw(NCHAT_DATABASE_URL NCHAT_URL SUDO_USER)};
$ENV{NCHAT_HOME} = "$home";

# run(INPUT, arguments...): exit code, output, errors.
sub run {
    my ($input, @arguments) = @_;

    my $pid = open3(my $in, my $out, my $err = gensym, 'bin/nchat-admin', @arguments);
    print $in $input;
    close $in;

    my ($output, $errors) = map { local $/; readline $_ // '' } $out, $err;
    waitpid $pid, 0;

    return ($? >> 8, $output // '', $errors // '');
}

# json(arguments...): what is printed, which must be one JSON value, and the code.
sub json {
    my ($code, $output) = run('', '--json', @_);
    my $value = eval { JSON::PP->new->utf8->decode($output) };
    fail("one JSON value from @_: $output") if !defined $value;
    return wantarray ? ($value, $code) : $value;
}

subtest 'accounts' => sub {
    my ($code, $output) = run("Passw0rd\n", qw(user create Own@Example.com own --stdin));
    is($code, 0, 'created');
    like($output, qr/^role: +owner$/m, 'the first one is the owner');
    run("Passw0rd\n", qw(user create m@example.com member1 --stdin --display-name), 'M 1');

    is_deeply([map { "$_->{username} $_->{role}" } @{ json(qw(user list)) }],
              ['own owner', 'member1 member'], 'listed');
    like((run('', qw(user list)))[1], qr/^USERNAME .*\nown +own\@example\.com +owner +active/,
         'in columns');

    my $user = json(qw(user show MEMBER1));
    is_deeply([@$user{qw(email displayName status channels)}],
              ['m@example.com', 'M 1', 'active', ['general']], 'shown by username');
    is(json('user', 'show', $user->{id})->{email}, 'm@example.com', 'by id');
    is(json(qw(user show M@example.com))->{id}, $user->{id}, 'by email');

    my $hash = call($db->{module}, 'nchat_signin_lookup', 'm@example.com')->{password_hash};
    is(crypt('Passw0rd', $hash), $hash, 'the password is bcrypt');
    like($hash, qr/^\$2b\$10\$/, 'of cost 10');

    ($code) = run("Other-pa55\n", qw(user password member1 --stdin --cost 4));
    $hash = call($db->{module}, 'nchat_signin_lookup', 'm@example.com')->{password_hash};
    is(crypt('Other-pa55', $hash), $hash, 'a new one');

    for my $case (['Sh0rt', 'bytes'], ['alllower1', 'upper-case'], ['NoDigits', 'digit'],
                  ['A1' . 'x' x 71, 'bytes'])
    {
        my ($status, undef, $errors) = run("$case->[0]\n", qw(user password own --stdin));
        is($status, 1, "refused: $case->[0]");
        like($errors, qr/$case->[1]/, 'with the reason');
    }

    is(json(qw(user role member1 admin))->{role}, 'admin', 'role');
    is((json(qw(user role own member)))[1], 1, 'the owner stays');
    is(json(qw(user role member1 owner))->{role}, 'owner', 'until there is another');
    is(json(qw(user show own))->{role}, 'admin', 'and is an admin then');
    is(json(qw(user deactivate own))->{status}, 'deactivated', 'deactivated');
    is(json(qw(user activate own))->{status}, 'active', 'activated');
    is(json(qw(user link own https://idp s1))->{externalSubject}, 's1', 'linked');
    is(json(qw(user unlink own))->{externalSubject}, undef, 'unlinked');
};

subtest 'channels' => sub {
    my $made = json(qw(channel create secret-lab --private --description), q{it's "q" \ :x});
    is_deeply([@$made{qw(name type description)}],
              ['secret-lab', 'private', q{it's "q" \ :x}], 'created');
    like($made->{id}, qr/^[0-9a-f-]{36}$/, 'has an id');
    is((json(qw(channel create Secret-Lab)))[0]{code}, 'CONFLICT', 'a taken name');
    is((json('channel', 'create', 'a b'))[0]{code}, 'VALIDATION_ERROR', 'a bad one');

    is((run('', qw(channel join secret-lab m@example.com)))[1],
       "member1 is a member of secret-lab\n", 'joined');
    is((run('', qw(channel join), '#secret-lab', 'member1'))[0], 0, 'again');
    is_deeply(json(qw(user show member1))->{channels}, ['general', 'secret-lab'], 'there');
    is(json(qw(channel leave secret-lab member1))->{channel}{members}, 0, 'left');
    is((json(qw(channel join nowhere member1)))[0]{error}, 'Channel not found',
       'an unknown channel');
    ok(json(qw(channel archive secret-lab))->{archivedAt}, 'archived');
    ok(!json(qw(channel unarchive secret-lab))->{archivedAt}, 'and back');
    is(join(' ', map { $_->{name} } @{ json(qw(channel list)) }), 'general secret-lab',
       'listed');
};

subtest 'webhooks' => sub {
    my $made = json(qw(webhook create --channel general --name CI));
    is_deeply([sort keys %$made], [qw(id token url)], 'created');
    is($made->{url}, "http://127.0.0.1:1/api/webhook/$made->{id}/$made->{token}", 'its URL');
    is(value($owner, "SELECT token_hash FROM webhooks WHERE id = '$made->{id}'"),
       sha256_hex($made->{token}), 'the token is stored hashed');

    my $new = json(qw(webhook rotate CI));
    isnt($new->{token}, $made->{token}, 'rotated');
    is(value($owner, "SELECT token_hash FROM webhooks WHERE id = '$made->{id}'"),
       sha256_hex($new->{token}), 'stored');
    is(json(qw(webhook disable CI))->{status}, 'disabled', 'disabled');
    is(json(qw(webhook enable), $made->{id})->{status}, 'active', 'enabled');

    is((json(qw(webhook create --channel general --name S --require-signature)))[1], 1,
       'signatures need a secret');
    is((json(qw(webhook create --channel general --name S --secret k --require-signature)))[1],
       0, 'which can be given');
    is(scalar @{ json(qw(webhook list)) }, 2, 'listed');
    is((run('', qw(webhook delete S)))[0], 0, 'deleted');
    is((json(qw(webhook delete S)))[0]{code}, 'NOT_FOUND', 'gone');
};

subtest 'audit log' => sub {
    my $tail = json(qw(audit tail -n 2));
    is_deeply([map { $_->{action} } @$tail], [qw(webhook_create webhook_delete)],
              'the newest, oldest first');
    is((json(qw(audit tail)))[0][-1]{actor}{type}, 'operator', 'the actor');
    is(scalar(split /\n/, (run('', qw(audit tail -n 3)))[1]), 3, 'as lines');

    my ($result, $code) = json(qw(audit verify));
    ok($result->{valid} && $code == 0, 'valid');
    value($owner, "UPDATE audit_log SET description = 'x' WHERE action = 'webhook_delete'");
    ($result, $code) = json(qw(audit verify));
    ok(!$result->{valid} && $code == 1, 'broken is told by the exit code');
    ($code, my $output) = run('', qw(audit verify));
    ok($code == 1 && $output =~ /^BROKEN: .*content/, 'and in words');
};

subtest 'the installation' => sub {
    is_deeply(scalar json('migrate'), { applied => [] }, 'nothing to migrate');

    my ($status, $code) = json('status');
    is_deeply([$code, @$status{qw(server users moduleReady)}],
              [1, 'not running', 2, JSON::PP::true], 'status of a stopped server');
};

subtest 'usage' => sub {
    is((run('', @$_))[0], 2, "nchat-admin @$_")
        for [], ['user'], [qw(user nonsense)], [qw(user role a boss)], [qw(webhook create)],
            [qw(user list --json)], [qw(audit tail -n x)];

    for my $command ([], ['user'], [qw(user role)], [qw(channel create)],
                     [qw(webhook rotate)], [qw(audit tail)], ['migrate'], ['status'])
    {
        my ($code, $output) = run('', @$command, '--help');
        ok($code == 0 && $output =~ /^usage: nchat-admin/, "@$command --help");
    }

    my ($code, $output, $errors) = run('', qw(--json user show nobody));
    is($code, 1, 'a refusal');
    is_deeply(JSON::PP->new->decode($output),
              { error => 'User not found', code => 'NOT_FOUND', details => {} }, 'as JSON');
    is($errors, "nchat-admin: User not found\n", 'and in words');

    local $ENV{NCHAT_HOME} = '/nonexistent';
    like((run('', qw(user list)))[2], qr/No database/, 'no database');
    local $ENV{NCHAT_DATABASE_URL} = 'postgresql://a:sesame@127.0.0.1:1/x';
    ($code, $output, $errors) = run('', qw(user list));
    ok($code == 1 && $errors =~ /Connection refused/ && $errors !~ /sesame/,
       'none that answers');
};

done_testing();
