-- 0002 audit: the log of what happened, its seals, its only deletion.
--
-- Writers only insert: no row is shared between them.  Each entry carries the
-- SHA-256 of its content.  A periodic job seals new entries into blocks, each
-- hashed over its predecessor's hash and its entries' hashes.  What is deleted
-- by policy leaves its hash behind, so that the chain stays verifiable and the
-- deletion visible.
--
-- The module's role may read the tables.  Everything else it does through the
-- functions below, which run with the owner's rights: it can neither change
-- nor remove an entry, nor choose an entry's time or hash.


CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TYPE nchat_severity AS ENUM
    ('debug', 'info', 'warning', 'error', 'critical');

CREATE SEQUENCE audit_log_seq AS bigint;


-- entry is the API's form of the entry, ready to be sent: lists and exports
-- read it as it is, which is four times as fast as rendering it each time.
-- The other columns are what filters, sorting and CSV need, and
--
--     recorded_by  who recorded it: a user's id, or "operator"
--     recorded_ip  from where
--     internal     recorded by the server itself, not asked for by a client
--
-- The default of seq takes the transaction's id before the number: sealing
-- relies on that order.

CREATE TABLE audit_log (
    seq             bigint PRIMARY KEY
                    DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL
                            THEN nextval('audit_log_seq') END,
    id              uuid NOT NULL,
    "timestamp"     timestamptz NOT NULL,
    category        text NOT NULL
                    CHECK (category IN ('auth', 'config', 'message', 'channel',
                                        'user', 'file', 'attachment', 'admin',
                                        'moderation', 'security',
                                        'integration')),
    action          text NOT NULL,
    severity        nchat_severity NOT NULL,
    actor_id        text NOT NULL,
    actor_type      text NOT NULL,
    actor_email     text,
    actor_username  text,
    resource_type   text,
    resource_id     text,
    resource_name   text,
    description     text NOT NULL,
    success         boolean NOT NULL,
    error_message   text,
    ip_address      text,
    request_id      text,
    entry           text NOT NULL,
    recorded_by     text,
    recorded_ip     text,
    internal        boolean NOT NULL,
    hash            bytea NOT NULL
);

ALTER SEQUENCE audit_log_seq OWNED BY audit_log.seq;

CREATE UNIQUE INDEX audit_log_id ON audit_log (id);
CREATE INDEX audit_log_time ON audit_log ("timestamp", seq);
CREATE INDEX audit_log_category ON audit_log (category, "timestamp", seq);
CREATE INDEX audit_log_action ON audit_log (action, "timestamp", seq);
CREATE INDEX audit_log_severity ON audit_log (severity, "timestamp", seq);
CREATE INDEX audit_log_failure ON audit_log ("timestamp", seq)
    WHERE NOT success;
CREATE INDEX audit_log_actor ON audit_log (actor_id, "timestamp", seq);
CREATE INDEX audit_log_actor_name
    ON audit_log (lower(coalesce(actor_email, actor_username, actor_id)),
                  "timestamp", seq);
CREATE INDEX audit_log_resource_type
    ON audit_log (resource_type, "timestamp", seq)
    WHERE resource_type IS NOT NULL;
CREATE INDEX audit_log_resource_id
    ON audit_log (resource_id, "timestamp", seq)
    WHERE resource_id IS NOT NULL;

-- A block covers the numbers first_seq to last_seq, without a gap to its
-- predecessor; total counts the entries of all blocks up to this one, those
-- deleted since too.

CREATE TABLE audit_blocks (
    number     bigint PRIMARY KEY,
    first_seq  bigint NOT NULL,
    last_seq   bigint NOT NULL,
    count      integer NOT NULL,
    total      bigint NOT NULL,
    hash       bytea NOT NULL,
    sealed_at  timestamptz NOT NULL DEFAULT now()
);

-- What sealing noted last: all numbers up to last_seq belong to transactions
-- older than xid.  One row, written by the sealing job alone.

CREATE TABLE audit_seal_mark (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    last_seq  bigint NOT NULL,
    xid       xid8 NOT NULL
);

-- One row per deletion; entry_id is its record in audit_log.

CREATE TABLE audit_deletions (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id  uuid NOT NULL,
    count     bigint NOT NULL
);

CREATE TABLE audit_tombstones (
    seq       bigint PRIMARY KEY,
    hash      bytea NOT NULL,
    deletion  bigint NOT NULL
);

CREATE INDEX audit_tombstones_deletion ON audit_tombstones (deletion);


-- Writing.

