-- 0010 the operator's functions: accounts and channels as bin/nchat-admin sees
-- and changes them.  For the owner's role only.
--
-- p_operator is the name of whoever runs the tool; it stands as the actor's
-- username in the audit log.  A user is given by id, email or username, a
-- channel by id or name, with or without #.


CREATE FUNCTION nchat_operator_record(p_action text, p_resource jsonb,
                                      p_target jsonb, p_description text,
                                      p_operator text,
                                      p_category text DEFAULT 'admin')
    RETURNS void
LANGUAGE sql
AS $$
    SELECT nchat_audit_record($6, $1, 'info', NULL, 'operator', NULL, $5, $2,
                              $3, $4, true, NULL, NULL, NULL, NULL)
$$;

CREATE FUNCTION nchat_user_find(p_user text) RETURNS users
LANGUAGE sql STABLE
AS $$
    SELECT u.* FROM users u
     WHERE u.id::text = lower($1) OR u.email = lower($1)
           OR lower(u.username) = lower($1)
     LIMIT 1
$$;

CREATE FUNCTION nchat_channel_find(p_channel text) RETURNS channels
LANGUAGE sql STABLE
AS $$
    SELECT c.* FROM channels c
     WHERE c.id::text = lower($1)
           OR (lower(c.name) = lower(ltrim($1, '#')) AND c.type <> 'direct')
     LIMIT 1
$$;

-- Users and channels as the audit log names them.

CREATE FUNCTION nchat_user_resource(u users, p_previous text DEFAULT NULL,
                                    p_new text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'type', 'user', 'id', u.id, 'name', u.username,
        'previousValue', $2, 'newValue', $3))
$$;

CREATE FUNCTION nchat_channel_resource(c channels) RETURNS jsonb
LANGUAGE sql STABLE
AS $$ SELECT jsonb_build_object('type', 'channel', 'id', c.id, 'name', c.name) $$;

-- Users and channels as the operator sees them.

CREATE FUNCTION nchat_operator_user_json(u users) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'id', u.id, 'email', u.email, 'username', u.username,
        'displayName', u.display_name, 'role', u.role, 'status', u.status,
        'externalIssuer', u.external_iss, 'externalSubject', u.external_sub,
        'createdAt', nchat_time(u.created_at)))
$$;

CREATE FUNCTION nchat_operator_channel_json(c channels) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'id', c.id, 'name', c.name, 'type', c.type, 'topic', c.topic,
        'description', c.description,
        'members', (SELECT count(*) FROM channel_members m
                     WHERE m.channel_id = c.id),
        'archivedAt', nchat_time(c.archived_at),
        'createdAt', nchat_time(c.created_at)))
$$;


-- nchat_operator_users(): all users, of one role or status where given.
-- 200 {users:[…]}, oldest first.

CREATE FUNCTION nchat_operator_users(p_role text, p_status text,
                                     OUT status integer, OUT body text)
LANGUAGE sql STABLE
AS $$
    SELECT 200, jsonb_build_object(
        'users', coalesce(jsonb_agg(nchat_operator_user_json(u)
                                    ORDER BY u.created_at, u.id), '[]'))::text
      FROM users u
     WHERE u.role = coalesce($1, u.role) AND u.status = coalesce($2, u.status)
$$;

-- nchat_operator_user(): one user.
-- 200 {user:{…, channels:[names], sessions}}, sessions those that can be
-- refreshed.  404 NOT_FOUND.

CREATE FUNCTION nchat_operator_user(p_user text,
                                    OUT status integer, OUT body text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    u  users := nchat_user_find(p_user);
BEGIN
    IF u.id IS NULL THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'User not found');
        RETURN;
    END IF;

    status := 200;
    body := jsonb_build_object('user', nchat_operator_user_json(u)
        || jsonb_build_object(
            'channels', (SELECT coalesce(jsonb_agg(c.name ORDER BY c.name), '[]')
                           FROM channel_members m
                           JOIN channels c ON c.id = m.channel_id
                          WHERE m.user_id = u.id AND c.type <> 'direct'),
            'sessions', (SELECT count(*) FROM sessions s
                          WHERE s.user_id = u.id AND s.ended_at IS NULL
                            AND s.ver >= u.sessions_from
                            AND s.expires_at > now()
                            AND u.status = 'active')));
END
$$;

-- nchat_operator_user_create(): an account without a session; the first one
-- ever is the owner, else it has the given role.
--
--   p_email, p_username
--   p_display_name   null: the username
--   p_role           null: member
--   p_hash           bcrypt, or null: no sign-in by password
--
-- 201 {user}.  400 VALIDATION_ERROR; 409 CONFLICT for a taken email or username,
-- or a second owner.

