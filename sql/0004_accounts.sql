-- 0004 accounts: sign-up, sign-in, sessions and their end.
--
-- A session is what a sign-in opens; it is also its refresh tokens' family.  The
-- row has the claims of the one refresh token that is good, and the hash of
-- the one before; never a token.  Rows of different sessions are never written
-- by the same request, and a sign-up or sign-in only inserts.
--
-- Two integers of a user decide over many tokens at once.  Access tokens whose
-- `ver` is below session_version are refused; sessions that were opened below
-- sessions_from are over, their refresh tokens too.  A role change raises the
-- first, so that the next refresh brings the new role; a password change, a
-- sign-out everywhere and a deactivation raise both.
--
-- Notifications on channel "nchat", when the transaction commits:
--
--     user <id> <ver>    the user's session_version is now <ver>
--     session <id>       this session ended


ALTER TABLE users ADD sessions_from integer NOT NULL DEFAULT 1;

CREATE TABLE sessions (
    id             uuid PRIMARY KEY,
    user_id        uuid NOT NULL,
    ver            integer NOT NULL,
    ip             text,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at       timestamptz,
    jti            uuid NOT NULL,
    issued_at      timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    previous_hash  bytea,
    used_at        timestamptz
);

CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_expires ON sessions (expires_at);


-- What the functions that open or renew a session return: one row.
--
--   status, body   as everywhere
--   user_id, email, username, display_name, role, ver
--                  claims of the access token; ver is the session version
--   sid            the session
--   jti, iat, exp  claims of the refresh token, times in Unix seconds
--
-- On a refusal everything but status and body is null.

CREATE TYPE nchat_account AS (
    status        integer,
    body          text,
    user_id       uuid,
    email         text,
    username      text,
    display_name  text,
    role          text,
    ver           integer,
    sid           uuid,
    jti           uuid,
    iat           bigint,
    exp           bigint
);

CREATE FUNCTION nchat_account_refused(status integer, code text, message text,
                                      details jsonb DEFAULT '{}')
    RETURNS nchat_account
LANGUAGE sql IMMUTABLE
AS $$
    SELECT $1, nchat_error_body($2, $3, $4), NULL::uuid, NULL::text, NULL::text,
           NULL::text, NULL::text, NULL::integer, NULL::uuid, NULL::uuid,
           NULL::bigint, NULL::bigint
$$;

-- The user as the API shows it.

CREATE FUNCTION nchat_user_json(u users, status text) RETURNS json
LANGUAGE sql STABLE
AS $$
    SELECT json_strip_nulls(json_build_object(
        'id', u.id, 'email', u.email, 'username', u.username,
        'displayName', u.display_name, 'avatarUrl', u.avatar_url,
        'role', u.role, 'status', $2))
$$;

CREATE FUNCTION nchat_account_granted(u users, s sessions)
    RETURNS nchat_account
LANGUAGE sql STABLE
AS $$
    SELECT 200,
           json_build_object('user', nchat_user_json(u, 'online'))::text,
           u.id, u.email, u.username, u.display_name, u.role,
           u.session_version, s.id, s.jti,
           extract(epoch FROM s.issued_at)::bigint,
           extract(epoch FROM s.expires_at)::bigint
$$;

-- Opens a session; times are whole seconds, as tokens have them.

CREATE FUNCTION nchat_session_open(u users, p_sid uuid, p_jti uuid,
                                   p_lifetime integer, p_ip text)
    RETURNS nchat_account
LANGUAGE plpgsql
AS $$
DECLARE
    s  sessions;
BEGIN
    INSERT INTO sessions (id, user_id, ver, ip, jti, issued_at, expires_at)
    VALUES (p_sid, u.id, u.session_version, p_ip, p_jti,
            date_trunc('second', clock_timestamp()),
            date_trunc('second', clock_timestamp())
            + make_interval(secs => p_lifetime))
    RETURNING * INTO s;

    RETURN nchat_account_granted(u, s);
END
$$;

-- The server's record of something that a user did to an account, mostly the
-- own one.

CREATE FUNCTION nchat_account_record(u users, p_action text, p_description text,
                                     p_metadata jsonb, p_ip text,
                                     p_request_id text) RETURNS void
