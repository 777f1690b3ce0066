-- Entries of the audit log, as nchat_audit_record() writes them, but made all
-- at once: a million in about half a minute, where one by one takes several.
--
--     psql -v entries=1000000 -f audit.sql <owner's URL>
--
-- adds so many, the same each time but for their ids and age: the newest is of
-- now, one each second.  Of a thousand actors; in a hundred entries
--
--     60  are sign-ins, 5 of them failed (severity warning)
--     39  are messages sent in one of 100 channels
--      1  is a change of a role
--
-- and one in 10,000 has the action "bench_rare".  All of them are sealed, and
-- /api/audit/verify finds them valid.

\set ON_ERROR_STOP 1

SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';

-- The indexes are made afterwards, which is faster.

CREATE TEMP TABLE later AS
SELECT pg_get_indexdef(indexrelid) AS made, indexrelid::regclass::text AS name
  FROM pg_index WHERE indrelid = 'audit_log'::regclass AND NOT indisprimary;

SELECT 'DROP INDEX ' || name FROM later \gexec

-- Each step is a subquery of its own that is not pulled up, so that nothing is
-- computed twice.

WITH facts AS MATERIALIZED (
    SELECT n, md5('audit/' || n)::uuid AS id,
           md5('actor/' || n % 1000) AS who, n % 100 AS kind, n % 20 = 7 AND
           n % 100 < 60 AS failed,
           date_trunc('milliseconds', now())
               - (:entries - n) * interval '1 second' AS at
      FROM generate_series(1, :entries) AS n
), entries AS MATERIALIZED (
    SELECT nextval('audit_log_seq') AS seq, gen_random_uuid() AS id, at,
           CASE WHEN kind < 60 THEN 'auth' WHEN kind < 99 THEN 'message'
                ELSE 'user' END AS category,
           CASE WHEN n % 10000 = 77 THEN 'bench_rare' WHEN kind < 60
                THEN 'signin' WHEN kind < 99 THEN 'message_sent'
                ELSE 'role_change' END AS action,
           CASE WHEN failed THEN 'warning' ELSE 'info' END::nchat_severity
               AS severity,
           who::uuid::text AS actor_id, 'user' AS actor_type,
           'bench' || n % 1000 || '@example.com' AS actor_email,
           'bench' || n % 1000 AS actor_username,
           CASE WHEN kind >= 60 THEN jsonb_build_object(
                'type', CASE WHEN kind < 99 THEN 'channel' ELSE 'user' END,
                'id', md5('channel/' || n % 97), 'name', 'team-' || n % 97)
           END AS resource,
           CASE WHEN kind < 60 THEN 'Signed in' WHEN kind < 99
                THEN 'Message sent' ELSE 'Role changed' END
               || ' (' || substr(who, 1, 6) || ')' AS description,
           NOT failed AS success,
           CASE WHEN failed THEN 'Invalid email or password' END AS error,
           jsonb_build_object('attempt', n % 7, 'client', 'web/' || n % 31)
               AS metadata,
           '192.0.2.' || n % 250 AS ip, substr(md5('request/' || n), 1, 32)
               AS request_id
      FROM facts
), written AS MATERIALIZED (
    SELECT (seq, id, at, category, action, severity, actor_id, actor_type,
            actor_email, actor_username, resource ->> 'type',
            resource ->> 'id', resource ->> 'name', description, success,
            error, ip, request_id,
            '{"id":"' || id || '","timestamp":"' || nchat_time(at)
            || '","category":"' || category || '"'
            || nchat_json_member('action', action)
            || ',"severity":"' || severity
            || '","actor":{"id":' || to_json(actor_id)
                || nchat_json_member('type', actor_type)
                || nchat_json_member('email', actor_email)
                || nchat_json_member('username', actor_username) || '}'
            || nchat_json_member('resource', resource)
            || nchat_json_member('description', description)
            || ',"success":' || success
            || nchat_json_member('errorMessage', error)
            || nchat_json_member('metadata', metadata)
            || nchat_json_member('ipAddress', ip)
            || nchat_json_member('requestId', request_id) || '}',
            actor_id, ip, true, false, '')::audit_log AS a
      FROM entries
)
INSERT INTO audit_log
SELECT (a).seq, (a).id, (a)."timestamp", (a).category, (a).action,
       (a).severity, (a).actor_id, (a).actor_type, (a).actor_email,
       (a).actor_username, (a).resource_type, (a).resource_id,
       (a).resource_name, (a).description, (a).success, (a).error_message,
       (a).ip_address, (a).request_id, (a).entry, (a).recorded_by,
       (a).recorded_ip, (a).internal, (a).formula, nchat_audit_hash(a)
  FROM written;

SELECT made FROM later \gexec

VACUUM ANALYZE audit_log;

-- A server that runs on this database seals too; whoever is at it keeps the
-- others out, and entries of transactions still open come later.

DO $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        PERFORM nchat_audit_seal(2000000000);
        COMMIT;
        EXIT WHEN (SELECT max(last_seq) FROM audit_blocks)
                  = (SELECT max(seq) FROM audit_log);
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;

ANALYZE audit_blocks;
