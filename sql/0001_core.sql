-- 0001 core: migrations, secrets, the module's role and its rights, small
-- helpers, users, channels, messages.
--
-- Every object lives in schema public.  Two roles use it: the owner, who runs
-- the migrations and the operator's tool, and the module's own role, named
-- <database>_module, which has only the rights that migrations give it through
-- nchat_module_allow() and nchat_module_grant().
--
-- API functions return one row: `status int, body text` and further named
-- columns where the caller needs them.  Below 300 the body is the payload, one
-- JSON object; from 400 on it is {"error","code","details"}.


DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'database "%" is not encoded in UTF-8',
                        current_database()
              USING HINT = 'Create it with: CREATE DATABASE ... ENCODING '
                           '''UTF8'' TEMPLATE template0';
    END IF;

    IF octet_length(current_database()) > 56 THEN
        RAISE EXCEPTION 'database name "%" is too long for a role "<name>_module"',
                        current_database()
              USING HINT = 'Use a name of at most 56 bytes.';
    END IF;
END
$$;


CREATE TABLE schema_migrations (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

-- The highest migration that was applied.  The module refuses to serve on one
-- that is older than it needs.

CREATE FUNCTION nchat_schema_version() RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT coalesce(max(version), 0) FROM schema_migrations $$;


-- What every node started on this database must share.  For the owner only.
-- jwt_key is 64 hex digits, 32 random bytes; module_password is the password
-- of the module's role.

CREATE TABLE node_secrets (
    name   text PRIMARY KEY,
    value  text NOT NULL
);

-- Four random UUIDs carry 488 random bits; their SHA-256 is 32 bytes, in hex.

CREATE FUNCTION nchat_random_secret() RETURNS text
LANGUAGE sql VOLATILE
AS $$
    SELECT encode(sha256((gen_random_uuid()::text || gen_random_uuid()::text
                          || gen_random_uuid()::text
                          || gen_random_uuid()::text)::bytea), 'hex')
$$;

INSERT INTO node_secrets (name, value)
VALUES ('module_password', nchat_random_secret()),
       ('jwt_key', nchat_random_secret());


-- The module's role and rights.  What migrations give is kept in a table, so
-- that nchat-migrate can give it again where the role is missing, as after a
-- restore into another cluster.

CREATE TABLE module_rights (
    kind  text NOT NULL CHECK (kind IN ('function', 'grant')),
    what  text NOT NULL,
    PRIMARY KEY (kind, what)
);

CREATE FUNCTION nchat_module_role() RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT current_database() || '_module' $$;

-- nchat_module_apply(kind, what): gives one right to the module's role.
-- A function is given by its name, in all its forms, and taken from PUBLIC.

CREATE FUNCTION nchat_module_apply(p_kind text, p_what text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_function  regprocedure;
BEGIN
    IF p_kind = 'grant' THEN
        EXECUTE format('GRANT %s TO %I', p_what, nchat_module_role());
        RETURN;
    END IF;

    FOR v_function IN
        SELECT oid FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace AND proname = p_what
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', v_function,
                       nchat_module_role());
    END LOOP;

    IF v_function IS NULL THEN
        RAISE EXCEPTION 'there is no function "%"', p_what;
    END IF;
END
$$;

-- nchat_module_allow('name', ...): the module may call these functions.

CREATE FUNCTION nchat_module_allow(VARIADIC p_names text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_name  text;
BEGIN
    FOREACH v_name IN ARRAY p_names LOOP
        INSERT INTO module_rights VALUES ('function', v_name)
            ON CONFLICT DO NOTHING;
        PERFORM nchat_module_apply('function', v_name);
    END LOOP;
END
$$;

-- nchat_module_grant('SELECT, INSERT ON messages', ...): the module has these
-- rights; each text stands between GRANT and TO.

CREATE FUNCTION nchat_module_grant(VARIADIC p_rights text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_right  text;
BEGIN
    FOREACH v_right IN ARRAY p_rights LOOP
        INSERT INTO module_rights VALUES ('grant', v_right)
            ON CONFLICT DO NOTHING;
        PERFORM nchat_module_apply('grant', v_right);
    END LOOP;
END
$$;

-- nchat_module_setup(): creates the module's role where it is missing, with
-- the stored password, gives it all recorded rights, and takes what is not
-- meant for it from PUBLIC.  Run by nchat-migrate as the owner, after
-- migrations and whenever nchat_module_ready() is false.

CREATE FUNCTION nchat_module_setup() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_role      text := nchat_module_role();
    v_function  regprocedure;
    v_right     module_rights;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', v_role,
                           (SELECT value FROM node_secrets
                             WHERE name = 'module_password'));
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'role "%", which the module uses, does not exist, '
                            'and "%" may not create it', v_role, current_user
                  USING HINT = format('As a superuser, run: ALTER ROLE %I '
                                      'CREATEROLE; or: CREATE ROLE %I LOGIN '
                                      'PASSWORD ''...''; then migrate again.',
                                      current_user, v_role);
        END;
    END IF;

    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(),
                   v_role);
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', v_role);

    FOR v_function IN
        SELECT oid FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace
           AND proname LIKE 'nchat\_%'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;

    FOR v_right IN SELECT * FROM module_rights ORDER BY kind, what LOOP
        PERFORM nchat_module_apply(v_right.kind, v_right.what);
    END LOOP;
END
$$;

-- Whether the module's role exists and has its rights.

CREATE FUNCTION nchat_module_ready() RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT coalesce(bool_or(has_function_privilege(
                        r.oid, 'nchat_schema_version()', 'EXECUTE')
                    AND has_database_privilege(
                        r.oid, current_database(), 'CONNECT')), false)
      FROM pg_roles r WHERE r.rolname = nchat_module_role()
$$;

-- A role of that name that is older than the secret, as when a database was
-- dropped and made again, gets the new password.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = nchat_module_role()) THEN
        EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', nchat_module_role(),
                       (SELECT value FROM node_secrets
                         WHERE name = 'module_password'));
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'role "%" keeps its password, since "%" may not change it',
                  nchat_module_role(), current_user
          USING HINT = 'Store the one it has: UPDATE node_secrets SET value = '
                       '''...'' WHERE name = ''module_password''.';