-- The hash of an entry: SHA-256 over the text of a JSON array of its columns
-- in this order, as jsonb writes it, the time in milliseconds since 1970.

CREATE FUNCTION nchat_audit_hash(a audit_log) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT sha256(convert_to(jsonb_build_array(
               a.seq, a.id, (extract(epoch FROM a."timestamp") * 1000)::bigint,
               a.category, a.action, a.severity, a.actor_id, a.actor_type,
               a.actor_email, a.actor_username, a.resource_type, a.resource_id,
               a.resource_name, a.description, a.success, a.error_message,
               a.ip_address, a.request_id, a.entry, a.recorded_by,
               a.recorded_ip, a.internal)::text, 'UTF8'))
$$;

-- A member of an object as text, with its comma before it; nothing when the
-- value is null.

CREATE FUNCTION nchat_json_member(name text, value text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(',"' || $1 || '":' || to_json($2), '') $$;

CREATE FUNCTION nchat_json_member(name text, value jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(',"' || $1 || '":' || $2::text, '') $$;

-- nchat_audit_write(): the one place that inserts; for the functions below.
-- Takes a row with the columns that the caller knows, the whole resource and
-- target as given, metadata and correlation id; returns the entry's text.

CREATE FUNCTION nchat_audit_write(a audit_log, p_resource jsonb, p_target jsonb,
                                  p_metadata jsonb, p_correlation_id text)
    RETURNS text
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_current_xact_id();

    a.seq := nextval('audit_log_seq');
    a.id := gen_random_uuid();
    a."timestamp" := date_trunc('milliseconds', clock_timestamp());
    a.severity := coalesce(a.severity, 'info');
    a.success := coalesce(a.success, true);
    a.resource_type := p_resource ->> 'type';
    a.resource_id := p_resource ->> 'id';
    a.resource_name := p_resource ->> 'name';

    a.entry :=
        '{"id":"' || a.id
        || '","timestamp":"' || nchat_time(a."timestamp")
        || '","category":"' || a.category || '"'
        || nchat_json_member('action', a.action)
        || ',"severity":"' || a.severity
        || '","actor":{"type":' || to_json(a.actor_type)
            || nchat_json_member('id', a.actor_id)
            || nchat_json_member('email', a.actor_email)
            || nchat_json_member('username', a.actor_username) || '}'
        || nchat_json_member('resource', p_resource)
        || nchat_json_member('target', p_target)
        || nchat_json_member('description', a.description)
        || ',"success":' || a.success
        || nchat_json_member('errorMessage', a.error_message)
        || nchat_json_member('metadata', p_metadata)
        || nchat_json_member('ipAddress', a.ip_address)
        || nchat_json_member('requestId', a.request_id)
        || nchat_json_member('correlationId', p_correlation_id) || '}';

    a.hash := nchat_audit_hash(a);

    INSERT INTO audit_log VALUES (a.*);

    RETURN a.entry;
END
$$;

-- nchat_audit_record(): the server's own record, within the transaction of
-- what it records.
--
--   category     one of the contract's categories
--   action       e.g. 'signin'
--   severity     null is 'info'
--   actor_id     null where nobody is known; the id is then the type
--   actor_type   'user', 'anonymous', 'webhook', 'operator', 'system'
--   resource     {"type","id","name"?,"previousValue"?,"newValue"?} or null
--   target       any JSON or null
--   success      null is true
--   metadata     an object or null
--   ip           the client's address or null
--
-- Returns the entry's id.

CREATE FUNCTION nchat_audit_record(
    category text, action text, severity text, actor_id uuid, actor_type text,
    actor_email text, actor_username text, resource jsonb, target jsonb,
    description text, success boolean, error_message text, metadata jsonb,
    ip text, request_id text)
    RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    a  audit_log;
BEGIN
    a.category := category;
    a.action := action;
    a.severity := severity;
    a.actor_id := coalesce(actor_id::text, actor_type);
    a.actor_type := actor_type;
    a.actor_email := actor_email;
    a.actor_username := actor_username;
    a.description := description;
    a.success := success;
    a.error_message := error_message;
    a.ip_address := ip;
    a.request_id := request_id;
    a.recorded_by := coalesce(actor_id::text, actor_type);
    a.recorded_ip := ip;
    a.internal := true;

    RETURN nchat_audit_write(a, resource, target, metadata, NULL)::json ->> 'id';
END
$$;

SELECT nchat_module_allow('nchat_audit_record');

SELECT nchat_module_grant('SELECT ON audit_log', 'SELECT ON audit_blocks',
                          'SELECT ON audit_deletions',
                          'SELECT ON audit_tombstones');