LANGUAGE sql
AS $$
    SELECT nchat_audit_record(
        'auth', $2, 'info', u.id, 'user', u.email, u.username,
        jsonb_build_object('type', 'user', 'id', u.id, 'name', u.username),
        NULL, $3, true, NULL, $4, $5, $6)
$$;


-- A new user joins the public channel that authPermissions.newMemberChannel
-- names.

CREATE FUNCTION nchat_user_welcome(p_user_id uuid) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO channel_members (channel_id, user_id)
    SELECT c.id, $1
      FROM config g JOIN channels c
        ON lower(c.name)
           = lower(g.doc #>> '{authPermissions,newMemberChannel}')
     WHERE c.type = 'public' AND c.archived_at IS NULL
$$;


-- nchat_signup(): creates an account and opens its first session.
--
--   p_user_id        the new user's id
--   p_email          stored in lower case
--   p_username
--   p_display_name   null or empty: the username
--   p_password_hash  bcrypt
--   p_refusal        what the live configuration has against this sign-up, as
--                    the body of an error, or null or empty
--   p_sid, p_jti     ids of the session and of its refresh token
--   p_lifetime       of the refresh token, seconds
--   p_ip, p_request_id
--
-- The first account ever is the owner and exempt from p_refusal; only while
-- there is none do sign-ups wait for each other.
--
-- Returns nchat_account, body {user}.  403 with p_refusal; 409 CONFLICT with
-- details.field "email" or "username" (constraint "unique").

CREATE FUNCTION nchat_signup(
    p_user_id uuid, p_email text, p_username text, p_display_name text,
    p_password_hash text, p_refusal text, p_sid uuid, p_jti uuid,
    p_lifetime integer, p_ip text, p_request_id text)
    RETURNS nchat_account
LANGUAGE plpgsql
AS $$
DECLARE
    u        users;
    v_first  boolean := NOT EXISTS (SELECT FROM users);
    v_field  text;
BEGIN
    IF v_first THEN
        PERFORM pg_advisory_xact_lock(hashtext('nchat_signup'));
        v_first := NOT EXISTS (SELECT FROM users);
    END IF;

    IF NOT v_first AND p_refusal <> '' THEN
        RETURN (403, p_refusal, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL)::nchat_account;
    END IF;

    INSERT INTO users (id, email, username, display_name, role, password_hash)
    VALUES (p_user_id, lower(p_email), p_username,
            coalesce(nullif(p_display_name, ''), p_username),
            CASE WHEN v_first THEN 'owner' ELSE 'member' END, p_password_hash)
        ON CONFLICT DO NOTHING
    RETURNING * INTO u;

    IF NOT FOUND THEN
        v_field := CASE WHEN EXISTS (SELECT FROM users
                                      WHERE email = lower(p_email))
                   THEN 'email' ELSE 'username' END;

        RETURN nchat_account_refused(
            409, 'CONFLICT', 'This ' || v_field || ' is already taken',
            jsonb_build_object('field', v_field, 'constraint', 'unique'));
    END IF;

    PERFORM nchat_user_welcome(u.id);
    PERFORM nchat_account_record(
        u, 'signup', 'Account created',
        jsonb_build_object('role', u.role), p_ip, p_request_id);

    RETURN nchat_session_open(u, p_sid, p_jti, p_lifetime, p_ip);
END
$$;

-- nchat_signin_lookup(): what a sign-in needs to check the password.
--
-- Returns one row, or none for an unknown email: user_id, password_hash (null
-- for accounts of an identity service: check a decoy), status (active or
-- deactivated), role.

CREATE FUNCTION nchat_signin_lookup(
    p_email text,
    OUT user_id uuid, OUT password_hash text, OUT status text, OUT role text)
    RETURNS SETOF record
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT u.id, u.password_hash, u.status, u.role
      FROM users u WHERE u.email = lower($1)
$$;

-- nchat_signin(): opens a session after the password was right.
--
--   p_user_id
--   p_checked_hash   the hash that the password was checked against
--   p_new_hash       a hash of the current cost to store instead, or null or
--                    empty
--   p_sid, p_jti, p_lifetime, p_ip, p_request_id   as for nchat_signup()
--
-- Returns nchat_account, body {user}.  401 UNAUTHORIZED when the password was
-- changed meanwhile; 403 FORBIDDEN when the account is deactivated.

CREATE FUNCTION nchat_signin(
    p_user_id uuid, p_checked_hash text, p_new_hash text, p_sid uuid,
    p_jti uuid, p_lifetime integer, p_ip text, p_request_id text)
    RETURNS nchat_account
LANGUAGE plpgsql
AS $$
DECLARE
    u  users;
BEGIN
    IF p_new_hash <> '' THEN
        UPDATE users SET password_hash = p_new_hash
         WHERE id = p_user_id AND password_hash = p_checked_hash
        RETURNING * INTO u;
    ELSE
        SELECT * INTO u FROM users
         WHERE id = p_user_id AND password_hash = p_checked_hash;
    END IF;

    IF NOT FOUND THEN
        RETURN nchat_account_refused(401, 'UNAUTHORIZED',
                                     'Invalid email or password');
    END IF;

    IF u.status <> 'active' THEN
        PERFORM nchat_audit_record(
            'auth', 'signin_failed', 'warning', NULL, 'anonymous', u.email,
            NULL, jsonb_build_object('type', 'user', 'id', u.id,
                                     'name', u.username),
            NULL, 'Sign-in failed', false, 'The account is deactivated', NULL,
            p_ip, p_request_id);

        RETURN nchat_account_refused(403, 'FORBIDDEN',
                                     'This account is deactivated');
    END IF;

    PERFORM nchat_account_record(u, 'signin', 'Signed in',
                                 jsonb_build_object('sessionId', p_sid), p_ip,
                                 p_request_id);

    RETURN nchat_session_open(u, p_sid, p_jti, p_lifetime, p_ip);
END
$$;

-- nchat_signin_failed(): records a failed sign-in.
--
--   p_email      as it was given
--   p_user_id    of the account, or null where there is none
--   p_ip, p_request_id
--
-- Returns status 401 and the refusal.

CREATE FUNCTION nchat_signin_failed(
    p_email text, p_user_id uuid, p_ip text, p_request_id text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM nchat_audit_record(
        'auth', 'signin_failed', 'warning', NULL, 'anonymous',
        left(lower(p_email), 254), NULL,
        (SELECT jsonb_build_object('type', 'user', 'id', u.id,
                                   'name', u.username)
           FROM users u WHERE u.id = p_user_id),
        NULL, 'Sign-in failed', false, 'Invalid email or password', NULL, p_ip,
        p_request_id);

    SELECT e.status, e.body INTO status, body
      FROM nchat_error(401, 'UNAUTHORIZED', 'Invalid email or password') e;
END
$$;

-- nchat_password_get(): a user's password_hash, status and ver, the session
-- version; no row for an unknown user.

CREATE FUNCTION nchat_password_get(
    p_user_id uuid,
    OUT password_hash text, OUT status text, OUT ver integer)
    RETURNS SETOF record
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT u.password_hash, u.status, u.session_version
      FROM users u WHERE u.id = $1
$$;

-- nchat_sessions_end(): ends every session of a user and refuses older access
-- tokens; returns the new user row.

CREATE FUNCTION nchat_sessions_end(p_user_id uuid) RETURNS users
LANGUAGE plpgsql
AS $$
DECLARE
    u  users;
BEGIN
    UPDATE users SET session_version = session_version + 1,
                     sessions_from = session_version + 1,
                     session_changed_at = clock_timestamp()
     WHERE id = p_user_id
    RETURNING * INTO u;

    PERFORM pg_notify('nchat', 'user ' || u.id || ' ' || u.session_version);

    RETURN u;
END
$$;

-- nchat_password_change(): stores a new password, ends every session and opens
-- a new one.
--
--   p_user_id
--   p_checked_hash   the hash that the current password was checked against
--   p_new_hash
--   p_sid, p_jti, p_lifetime, p_ip, p_request_id   as for nchat_signup()
--
-- Notifies: "user <id> <ver>".  Returns nchat_account, body {message}; 401
-- UNAUTHORIZED when the password was changed meanwhile or the account is
-- deactivated.

CREATE FUNCTION nchat_password_change(
    p_user_id uuid, p_checked_hash text, p_new_hash text, p_sid uuid,
    p_jti uuid, p_lifetime integer, p_ip text, p_request_id text)
    RETURNS nchat_account
LANGUAGE plpgsql
AS $$
DECLARE
    u  users;
    r  nchat_account;
BEGIN
    UPDATE users SET password_hash = p_new_hash
     WHERE id = p_user_id AND password_hash = p_checked_hash
       AND status = 'active';

    IF NOT FOUND THEN
        RETURN nchat_account_refused(401, 'UNAUTHORIZED',
                                     'Current password is incorrect');
    END IF;

    u := nchat_sessions_end(p_user_id);

    PERFORM nchat_account_record(u, 'password_change', 'Password changed', NULL,
                                 p_ip, p_request_id);

    r := nchat_session_open(u, p_sid, p_jti, p_lifetime, p_ip);
    r.body := '{"message":"Password updated successfully"}';
    RETURN r;
END
$$;

-- nchat_refresh(): exchanges a refresh token for its one successor.
--
--   p_sid, p_jti     claims of the token, its signature and expiry checked
--   p_new_jti        the successor's id, if there is none yet
--   p_lifetime       of the successor, seconds
--   p_ip, p_request_id
--
-- The token that was used last gives the same successor again within 10 seconds
-- (two tabs, a lost answer).  Any older one, or that one later, was stolen or
-- copied: the session ends.  Parallel calls queue on the session's row.
--
-- Notifies "session <id>" when it ends.  Returns nchat_account, body {user};
-- 401 INVALID_TOKEN for a reused token and for an ended or unknown session.

CREATE FUNCTION nchat_refresh(
    p_sid uuid, p_jti uuid, p_new_jti uuid, p_lifetime integer, p_ip text,
    p_request_id text)
    RETURNS nchat_account
LANGUAGE plpgsql
AS $$
DECLARE
    c_again  CONSTANT interval := '10 seconds';
    v_hash   bytea := sha256(uuid_send(p_jti));
    s        sessions;
    u        users;
BEGIN
    SELECT * INTO s FROM sessions WHERE id = p_sid FOR UPDATE;
    SELECT * INTO u FROM users WHERE id = s.user_id;

    IF u.id IS NULL OR u.status <> 'active' OR s.ended_at IS NOT NULL
       OR s.ver < u.sessions_from OR s.expires_at < clock_timestamp()
    THEN
        RETURN nchat_account_refused(401, 'INVALID_TOKEN',
                                     'Invalid or expired refresh token');
    END IF;

    IF s.jti = p_jti THEN
        UPDATE sessions
           SET jti = p_new_jti, previous_hash = v_hash,
               used_at = clock_timestamp(),
               issued_at = date_trunc('second', clock_timestamp()),
               expires_at = date_trunc('second', clock_timestamp())
                            + make_interval(secs => p_lifetime)
         WHERE id = p_sid
        RETURNING * INTO s;

    ELSIF s.previous_hash IS DISTINCT FROM v_hash
          OR s.used_at < clock_timestamp() - c_again
    THEN
        UPDATE sessions SET ended_at = clock_timestamp() WHERE id = p_sid;

        PERFORM pg_notify('nchat', 'session ' || p_sid);
        PERFORM nchat_audit_record(
            'security', 'refresh_reuse', 'warning', u.id, 'user', u.email,
            u.username, jsonb_build_object('type', 'session', 'id', p_sid),
            NULL, 'A refresh token was used again; its session ended', false,
            'Refresh token reused', NULL, p_ip, p_request_id);

        RETURN nchat_account_refused(401, 'INVALID_TOKEN',
                                     'Invalid or expired refresh token');
    END IF;

    RETURN nchat_account_granted(u, s);
END
$$;

-- nchat_signout(): ends a session, or all of a user.
--
--   p_user_id
--   p_sid          the caller's session; null has none (an identity service's
--                  token)
--   p_everywhere   all sessions
--   p_ip, p_request_id
--
-- Notifies: "session <id>" or "user <id> <ver>".  Returns status 200 and
-- {message}, also when the session had ended before.

CREATE FUNCTION nchat_signout(
    p_user_id uuid, p_sid uuid, p_everywhere boolean, p_ip text,
    p_request_id text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    u  users;
BEGIN
    IF p_everywhere THEN
        u := nchat_sessions_end(p_user_id);
    ELSE
        SELECT * INTO u FROM users WHERE id = p_user_id;

        UPDATE sessions SET ended_at = clock_timestamp()
         WHERE id = p_sid AND user_id = p_user_id AND ended_at IS NULL;

        IF FOUND THEN
            PERFORM pg_notify('nchat', 'session ' || p_sid);
        END IF;
    END IF;

    PERFORM nchat_account_record(
        u, 'signout', CASE WHEN p_everywhere THEN 'Signed out everywhere'
                           ELSE 'Signed out' END,
        jsonb_strip_nulls(jsonb_build_object('sessionId', p_sid,
                                             'everywhere', p_everywhere)),
        p_ip, p_request_id);

    status := 200;
    body := '{"message":"Signed out successfully"}';
END
$$;

-- nchat_session_check(): whether an access token's user, session and version
-- are still good, for a node that cannot know.  p_sid and p_ver are null for
-- tokens of an identity service: only the user counts then.

CREATE FUNCTION nchat_session_check(p_user_id uuid, p_sid uuid, p_ver integer,
                                    OUT valid boolean)
LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        SELECT FROM users u
         WHERE u.id = $1 AND u.status = 'active'
           AND ($3 IS NULL OR $3 >= u.session_version)
           AND ($2 IS NULL
                OR EXISTS (SELECT FROM sessions s
                            WHERE s.id = $2 AND s.user_id = u.id
                              AND s.ended_at IS NULL)))
$$;

-- nchat_sessions_changed(): what a node's shared zone must know, for when it
-- begins to listen.
--
--   p_seconds    how far back: the access tokens' lifetime and some more
--
-- Returns rows: kind "user", id, ver (the user's session version now), or kind
-- "session", id of an ended session, ver null.

CREATE FUNCTION nchat_sessions_changed(
    p_seconds integer, OUT kind text, OUT id uuid, OUT ver integer)
    RETURNS SETOF record
LANGUAGE sql STABLE
AS $$
    SELECT 'user', u.id, u.session_version FROM users u
     WHERE u.session_changed_at > now() - make_interval(secs => $1)
       AND u.session_changed_at > '-infinity'
    UNION ALL
    SELECT 'session', s.id, NULL FROM sessions s
     WHERE s.ended_at > now() - make_interval(secs => $1)
$$;

-- nchat_user_external(): the user of an identity service's token, by its iss
-- and sub.  One row or none: user_id, email, username, display_name, role,
-- status (active or deactivated).  Accounts are linked by the operator.

CREATE FUNCTION nchat_user_external(
    p_iss text, p_sub text,
    OUT user_id uuid, OUT email text, OUT username text, OUT display_name text,
    OUT role text, OUT status text)
    RETURNS SETOF record
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT u.id, u.email, u.username, u.display_name, u.role, u.status
      FROM users u WHERE u.external_iss = $1 AND u.external_sub = $2
$$;

-- nchat_sessions_prune(): the periodic job's statement: forgets sessions whose
-- last refresh token expired more than 8 days ago, at most 10,000 of them.
-- Returns how many.  An access token may therefore live for up to 8 days
-- longer than its refresh token.

CREATE FUNCTION nchat_sessions_prune() RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    v_count  integer;
BEGIN
    DELETE FROM sessions WHERE id = ANY (ARRAY(
        SELECT id FROM sessions
         WHERE expires_at < now() - interval '8 days' LIMIT 10000));

    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;


SELECT nchat_module_allow('nchat_account_refused', 'nchat_user_json',
                          'nchat_account_granted', 'nchat_session_open',
                          'nchat_account_record', 'nchat_user_welcome',
                          'nchat_signup',
                          'nchat_signin_lookup', 'nchat_signin',
                          'nchat_signin_failed', 'nchat_password_get',
                          'nchat_sessions_end', 'nchat_password_change',
                          'nchat_refresh', 'nchat_signout',
                          'nchat_session_check', 'nchat_sessions_changed',
                          'nchat_user_external', 'nchat_sessions_prune');

SELECT nchat_module_grant('INSERT ON users',
                          'UPDATE (password_hash, session_version, sessions_from, session_changed_at) ON users',
                          'INSERT ON channel_members',
                          'SELECT, INSERT, UPDATE, DELETE ON sessions');
