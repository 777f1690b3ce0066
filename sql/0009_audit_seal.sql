-- 0009 audit: export, deletion, sealing and verification of the log of 0002.


-- nchat_audit_export(): records an export and says how to read it.
--
--   actor_id, actor_email, actor_username   the admin who exports
--   format       json, ndjson or csv
--   q … success, sort, direction   as for nchat_audit_list()
--   ip, request_id
--
-- Returns status 200, body {} and `copy`, a COPY … TO STDOUT statement, to be
-- run by the simple protocol, as it is.  Its data:
--
--   json, ndjson   one entry a line, an object as it is, without any escaping:
--                  the quotes of this CSV are control characters, which JSON
--                  text never has.  The caller writes brackets and commas.
--   csv            a header, then one entry in each row, quoted as RFC 4180
--                  says; a row ends with LF, and a cell may hold one.

CREATE FUNCTION nchat_audit_export(
    actor_id uuid, actor_email text, actor_username text, format text,
    q text, categories text, severities text, actor text, resource text,
    since timestamptz, until timestamptz, success boolean, sort text,
    direction text, ip text, request_id text,
    OUT status integer, OUT body text, OUT copy text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    v_rest  text := format('FROM audit_log WHERE %s ORDER BY %s',
                           nchat_audit_where(NULL, q, categories, severities,
                                             actor, resource, since, until,
                                             success),
                           nchat_audit_order(sort, direction));
BEGIN
    PERFORM nchat_audit_record(
        'admin', 'audit_export', 'info', actor_id, 'user', actor_email,
        actor_username, NULL, NULL, 'Audit log exported as ' || format, true,
        NULL, jsonb_strip_nulls(jsonb_build_object(
            'format', format, 'q', q, 'categories', categories,
            'severities', severities, 'actor', actor, 'resource', resource,
            'from', nchat_time(since), 'to', nchat_time(until),
            'success', success)),
        ip, request_id);

    status := 200;
    body := '{}';

    IF format = 'csv' THEN
        SELECT 'COPY (SELECT '
               || string_agg(
                      CASE
                          WHEN c = 'timestamp'
                              THEN 'nchat_time("timestamp") AS "timestamp"'
                          WHEN c = 'success'
                              THEN 'CASE WHEN success THEN ''true'''
                                   ' ELSE ''false'' END AS success'
                          WHEN c IN ('id', 'category', 'severity') THEN c
                          ELSE format('CASE WHEN formula THEN nchat_csv_cell'
                                      '(%1$I) ELSE %1$I END AS %1$I', c)
                      END, ', ' ORDER BY i)
               || ' ' || v_rest || ') TO STDOUT (FORMAT csv, HEADER)'
          INTO copy
          FROM unnest('{id,timestamp,category,action,severity,actor_id,
                        actor_type,actor_email,actor_username,resource_type,
                        resource_id,resource_name,description,success,
                        error_message,ip_address,request_id}'::text[])
               WITH ORDINALITY x (c, i);
    ELSE
        copy := 'COPY (SELECT entry ' || v_rest || ') TO STDOUT'
                ' (FORMAT csv, QUOTE E''\x01'', DELIMITER E''\x02'')';
    END IF;
END
$$;


-- nchat_audit_delete(): the only way to delete entries; records itself.
--
--   actor_id, actor_email, actor_username   the admin who deletes
--   ids          a JSON array of entries' ids, or null; wins over the rest.
--                What is no id of an entry is passed over.
--   older_than   entries before this time, or null
--   category     only these, or null
--   severities   only these, comma-separated, or null
--   ip, request_id
--
-- Records of deletions are never deleted.  Returns status 200 and
-- {deletedCount, remainingCount}; 400 VALIDATION_ERROR with neither ids nor
-- older_than.

CREATE FUNCTION nchat_audit_delete(
    actor_id uuid, actor_email text, actor_username text, ids jsonb,
    older_than timestamptz, category text, severities text, ip text,
    request_id text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    a           audit_log;
    v_where     text;
    v_deletion  bigint := nextval('audit_deletions_number');
    v_count     bigint;
BEGIN
    IF jsonb_typeof(ids) = 'array' THEN
        SELECT format('id = ANY (%L::uuid[])',
                      coalesce(array_agg(x::uuid), '{}'))
          INTO v_where FROM jsonb_array_elements_text(ids) x
         WHERE x ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
    ELSIF older_than IS NOT NULL THEN
        v_where := format('"timestamp" < %L AND ', older_than)
                   || nchat_audit_where(NULL, NULL, category, severities, NULL,
                                        NULL, NULL, NULL, NULL);
    ELSE
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(400, 'VALIDATION_ERROR',
                           'Validation failed: ids or olderThan is required',
                           '{"field": "ids", "constraint": "required"}') e;
        RETURN;
    END IF;

    EXECUTE 'WITH gone AS (DELETE FROM audit_log WHERE ' || v_where
            || ' AND NOT (internal AND action = ''audit_delete'')'
            '   RETURNING seq, hash),'
            ' kept AS (INSERT INTO audit_tombstones'
            '   SELECT seq, hash, $1 FROM gone RETURNING 1)'
            ' SELECT count(*) FROM kept'
       INTO v_count USING v_deletion;

    a.category := 'admin';
    a.action := 'audit_delete';
    a.severity := 'warning';
    a.actor_id := actor_id;
    a.actor_type := 'user';
    a.actor_email := actor_email;
    a.actor_username := actor_username;
    a.description := 'Audit entries deleted: ' || v_count;
    a.ip_address := ip;
    a.request_id := request_id;
    a.recorded_by := actor_id;
    a.recorded_ip := ip;
    a.internal := true;

    a := nchat_audit_write(a, NULL, NULL, jsonb_strip_nulls(jsonb_build_object(
             'deletion', v_deletion, 'deletedCount', v_count, 'ids', ids,
             'olderThan', nchat_time(older_than), 'category', category,
             'severity', string_to_array(severities, ','))), NULL);

    INSERT INTO audit_deletions VALUES (v_deletion, a.id, v_count);

    status := 200;
    body := json_build_object('deletedCount', v_count,
                              'remainingCount', nchat_audit_count());
END
$$;


-- The hashes of what is or was within a range of numbers: the first ones, in
-- order.  Each table gives at most as many, by its index.

CREATE FUNCTION nchat_audit_hashes(first_seq bigint, last_seq bigint,
                                   at_most integer)
    RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE sql STABLE
AS $$
    (SELECT a.seq, a.hash FROM audit_log a
      WHERE a.seq BETWEEN $1 AND $2 ORDER BY a.seq LIMIT $3)
    UNION ALL
    (SELECT t.seq, t.hash FROM audit_tombstones t
      WHERE t.seq BETWEEN $1 AND $2 ORDER BY t.seq LIMIT $3)
    ORDER BY 1 LIMIT $3
$$;

-- A block's hash: SHA-256 over its predecessor's hash (nothing for the first),
-- its number, first and last entry's number and total, each as 8 bytes, the
-- highest first, and its entries' hashes in order.

CREATE FUNCTION nchat_audit_block_hash(b audit_blocks, previous bytea,
                                       hashes bytea)
    RETURNS bytea
LANGUAGE sql IMMUTABLE
AS $$
    SELECT sha256($2 || int8send(b.number) || int8send(b.first_seq)
                  || int8send(b.last_seq) || int8send(b.total) || $3)
$$;

-- nchat_audit_seal(): the periodic job's statement: seals new entries.
--
--   at_most      entries in one call
--
-- Returns how many were sealed, or null when another session is at it; as
-- many as at_most means that there may be more.
--
-- A number is sealed only when no transaction can bring an entry with a lower
-- one any more.  An entry's transaction takes its id before the entry's number.
-- This transaction reads the last number given out, then takes its own id: so
-- whoever got a number up to that one has a lower id, and all of them have
-- ended once the oldest id in progress is not below this one.  Where some are
-- still at work, the pair is noted, and a later call looks again.

CREATE FUNCTION nchat_audit_seal(at_most integer DEFAULT 10000)
    RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    c_block   CONSTANT integer := 1000;
    v_last    bigint;
    v_upto    bigint := 0;
    v_xid     xid8;
    v_oldest  xid8;
    v_mark    audit_seal_mark;
    v_block   audit_blocks;
    v_hashes  bytea;
    v_sealed  integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('nchat_audit_seal')) THEN
        RETURN NULL;
    END IF;

    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO v_last
      FROM audit_log_seq;
    v_xid := pg_current_xact_id();
    SELECT pg_snapshot_xmin(pg_current_snapshot()) INTO v_oldest;
    SELECT * INTO v_mark FROM audit_seal_mark;

    IF v_oldest >= v_xid THEN
        v_upto := v_last;
    ELSIF v_mark.xid <= v_oldest THEN
        v_upto := v_mark.last_seq;
    END IF;

    -- A noted id above this one is from another cluster: a restored dump.

    IF v_mark.xid IS NULL OR v_mark.xid <= v_oldest OR v_mark.xid > v_xid THEN
        INSERT INTO audit_seal_mark (last_seq, xid) VALUES (v_last, v_xid)
            ON CONFLICT (one)
            DO UPDATE SET last_seq = excluded.last_seq, xid = excluded.xid;
    END IF;

    SELECT * INTO v_block FROM audit_blocks ORDER BY number DESC LIMIT 1;

    IF NOT FOUND THEN
        v_block := (0, 0, 0, 0, 0, '\x', NULL);
    END IF;

    WHILE v_sealed < at_most LOOP
        v_block.first_seq := v_block.last_seq + 1;

        SELECT count(*), max(e.seq), string_agg(e.hash, '' ORDER BY e.seq)
          INTO v_block.count, v_block.last_seq, v_hashes
          FROM nchat_audit_hashes(v_block.first_seq, v_upto,
                                  least(c_block, at_most - v_sealed)) e;

        EXIT WHEN v_block.count = 0;

        v_block.number := v_block.number + 1;
        v_block.total := v_block.total + v_block.count;
        v_block.hash := nchat_audit_block_hash(v_block, v_block.hash, v_hashes);

        INSERT INTO audit_blocks
        VALUES (v_block.number, v_block.first_seq, v_block.last_seq,
                v_block.count, v_block.total, v_block.hash);

        v_sealed := v_sealed + v_block.count;
    END LOOP;

    RETURN v_sealed;
END
$$;

-- nchat_audit_verify(): recomputes every hash.
--
-- Returns status 200 and {valid, checked, firstBroken?}: how many entries were
-- looked at, and where the first fault is: {reason, block?, id?}, the reason
-- one of
--
--     content    the entry `id` is not what was recorded
--     entries    entries of `block` are missing or too many
--     chain      the hash of `block` is not that of its entries and its
--                predecessor, or blocks are missing before it
--     deletion   entries were deleted without the record of it, `id`
--
-- One pass over the log: a slow statement.

CREATE FUNCTION nchat_audit_verify(OUT status integer, OUT body text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_checked   bigint := 0;
    v_previous  audit_blocks := (0, 0, 0, 0, 0, '\x', NULL);
    v_block     audit_blocks;
    v_count     bigint;
    v_hashes    bytea;
    v_bad       bigint;
    v_broken    jsonb;
BEGIN
    -- The last round, with no number, is what is not sealed yet.

    FOR v_block IN
        SELECT * FROM audit_blocks
        UNION ALL
        SELECT NULL, coalesce(max(last_seq), 0) + 1, 9223372036854775807, 0, 0,
               '', NULL
          FROM audit_blocks
        ORDER BY number NULLS LAST
    LOOP
        SELECT count(*), string_agg(e.hash, '' ORDER BY e.seq), min(e.bad)
          INTO v_count, v_hashes, v_bad
          FROM (SELECT a.seq, a.hash, CASE WHEN nchat_audit_hash(a) <> a.hash
                                      THEN a.seq END AS bad
                  FROM audit_log a
                 WHERE a.seq BETWEEN v_block.first_seq AND v_block.last_seq
                UNION ALL
                SELECT t.seq, t.hash, NULL FROM audit_tombstones t
                 WHERE t.seq BETWEEN v_block.first_seq AND v_block.last_seq) e;

        v_checked := v_checked + v_count;

        IF v_bad IS NOT NULL THEN
            SELECT jsonb_build_object('reason', 'content', 'id', a.id)
              INTO v_broken FROM audit_log a WHERE a.seq = v_bad;
        ELSIF v_block.number IS NULL THEN
            EXIT;
        ELSIF v_count <> v_block.count THEN
            v_broken := '{"reason": "entries"}';
        ELSIF v_block.number <> v_previous.number + 1
              OR v_block.first_seq <> v_previous.last_seq + 1
              OR v_block.total <> v_previous.total + v_block.count
              OR v_block.hash <> nchat_audit_block_hash(
                                     v_block, v_previous.hash, v_hashes)
        THEN
            v_broken := '{"reason": "chain"}';
        END IF;

        IF v_broken IS NOT NULL THEN
            v_broken := v_broken || jsonb_strip_nulls(
                            jsonb_build_object('block', v_block.number));
            EXIT;
        END IF;

        v_previous := v_block;
    END LOOP;

    IF v_broken IS NULL THEN
        SELECT jsonb_strip_nulls(jsonb_build_object('reason', 'deletion',
                                                    'id', d.entry_id))
          INTO v_broken
          FROM audit_deletions d
          FULL JOIN (SELECT deletion, count(*) AS count FROM audit_tombstones
                      GROUP BY deletion) t ON t.deletion = d.number
          LEFT JOIN audit_log a
            ON a.id = d.entry_id AND a.internal AND a.action = 'audit_delete'
         WHERE d.count IS DISTINCT FROM coalesce(t.count, 0)
            OR (a.entry::jsonb #>> '{metadata,deletedCount}')::bigint
               IS DISTINCT FROM d.count
         ORDER BY d.number LIMIT 1;
    END IF;

    status := 200;
    body := json_strip_nulls(json_build_object(
                'valid', v_broken IS NULL, 'checked', v_checked,
                'firstBroken', v_broken));
END
$$;


SELECT nchat_module_allow('nchat_audit_export', 'nchat_audit_delete',
                          'nchat_audit_seal', 'nchat_audit_hash',
                          'nchat_audit_block_hash', 'nchat_audit_verify');
