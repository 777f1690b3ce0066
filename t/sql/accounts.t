# Accounts: sign-up, sign-in, sessions, refresh tokens.

use strict;
use warnings;

use lib 't/lib', 't/sql/lib';

use JSON::PP ();
use List::Util qw(uniq);
use Test::More;

use SqlTest;

my $db = new_database();
my ($owner, $module) = @$db{qw(owner module)};

my $refused = { error => 'not now', code => 'FORBIDDEN', details => {} };
my $month = 30 * 86400;

sub signup {
    my ($name, %o) = @_;
    return ['nchat_signup', uuid(), $o{email} // "$name\@Example.com", $name,
            $o{display}, 'hash', $o{refusal} // '', uuid(), uuid(), $month,
            '10.0.0.1', 'req-1'];
}

sub refresh {
    my ($sid, $jti, $new) = @_;
    return ['nchat_refresh', $sid, $jti, $new // uuid(), $month, '10.0.0.1',
            'req-2'];
}

sub signin {
    my $account = shift;
    return call($module, 'nchat_signin', $account->{user_id},
                shift // 'hash', shift, uuid(), uuid(), $month, '10.0.0.1', 'r');
}

sub good {
    my $account = shift;
    return value($module, sprintf "SELECT nchat_session_check('%s', '%s', %d)",
                 @$account{qw(user_id sid ver)}) eq 't';
}

# What listeners are told while the statements run.
sub notified {
    my $text = value($module, "LISTEN nchat; @_");
    return join ' ', $text =~ /with payload "([^"]*)"/g;
}

subtest '50 first sign-ups at once' => sub {
    my @rows = at_once($module, map { signup("first$_", refusal => $refused) } 1 .. 50);

    is(scalar(grep { $_->{status} == 200 } @rows), 1, 'one is exempt from refusals');
    is(scalar(grep { $_->{status} == 403 } @rows), 49, 'the others are not');
    is(value($owner, 'SELECT count(*), min(role) FROM users'), "1\towner",
       'and is the owner');

    value($owner, 'TRUNCATE users, sessions');
    @rows = at_once($module, map { signup("again$_") } 1 .. 50);
    is(scalar(grep { $_->{status} == 200 } @rows), 50, 'without refusals, all succeed');
    is(value($owner, "SELECT count(*), count(*) FILTER (WHERE role = 'owner'),"
                     . " count(*) FILTER (WHERE role = 'member') FROM users"),
       "50\t1\t49", 'and one is the owner');
};

like(refusal($owner, "UPDATE users SET role = 'owner'"), qr/users_one_owner/,
     'a second owner is impossible');

subtest 'what a sign-up answers' => sub {
    my $row = call($module, @{ signup('Alice', display => 'Alice A.') });

    is_deeply($row->{body}, { user => {
                  id => $row->{user_id}, email => 'alice@example.com',
                  username => 'Alice', displayName => 'Alice A.',
                  role => 'member', status => 'online' } }, 'the user');
    is_deeply([@$row{qw(status email username display_name role ver)}],
              [200, 'alice@example.com', 'Alice', 'Alice A.', 'member', 1],
              'claims of the access token');
    is($row->{exp} - $row->{iat}, $month, 'and of the refresh token');
    ok(abs($row->{iat} - time) < 30, 'which begins now');
    ok(good($row), 'the session is good');
    is(value($owner, 'SELECT count(*) FROM channel_members m JOIN channels c'
                     . " ON c.id = m.channel_id WHERE name = 'general'"
                     . " AND user_id = '$row->{user_id}'"), 1, 'the user is in general');

    is_deeply(call($module, @{ signup('other', email => 'ALICE@example.com') })
                  ->{body}{details}, { field => 'email', constraint => 'unique' },
              'a taken email');
    $row = call($module, @{ signup('aLICE', email => 'new@example.com') });
    is_deeply([$row->{status}, $row->{body}{code}, $row->{body}{details}{field}],
              [409, 'CONFLICT', 'username'], 'a taken username');
    is(call($module, @{ signup('plain', display => '') })->{display_name}, 'plain',
       'without a display name');

    my @rows = at_once($module, map { signup("race$_", email => 'race@example.com') } 1 .. 10);
    is(join(' ', sort map { $_->{status} } @rows), join(' ', 200, (409) x 9),
       'ten at once with one email');
};