END
$$;

SELECT nchat_module_setup();


-- Helpers.

-- A time as the API writes it: RFC 3339, UTC, milliseconds.

CREATE FUNCTION nchat_time(timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- The body of a refusal.

CREATE FUNCTION nchat_error_body(code text, message text,
                                 details jsonb DEFAULT '{}') RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT jsonb_build_object('error', $2, 'code', $1,
                              'details', coalesce($3, '{}'))::text
$$;

-- A refusal as a row, e.g. SELECT * FROM nchat_error(404, 'NOT_FOUND', '...').

CREATE FUNCTION nchat_error(status integer, code text, message text,
                            details jsonb DEFAULT '{}')
    RETURNS TABLE (status integer, body text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT $1, nchat_error_body($2, $3, $4) $$;

-- Roles in order: guest 1, member 2, moderator 3, admin 4, owner 5; anything
-- else, null too, is 0.

CREATE FUNCTION nchat_role_rank(role text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(array_position('{guest,member,moderator,admin,owner}'::text[],
                                   $1), 0)
$$;


-- People.  Users are never deleted, only deactivated, so ids stay good.
-- session_version is the `ver` of access tokens: older ones are refused.

CREATE TABLE users (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email               text NOT NULL CHECK (email = lower(email)),
    username            text NOT NULL
                        CHECK (username ~ '^[A-Za-z0-9_-]{3,30}$'),
    display_name        text NOT NULL,
    avatar_url          text,
    role                text NOT NULL DEFAULT 'member'
                        CHECK (role IN ('owner', 'admin', 'moderator',
                                        'member', 'guest')),
    password_hash       text,
    status              text NOT NULL DEFAULT 'active'
                        CHECK (status IN ('active', 'deactivated')),
    session_version     integer NOT NULL DEFAULT 1,
    session_changed_at  timestamptz NOT NULL DEFAULT '-infinity',
    external_iss        text,
    external_sub        text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    CHECK ((external_iss IS NULL) = (external_sub IS NULL))
);

CREATE UNIQUE INDEX users_email_key ON users (email);
CREATE UNIQUE INDEX users_username_key ON users (lower(username));
CREATE UNIQUE INDEX users_one_owner ON users (role) WHERE role = 'owner';
CREATE UNIQUE INDEX users_external_key ON users (external_iss, external_sub)
    WHERE external_iss IS NOT NULL;
CREATE INDEX users_session_changed ON users (session_changed_at)
    WHERE session_changed_at > '-infinity';


-- Channels.  Rows that many requests write at once refer to channels without
-- a foreign key: its check would lock, and so write, the channel's row each
-- time.  Channels are archived, never deleted.

CREATE TABLE channels (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text,
    topic        text,
    description  text,
    type         text NOT NULL DEFAULT 'public'
                 CHECK (type IN ('public', 'private', 'direct')),
    archived_at  timestamptz,
    created_by   uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CHECK (type = 'direct' OR name IS NOT NULL)
);

CREATE UNIQUE INDEX channels_name_key ON channels (lower(name))
    WHERE type <> 'direct';

CREATE TABLE channel_members (
    channel_id  uuid NOT NULL,
    user_id     uuid NOT NULL,
    joined_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel_id, user_id)
);

CREATE INDEX channel_members_user ON channel_members (user_id, channel_id);

INSERT INTO channels (name, description)
VALUES ('general', 'Everything that has no channel of its own');


-- Messages, of a user or of a webhook; author_name and author_avatar are what
-- a webhook's delivery asked to be shown as.

CREATE TABLE messages (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    channel_id     uuid NOT NULL,
    user_id        uuid,
    webhook_id     uuid,
    content        text NOT NULL,
    author_name    text,
    author_avatar  text,
    embeds         jsonb,
    attachments    jsonb,
    pinned         boolean NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    edited_at      timestamptz,
    deleted_at     timestamptz
);

CREATE INDEX messages_channel ON messages (channel_id, created_at);
CREATE INDEX messages_user ON messages (user_id, created_at)
    WHERE user_id IS NOT NULL;


SELECT nchat_module_allow('nchat_schema_version', 'nchat_time', 'nchat_error',
                          'nchat_error_body', 'nchat_role_rank');

SELECT nchat_module_grant('SELECT ON schema_migrations', 'SELECT ON users',
                          'SELECT ON channels', 'SELECT ON channel_members',
                          'SELECT, INSERT ON messages');