CREATE FUNCTION nchat_operator_user_create(
    p_email text, p_username text, p_display_name text, p_role text,
    p_hash text, p_operator text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    u        users;
    v_role   text := coalesce(p_role, 'member');
    v_field  text;
BEGIN
    v_field := CASE
        WHEN p_email ~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$'
             IS NOT TRUE OR char_length(p_email) > 254 THEN 'email'
        WHEN p_username ~ '^[A-Za-z0-9_-]{3,30}$' IS NOT TRUE THEN 'username'
        WHEN nchat_role_rank(v_role) = 0 THEN 'role' END;

    IF v_field IS NOT NULL THEN
        status := 400;
        body := nchat_error_body(
            'VALIDATION_ERROR', 'Validation failed: ' || v_field
            || ' is not valid',
            jsonb_build_object('field', v_field, 'constraint', 'format'));
        RETURN;
    END IF;

    PERFORM pg_advisory_xact_lock(hashtext('nchat_signup'));

    IF NOT EXISTS (SELECT FROM users) THEN
        v_role := 'owner';
    ELSIF v_role = 'owner' THEN
        status := 409;
        body := nchat_error_body('CONFLICT', 'There is an owner already');
        RETURN;
    END IF;

    INSERT INTO users (email, username, display_name, role, password_hash)
    VALUES (lower(p_email), p_username, coalesce(p_display_name, p_username),
            v_role, p_hash)
        ON CONFLICT DO NOTHING
    RETURNING * INTO u;

    IF NOT FOUND THEN
        v_field := CASE WHEN EXISTS (SELECT FROM users
                                      WHERE email = lower(p_email))
                   THEN 'email' ELSE 'username' END;
        status := 409;
        body := nchat_error_body(
            'CONFLICT', 'This ' || v_field || ' is already taken',
            jsonb_build_object('field', v_field, 'constraint', 'unique'));
        RETURN;
    END IF;

    PERFORM nchat_user_welcome(u.id);
    PERFORM nchat_operator_record('user_create', nchat_user_resource(u), NULL,
                                  'Account created', p_operator);
    status := 201;
    body := jsonb_build_object('user', nchat_operator_user_json(u));
END
$$;

-- Sets the role and refuses older access tokens; the next refresh brings the
-- new role.

CREATE FUNCTION nchat_user_role_set(u users, p_role text, p_operator text)
    RETURNS users
LANGUAGE plpgsql
AS $$
DECLARE
    v_user  users;
BEGIN
    UPDATE users SET role = p_role, session_version = session_version + 1,
                     session_changed_at = clock_timestamp()
     WHERE id = u.id
    RETURNING * INTO v_user;

    PERFORM pg_notify('nchat', 'user ' || u.id || ' '
                               || v_user.session_version);
    PERFORM nchat_operator_record('role_change',
                                  nchat_user_resource(u, u.role, p_role), NULL,
                                  'Role changed', p_operator);
    RETURN v_user;
END
$$;

-- nchat_operator_user_role(): changes a user's role.  There is exactly one
-- owner: making somebody owner makes the former one an admin.
--
-- Notifies: "user <id> <ver>".  200 {user}.  404 NOT_FOUND; 400
-- VALIDATION_ERROR for an unknown role; 409 CONFLICT when the owner would lose
-- the role without a successor, or the successor is deactivated.

CREATE FUNCTION nchat_operator_user_role(p_user text, p_role text,
                                         p_operator text,
                                         OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    u  users := nchat_user_find(p_user);
    o  users;
BEGIN
    IF u.id IS NULL THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'User not found');
        RETURN;
    END IF;

    IF nchat_role_rank(p_role) = 0 THEN
        status := 400;
        body := nchat_error_body(
            'VALIDATION_ERROR', 'Validation failed: role must be owner, admin, '
            'moderator, member or guest',
            '{"field": "role", "constraint": "enum"}');
        RETURN;
    END IF;

    -- In order of ids, so that two transfers never wait for each other.

    PERFORM FROM users WHERE id = u.id OR (p_role = 'owner' AND role = 'owner')
      ORDER BY id FOR UPDATE;
    SELECT * INTO u FROM users WHERE id = u.id;

    IF u.role = 'owner' AND p_role <> 'owner' THEN
        status := 409;
        body := nchat_error_body('CONFLICT', 'There must be an owner: make '
                                             'somebody else owner instead');
        RETURN;
    END IF;

    IF p_role = 'owner' AND u.status <> 'active' THEN
        status := 409;
        body := nchat_error_body('CONFLICT',
                                 'A deactivated user cannot be the owner');
        RETURN;
    END IF;

    IF p_role = 'owner' AND u.role <> 'owner' THEN
        SELECT * INTO o FROM users WHERE role = 'owner';

        IF FOUND THEN
            PERFORM nchat_user_role_set(o, 'admin', p_operator);
        END IF;
    END IF;

    IF u.role <> p_role THEN
        u := nchat_user_role_set(u, p_role, p_operator);
    END IF;

    status := 200;
    body := jsonb_build_object('user', nchat_operator_user_json(u));
END
$$;

-- nchat_operator_user_password(): stores a bcrypt hash and ends all sessions.
-- Notifies: "user <id> <ver>".  200 {user}.  404 NOT_FOUND.

CREATE FUNCTION nchat_operator_user_password(p_user text, p_hash text,
                                             p_operator text,
                                             OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    u  users := nchat_user_find(p_user);
BEGIN
    IF u.id IS NULL THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'User not found');
        RETURN;
    END IF;

    UPDATE users SET password_hash = p_hash WHERE id = u.id;
    u := nchat_sessions_end(u.id);

    PERFORM nchat_operator_record('password_change', nchat_user_resource(u),
                                  NULL, 'Password set', p_operator, 'auth');

    status := 200;
    body := jsonb_build_object('user', nchat_operator_user_json(u));
END
$$;

-- nchat_operator_user_status(): 'deactivated' ends all sessions and refuses
-- sign-ins; 'active' allows them again.
-- Notifies: "user <id> <ver>".  200 {user}, also when it was so before.  404
-- NOT_FOUND; 409 CONFLICT for the owner.

CREATE FUNCTION nchat_operator_user_status(p_user text, p_status text,
                                           p_operator text,
                                           OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    u  users := nchat_user_find(p_user);
BEGIN
    IF u.id IS NULL THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'User not found');
        RETURN;
    END IF;

    SELECT * INTO u FROM users WHERE id = u.id FOR UPDATE;

    IF u.role = 'owner' AND p_status <> 'active' THEN
        status := 409;
        body := nchat_error_body('CONFLICT', 'The owner cannot be deactivated');
        RETURN;
    END IF;

    IF u.status <> p_status THEN
        UPDATE users SET status = p_status WHERE id = u.id;
        u := nchat_sessions_end(u.id);

        PERFORM nchat_operator_record(
            CASE p_status WHEN 'active' THEN 'user_activate'
                          ELSE 'user_deactivate' END,
            nchat_user_resource(u), NULL,
            CASE p_status WHEN 'active' THEN 'Account activated'
                          ELSE 'Account deactivated' END, p_operator);
    END IF;

    status := 200;
    body := jsonb_build_object('user', nchat_operator_user_json(u));
END
$$;

-- nchat_operator_user_link(): whose tokens of an identity service are this
-- user's: those with this iss and sub; null and null for nobody's.
-- Ends all sessions and notifies: "user <id> <ver>".  200 {user}.  404
-- NOT_FOUND; 409 CONFLICT when another user has them.

CREATE FUNCTION nchat_operator_user_link(p_user text, p_iss text, p_sub text,
                                         p_operator text,
                                         OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    u  users := nchat_user_find(p_user);
BEGIN
    IF u.id IS NULL THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'User not found');
        RETURN;
    END IF;

    UPDATE users SET external_iss = p_iss, external_sub = p_sub
     WHERE id = u.id;
    u := nchat_sessions_end(u.id);

    PERFORM nchat_operator_record(
        'user_link', nchat_user_resource(u, NULL, p_iss || ' ' || p_sub), NULL,
        CASE WHEN p_iss IS NULL THEN 'Account unlinked from identity service'
             ELSE 'Account linked to identity service' END, p_operator);

    status := 200;
    body := jsonb_build_object('user', nchat_operator_user_json(u));

EXCEPTION WHEN unique_violation THEN
    status := 409;
    body := nchat_error_body('CONFLICT', 'Another user has this identity');
END
$$;


-- nchat_operator_channels(): all public and private channels, by name.
-- 200 {channels:[…]}.

CREATE FUNCTION nchat_operator_channels(OUT status integer, OUT body text)
LANGUAGE sql STABLE
AS $$
    SELECT 200, jsonb_build_object(
        'channels', coalesce(jsonb_agg(nchat_operator_channel_json(c)
                                       ORDER BY lower(c.name)), '[]'))::text
      FROM channels c WHERE c.type <> 'direct'
$$;

-- nchat_operator_channel_create(): a new channel.
--
--   p_name         1 to 80 letters, digits, "-", "_" and ".", the first a
--                  letter or digit; a leading # is dropped
--   p_private
--   p_topic, p_description   or null
--
-- 201 {channel}.  400 VALIDATION_ERROR; 409 CONFLICT for a name that is taken.

CREATE FUNCTION nchat_operator_channel_create(
    p_name text, p_private boolean, p_topic text, p_description text,
    p_operator text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    c  channels;
BEGIN
    IF ltrim(p_name, '#') ~ '^[[:alnum:]][[:alnum:]._-]{0,79}$' IS NOT TRUE THEN
        status := 400;
        body := nchat_error_body(
            'VALIDATION_ERROR', 'Validation failed: a channel''s name must be '
            '1-80 letters, digits, "-", "_" or "."',
            '{"field": "name", "constraint": "format"}');
        RETURN;
    END IF;

    INSERT INTO channels (name, type, topic, description)
    VALUES (ltrim(p_name, '#'),
            CASE WHEN p_private THEN 'private' ELSE 'public' END,
            p_topic, p_description)
        ON CONFLICT DO NOTHING
    RETURNING * INTO c;

    IF NOT FOUND THEN
        status := 409;
        body := nchat_error_body('CONFLICT', 'This channel name is already taken',
                                 '{"field": "name", "constraint": "unique"}');
        RETURN;
    END IF;

    PERFORM nchat_operator_record('channel_create', nchat_channel_resource(c),
                                  NULL, 'Channel created', p_operator);

    status := 201;
    body := jsonb_build_object('channel', nchat_operator_channel_json(c));
END
$$;

-- nchat_operator_channel_member(): a user joins a channel, or leaves it.
-- 200 {channel, user}, also when it was so before.  404 NOT_FOUND.

CREATE FUNCTION nchat_operator_channel_member(
    p_channel text, p_user text, p_member boolean, p_operator text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    c  channels := nchat_channel_find(p_channel);
    u  users := nchat_user_find(p_user);
BEGIN
    IF c.id IS NULL OR u.id IS NULL THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND',
                    CASE WHEN c.id IS NULL THEN 'Channel not found'
                         ELSE 'User not found' END);
        RETURN;
    END IF;

    IF p_member THEN
        INSERT INTO channel_members (channel_id, user_id) VALUES (c.id, u.id)
            ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM channel_members
         WHERE channel_id = c.id AND user_id = u.id;
    END IF;

    IF FOUND THEN
        PERFORM nchat_operator_record(
            CASE WHEN p_member THEN 'channel_join' ELSE 'channel_leave' END,
            nchat_channel_resource(c), nchat_user_resource(u),
            CASE WHEN p_member THEN 'User added to channel'
                 ELSE 'User removed from channel' END, p_operator);
    END IF;

    status := 200;
    body := jsonb_build_object('channel', nchat_operator_channel_json(c),
                               'user', nchat_operator_user_json(u));
END
$$;

-- nchat_operator_channel_archive(): archives a channel, or takes it back.
-- 200 {channel}, also when it was so before.  404 NOT_FOUND.

CREATE FUNCTION nchat_operator_channel_archive(
    p_channel text, p_archived boolean, p_operator text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    c  channels := nchat_channel_find(p_channel);
BEGIN
    IF c.id IS NULL THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'Channel not found');
        RETURN;
    END IF;

    UPDATE channels SET archived_at = CASE WHEN p_archived THEN now() END
     WHERE id = c.id AND (archived_at IS NOT NULL) <> p_archived
    RETURNING * INTO c;

    IF FOUND THEN
        PERFORM nchat_operator_record(
            CASE WHEN p_archived THEN 'channel_archive'
                 ELSE 'channel_unarchive' END,
            nchat_channel_resource(c), NULL,
            CASE WHEN p_archived THEN 'Channel archived'
                 ELSE 'Channel taken from the archive' END, p_operator);
    ELSE
        c := nchat_channel_find(p_channel);
    END IF;

    status := 200;
    body := jsonb_build_object('channel', nchat_operator_channel_json(c));
END
$$;


-- nchat_operator_status(): what is in the database.
-- 200 {schema, database, databaseSize, moduleRole, moduleReady, users, channels,
-- messages, auditEntries, auditBlocks, auditUnsealed}, the size in bytes.

CREATE FUNCTION nchat_operator_status(OUT status integer, OUT body text)
LANGUAGE sql STABLE
AS $$
    SELECT 200, jsonb_build_object(
        'schema', nchat_schema_version(),
        'database', current_database(),
        'databaseSize', pg_database_size(current_database()),
        'moduleRole', nchat_module_role(),
        'moduleReady', nchat_module_ready(),
        'users', (SELECT count(*) FROM users),
        'channels', (SELECT count(*) FROM channels WHERE type <> 'direct'),
        'messages', (SELECT count(*) FROM messages WHERE deleted_at IS NULL),
        'auditEntries', nchat_audit_count(),
        'auditBlocks', (SELECT count(*) FROM audit_blocks),
        'auditUnsealed', (SELECT count(*) FROM audit_log
                           WHERE seq > (SELECT coalesce(max(last_seq), 0)
                                          FROM audit_blocks)))::text
$$;