my $alice = call($module, 'nchat_signin_lookup', 'ALICE@example.com');

subtest 'sign-in' => sub {
    is_deeply([@$alice{qw(password_hash status role)}], [qw(hash active member)],
              'what there is to check');
    is(call($module, 'nchat_signin_lookup', 'nobody@example.com'), undef,
       'no row for an unknown email');

    my $row = signin($alice);
    is_deeply([$row->{status}, $row->{body}{user}{status}], [200, 'online'], 'works');
    ok(good($row), 'opens a session');
    is(signin($alice, 'older hash')->{status}, 401,
       'not with a password that was changed meanwhile');
    is(signin($alice, 'hash', 'dearer hash')->{status}, 200, 'a hash is renewed');
    is(call($module, 'nchat_password_get', $alice->{user_id})->{password_hash},
       'dearer hash', 'and stored');
    is(signin($alice, 'dearer hash', '')->{status}, 200, 'or left');
    ok(good($row), 'which ends no session');

    is_deeply(call($module, 'nchat_signin_failed', 'X@y.z', undef, '10.0.0.1', 'r'),
              call($module, 'nchat_signin_failed', 'ALICE@example.com',
                   $alice->{user_id}, '10.0.0.1', 'r'),
              'a failed one answers the same for known and unknown');
    is(value($owner, "SELECT string_agg(concat_ws(',', actor_id, actor_email,"
                     . " success, resource_name), ' ' ORDER BY seq) FROM audit_log"
                     . " WHERE action = 'signin_failed'"),
       'anonymous,x@y.z,f anonymous,alice@example.com,f,Alice', 'and is recorded');
};

my $session = signin($alice, 'dearer hash');

subtest 'refresh tokens' => sub {
    my ($sid, $first) = @$session{qw(sid jti)};
    my $second = uuid();

    my $row = call($module, @{ refresh($sid, $first, $second) });
    is_deeply([@$row{qw(status sid jti ver role)}], [200, $sid, $second, 1, 'member'],
              'a token gives its successor');

    my @rows = at_once($module, map { refresh($sid, $second) } 1 .. 50);
    is(scalar(grep { $_->{status} == 200 } @rows), 50, '50 at once succeed');
    is(scalar(uniq map { "$_->{jti} $_->{iat} $_->{exp}" } @rows), 1,
       'and give one successor');
    is(call($module, @{ refresh($sid, $second) })->{jti}, $rows[0]{jti},
       'which a second use gives too');

    value($owner, "UPDATE sessions SET used_at = used_at - interval '11 s'"
                  . " WHERE id = '$sid'");
    my $call = SqlTest::statement(@{ refresh($sid, $second) });
    is(notified("$call;"), "session $sid", 'after 10 seconds it ends the session');
    ok(!good($session), 'the access token too');
    is(call($module, @{ refresh($sid, $rows[0]{jti}) })->{body}{code},
       'INVALID_TOKEN', 'and the good refresh token');
    is(value($owner, "SELECT count(*) FROM audit_log WHERE action = 'refresh_reuse'"),
       1, 'it is recorded');

    $row = signin($alice, 'dearer hash');
    my @chain = ($row->{jti}, uuid(), uuid());
    call($module, @{ refresh($row->{sid}, @chain[0, 1]) });
    call($module, @{ refresh($row->{sid}, @chain[1, 2]) });
    is(call($module, @{ refresh($row->{sid}, $chain[0]) })->{status}, 401,
       'a token before the last one, at once');
    is(call($module, @{ refresh($row->{sid}, $chain[2]) })->{status}, 401,
       'ends the family');
    is(call($module, @{ refresh(uuid(), uuid()) })->{status}, 401,
       'an unknown session');

    $row = signin($alice, 'dearer hash');
    value($owner, "UPDATE sessions SET expires_at = now() - interval '1 s'"
                  . " WHERE id = '$row->{sid}'");
    is(call($module, @{ refresh(@$row{qw(sid jti)}) })->{status}, 401, 'an expired one');
};

