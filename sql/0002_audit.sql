-- 0002 audit: the log of what happened, its seals, its only deletion.
--
-- Writers only insert: no row is shared between them.  Each entry carries the
-- SHA-256 of its content.  A periodic job seals new entries into blocks, each
-- hashed over its predecessor's hash and its entries' hashes.  What is deleted
-- by policy leaves its hash behind, so that the chain stays verifiable and the
-- deletion visible.
--
-- Export, deletion, sealing and verification are in 0009.
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
--     formula      a spreadsheet would take a cell for a formula (told when
--                  written: asking each cell would halve the speed of CSV)
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
    formula         boolean NOT NULL,
    hash            bytea NOT NULL
);

ALTER SEQUENCE audit_log_seq OWNED BY audit_log.seq;

-- What a search for words looks into.

CREATE FUNCTION nchat_audit_text(description text, action text,
                                 actor_email text, actor_username text,
                                 resource_name text, error_message text)
    RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT lower($1 || ' ' || $2 || coalesce(' ' || $3, '')
                 || coalesce(' ' || $4, '') || coalesce(' ' || $5, '')
                 || coalesce(' ' || $6, ''))
$$;

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
CREATE INDEX audit_log_text ON audit_log USING gin (nchat_audit_text(
    description, action, actor_email, actor_username, resource_name,
    error_message) gin_trgm_ops);
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

CREATE SEQUENCE audit_deletions_number AS bigint;

CREATE TABLE audit_deletions (
    number    bigint PRIMARY KEY,
    entry_id  uuid NOT NULL,
    count     bigint NOT NULL
);

CREATE TABLE audit_tombstones (
    seq       bigint PRIMARY KEY,
    hash      bytea NOT NULL,
    deletion  bigint NOT NULL
);


-- Writing.

-- The hash of an entry: SHA-256 over the text that Postgres writes for a row of
-- its columns in this order, the time in milliseconds since 1970.  That text
-- quotes and escapes, so no two entries share one.

CREATE FUNCTION nchat_audit_hash(a audit_log) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT sha256(convert_to(ROW(
               a.seq, a.id, (extract(epoch FROM a."timestamp") * 1000)::bigint,
               a.category, a.action, a.severity, a.actor_id, a.actor_type,
               a.actor_email, a.actor_username, a.resource_type, a.resource_id,
               a.resource_name, a.description, a.success, a.error_message,
               a.ip_address, a.request_id, a.entry, a.recorded_by,
               a.recorded_ip, a.internal, a.formula)::text, 'UTF8'))
$$;

-- A member of an object as text, with its comma before it; nothing when the
-- value is null.