subtest 'the end of one session' => sub {
    my ($one, $two) = map { signin($alice, 'dearer hash') } 1, 2;

    is(notified("SELECT nchat_signout('$alice->{user_id}', '$one->{sid}', false, NULL, NULL);"),
       "session $one->{sid}", 'listeners are told');
    ok(!good($one) && good($two), 'the other one goes on');
    is(call($module, @{ refresh(@$one{qw(sid jti)}) })->{status}, 401, 'no refresh');
    is(notified("SELECT nchat_signout('$alice->{user_id}', '$one->{sid}', false, NULL, NULL);"),
       '', 'once');
    my $other = value($owner, "SELECT id FROM users WHERE username = 'plain'");
    is(notified("SELECT nchat_signout('$other', '$two->{sid}', false, NULL, NULL);"),
       '', 'nor another user\'s');
    ok(good($two), 'which goes on');
    ok(grep({ $_->{id} eq $one->{sid} }
            SqlTest::rows($module, 'SELECT * FROM nchat_sessions_changed(90000)')),
       'a node that begins to listen is told');
};

subtest 'the end of all sessions' => sub {
    my ($one, $two) = map { signin($alice, 'dearer hash') } 1, 2;
    my $id = $alice->{user_id};

    is(notified("SELECT nchat_signout('$id', '$one->{sid}', true, NULL, NULL);"),
       "user $id 2", 'signed out everywhere');
    ok(!good($one) && !good($two), 'none is good');
    is(call($module, @{ refresh(@$two{qw(sid jti)}) })->{status}, 401, 'no refresh');

    $one = signin($alice, 'dearer hash');
    is($one->{ver}, 2, 'a new one has the new version');

    my $new = call($module, 'nchat_password_change', $id, 'dearer hash', 'newest',
                   uuid(), uuid(), $month, '10.0.0.1', 'r');
    is_deeply($new->{body}, { message => 'Password updated successfully' },
              'password changed');
    ok(!good($one) && good($new), 'this session ends too, a new one begins');
    is(call($module, 'nchat_password_change', $id, 'dearer hash', 'x', uuid(),
            uuid(), $month, undef, undef)->{status}, 401,
       'not against an older password');
    is(signin($alice, 'dearer hash')->{status}, 401, 'the old one is of no use');
    is_deeply([grep { $_->{id} eq $id }
               SqlTest::rows($module, 'SELECT * FROM nchat_sessions_changed(90000)')],
              [{ kind => 'user', id => $id, ver => 3 }],
              'a node that begins to listen is told');
};

subtest 'roles and deactivation' => sub {
    my $one = signin($alice, 'newest');

    call($owner, 'nchat_operator_user_role', 'alice', 'moderator', 'root');
    ok(!good($one), 'a role change ends access tokens');
    my $row = call($module, @{ refresh(@$one{qw(sid jti)}) });
    is_deeply([@$row{qw(status role ver)}], [200, 'moderator', 4],
              'a refresh brings the new role');
    ok(good($row), 'and a good token');

    call($owner, 'nchat_operator_user_status', 'alice', 'deactivated', 'root');
    ok(!good({ %$row, ver => 99 }), 'nothing is good for a deactivated user');
    is(call($module, @{ refresh(@$row{qw(sid jti)}) })->{status}, 401, 'no refresh');
    is(signin($alice, 'newest')->{status}, 403, 'no sign-in');

    call($owner, 'nchat_operator_user_status', 'alice', 'active', 'root');
    is(signin($alice, 'newest')->{status}, 200, 'activated again');
    ok(!good($row), 'what ended stays so');
};

subtest 'identity services' => sub {
    call($owner, 'nchat_operator_user_link', 'alice', 'https://idp', 'sub-1', 'root');
    my $row = call($module, 'nchat_user_external', 'https://idp', 'sub-1');
    is_deeply([@$row{qw(user_id role status)}],
              [$alice->{user_id}, 'moderator', 'active'], 'found by iss and sub');
    is(call($module, 'nchat_user_external', 'https://evil', 'sub-1'), undef,
       'not by sub alone');
    is(value($module, "SELECT nchat_session_check('$alice->{user_id}', NULL, NULL)"),
       't', 'only the user counts for such a token');
};

subtest 'pruning' => sub {
    my $sessions = value($owner, 'SELECT count(*) FROM sessions');
    is(value($module, 'SELECT nchat_sessions_prune()'), 0, 'nothing is old');
    value($owner, "UPDATE sessions SET expires_at = now() - interval '9 days'"
                  . " WHERE id = '$session->{sid}'");
    is(value($module, 'SELECT nchat_sessions_prune()'), 1, 'what is old goes');
    is(value($owner, 'SELECT count(*) FROM sessions'), $sessions - 1, 'that alone');
};

done_testing();