CREATE FUNCTION nchat_json_member(name text, value text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(',"' || $1 || '":' || to_json($2), '') $$;

CREATE FUNCTION nchat_json_member(name text, value jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(',"' || $1 || '":' || $2::text, '') $$;

-- Whether a spreadsheet would take a cell for a formula: its first character is
-- one of = + - @, one of their wide forms, tab, CR or LF.

CREATE FUNCTION nchat_csv_formula(text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ascii($1) IN (61, 43, 45, 64, 9, 10, 13, 65309, 65291, 65293, 65312)
$$;

-- A cell with an apostrophe before it where that is so.

CREATE FUNCTION nchat_csv_cell(text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN nchat_csv_formula($1) THEN '''' || $1 ELSE $1 END $$;

-- nchat_audit_write(): the one place that inserts; for the functions below.
-- Takes a row with the columns that the caller knows, the whole resource and
-- target as given, metadata and correlation id; returns the whole row.

CREATE FUNCTION nchat_audit_write(INOUT a audit_log, p_resource jsonb,
                                  p_target jsonb, p_metadata jsonb,
                                  p_correlation_id text)
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
        || '","actor":{"id":' || to_json(a.actor_id)
            || nchat_json_member('type', a.actor_type)
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

    a.formula := EXISTS (
        SELECT FROM unnest(ARRAY[a.action, a.actor_id, a.actor_type,
                                 a.actor_email, a.actor_username,
                                 a.resource_type, a.resource_id,
                                 a.resource_name, a.description,
                                 a.error_message, a.ip_address,
                                 a.request_id]) cell
         WHERE nchat_csv_formula(cell));
    a.hash := nchat_audit_hash(a);

    INSERT INTO audit_log VALUES (a.*);
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

    a := nchat_audit_write(a, resource, target, metadata, NULL);

    RETURN a.id;
END
$$;

-- nchat_audit_create(): an entry that a client asked for.
--
--   user_id, email, username   who asks
--   is_admin     whether the entry's own "actor" counts, if it names one
--   entry        the validated request body
--   ip           the client's address; stands in where the body has none
--   request_id   likewise
--
-- Returns status 200 and the entry as the body.

CREATE FUNCTION nchat_audit_create(
    user_id uuid, email text, username text, is_admin boolean, entry jsonb,
    ip text, request_id text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    a        audit_log;
    v_actor  jsonb := CASE WHEN is_admin
                           THEN nullif(entry -> 'actor', '{}') END;
BEGIN
    a.category := entry ->> 'category';
    a.action := entry ->> 'action';
    a.severity := entry ->> 'severity';

    IF v_actor IS NULL THEN
        a.actor_id := user_id;
        a.actor_type := 'user';
        a.actor_email := email;
        a.actor_username := username;
    ELSE
        a.actor_type := coalesce(v_actor ->> 'type', 'user');
        a.actor_email := v_actor ->> 'email';
        a.actor_username := v_actor ->> 'username';
        a.actor_id := coalesce(v_actor ->> 'id', a.actor_email,
                               a.actor_username, a.actor_type);
    END IF;

    a.description := entry ->> 'description';
    a.success := entry ->> 'success';
    a.error_message := entry ->> 'errorMessage';
    a.ip_address := coalesce(entry ->> 'ipAddress', ip);
    a.request_id := coalesce(entry ->> 'requestId', request_id);
    a.recorded_by := user_id;
    a.recorded_ip := ip;
    a.internal := false;

    a := nchat_audit_write(a, entry -> 'resource', entry -> 'target',
                           entry -> 'metadata', entry ->> 'correlationId');
    status := 200;
    body := a.entry;
END
$$;


-- Reading.

-- nchat_audit_where(): the filters of list and export as an SQL condition on
-- audit_log, every value quoted.  Null is no filter.
--
--   viewer       whose entries are seen; null is everybody's
--   q            text that occurs, without regard to case, in description,
--                action, actor, resource name or error
--   categories   comma-separated, valid ones
--   severities   likewise
--   actor        a user's id, email or username, or what stands as actor's id
--   resource     a type, an id, or "type:id"
--   since, until both inclusive
--   success      true or false

CREATE FUNCTION nchat_audit_where(
    viewer uuid, q text, categories text, severities text, actor text,
    resource text, since timestamptz, until timestamptz, success boolean)
    RETURNS text
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_variable
DECLARE
    v_where  text := 'true';
    v_ids    text[];
BEGIN
    IF viewer IS NOT NULL THEN
        v_where := v_where || format(' AND actor_id = %L', viewer);
    END IF;

    -- Below three characters the index would be of no use, and slow to try.

    IF char_length(q) > 2 THEN
        v_where := v_where || format(
            ' AND nchat_audit_text(description, action, actor_email,'
            ' actor_username, resource_name, error_message) LIKE %L',
            '%' || regexp_replace(lower(q), '([\\%_])', '\\\1', 'g') || '%');
    ELSIF q <> '' THEN
        v_where := v_where || format(
            ' AND strpos(nchat_audit_text(description, action, actor_email,'
            ' actor_username, resource_name, error_message), %L) > 0',
            lower(q));
    END IF;

    IF categories <> '' THEN
        v_where := v_where || format(' AND category = ANY (%L)',
                                     string_to_array(categories, ','));
    END IF;

    IF severities <> '' THEN
        v_where := v_where || format(
            ' AND severity = ANY (%L::nchat_severity[])',
            string_to_array(severities, ','));
    END IF;

    IF actor <> '' THEN
        SELECT array_agg(u.id::text) || actor INTO v_ids FROM users u
         WHERE u.email = lower(actor) OR lower(u.username) = lower(actor);

        v_where := v_where || format(
            ' AND (actor_id = ANY (%L) OR lower(coalesce(actor_email,'
            ' actor_username, actor_id)) = %L)', v_ids, lower(actor));
    END IF;

    IF resource LIKE '_%:_%' THEN
        v_where := v_where || format(
            ' AND resource_type = %L AND resource_id = %L',
            split_part(resource, ':', 1),
            substr(resource, strpos(resource, ':') + 1));
    ELSIF resource <> '' THEN
        v_where := v_where || format(
            ' AND (resource_type = %1$L OR resource_id = %1$L)', resource);
    END IF;

    IF since IS NOT NULL THEN
        v_where := v_where || format(' AND "timestamp" >= %L', since);
    END IF;

    IF until IS NOT NULL THEN
        v_where := v_where || format(' AND "timestamp" <= %L', until);
    END IF;

    IF success IS NOT NULL THEN
        v_where := v_where || CASE WHEN success THEN ' AND success'
                                   ELSE ' AND NOT success' END;
    END IF;

    RETURN v_where;
END
$$;

-- The order of list and export as SQL; served by an index, forwards or
-- backwards, so all keys have one direction.  Anything but a known sort key
-- sorts by time.

CREATE FUNCTION nchat_audit_order(sort text, direction text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT replace(
        CASE sort
            WHEN 'category' THEN 'category %, '
            WHEN 'action' THEN 'action %, '
            WHEN 'severity' THEN 'severity %, '
            WHEN 'actor' THEN
                'lower(coalesce(actor_email, actor_username, actor_id)) %, '
            ELSE ''
        END || '"timestamp" %, seq %',
        '%', CASE direction WHEN 'asc' THEN 'ASC' ELSE 'DESC' END)
$$;

-- How many entries there are, without counting those in blocks.

CREATE FUNCTION nchat_audit_count() RETURNS bigint
LANGUAGE sql STABLE
AS $$
    WITH sealed AS (
        SELECT coalesce(max(last_seq), 0) AS seq, coalesce(max(total), 0) AS n
          FROM (SELECT last_seq, total FROM audit_blocks
                 ORDER BY number DESC LIMIT 1) b
    )
    SELECT sealed.n
           + (SELECT count(*) FROM audit_log WHERE seq > sealed.seq)
           + (SELECT count(*) FROM audit_tombstones WHERE seq > sealed.seq)
           - (SELECT coalesce(sum(count), 0) FROM audit_deletions)::bigint
      FROM sealed
$$;

-- nchat_audit_list(): one page of the log.
--
--   viewer … success   as for nchat_audit_where()
--   sort         timestamp, category, action, severity or actor
--   direction    asc or desc; null is desc
--   page_limit   1 to 100
--   page_offset  from 0
--
-- Returns status 200 and {items, entries, total, page, limit, pageSize,
-- hasMore}; entries is items again, for clients that read it.

CREATE FUNCTION nchat_audit_list(
    viewer uuid, q text, categories text, severities text, actor text,
    resource text, since timestamptz, until timestamptz, success boolean,
    sort text, direction text, page_limit integer, page_offset bigint,
    OUT status integer, OUT body text)
LANGUAGE plpgsql STABLE SET work_mem = '32MB' SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    v_where  text := nchat_audit_where(viewer, q, categories, severities,
                                       actor, resource, since, until, success);
    v_order  text := nchat_audit_order(sort, direction);
    v_items  text;
    v_total  bigint;
    c_few    CONSTANT bigint := 5000;
BEGIN
    IF v_where = 'true' THEN
        v_total := nchat_audit_count();
    ELSE
        EXECUTE 'SELECT count(*) FROM audit_log WHERE ' || v_where
           INTO v_total;
    END IF;

    -- Few entries are sorted; among many, an index gives the order.  Left to
    -- itself, the planner would walk through the log for what is rare.  Either way
    -- entries are read for the page alone, not for those before it.

    EXECUTE format('WITH found AS %5$s (SELECT * FROM audit_log WHERE %1$s),'
                   ' page AS (SELECT seq FROM found ORDER BY %2$s'
                   ' LIMIT %3$s OFFSET %4$s)'
                   ' SELECT coalesce(string_agg(entry, '','' ORDER BY %2$s),'
                   ' '''') FROM audit_log WHERE seq = ANY (ARRAY('
                   'SELECT seq FROM page))',
                   v_where, v_order, page_limit, page_offset,
                   CASE WHEN v_total < c_few THEN 'MATERIALIZED'
                        ELSE 'NOT MATERIALIZED' END)
       INTO v_items;

    status := 200;
    body := '{"items":[' || v_items || '],"entries":[' || v_items
            || '],"total":' || v_total
            || ',"page":' || page_offset / page_limit + 1
            || ',"limit":' || page_limit
            || ',"pageSize":' || page_limit
            || ',"hasMore":' || (page_offset + page_limit < v_total) || '}';
END
$$;


SELECT nchat_module_allow('nchat_audit_record', 'nchat_audit_create',
                          'nchat_audit_where', 'nchat_audit_order',
                          'nchat_audit_text', 'nchat_audit_count',
                          'nchat_audit_list', 'nchat_csv_formula',
                          'nchat_csv_cell');

SELECT nchat_module_grant('SELECT ON audit_log', 'SELECT ON audit_blocks',
                          'SELECT ON audit_deletions',
                          'SELECT ON audit_tombstones');
