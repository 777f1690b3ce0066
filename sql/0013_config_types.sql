-- 0013 configuration: a member that has a default keeps its JSON type.


-- nchat_config_types(): what of a patch breaks that, in the order of the
-- defaults' members by name.
--
--   defaults, patch   objects; a member of patch that has no default may be
--                     anything
--   path              what the fields' names begin with, with its dot
--
-- Returns one row a failure: field (dotted path), message (begins with it).
-- Integers and reals are the same type; null would remove the member.

CREATE FUNCTION nchat_config_types(
    defaults jsonb, patch jsonb, path text,
    OUT field text, OUT message text)
    RETURNS SETOF record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
#variable_conflict use_variable
DECLARE
    v_key   text;
    v_base  jsonb;
    v_new   jsonb;
BEGIN
    FOR v_key, v_base, v_new IN
        SELECT d.key, d.value, patch -> d.key FROM jsonb_each(defaults) d
         WHERE patch ? d.key
         ORDER BY d.key COLLATE "C"
    LOOP
        field := path || v_key;

        IF jsonb_typeof(v_base) <> jsonb_typeof(v_new) THEN
            message := field || ' must be '
                       || CASE jsonb_typeof(v_base)
                          WHEN 'object' THEN 'an object'
                          WHEN 'array' THEN 'an array'
                          ELSE 'a ' || jsonb_typeof(v_base) END;
            RETURN NEXT;

        ELSIF jsonb_typeof(v_base) = 'object' THEN
            RETURN QUERY SELECT * FROM nchat_config_types(v_base, v_new,
                                                          field || '.');
        END IF;
    END LOOP;
END
$$;

-- The refusal of a patch, as nchat_error() gives one; status is null where
-- there is nothing to refuse.

CREATE FUNCTION nchat_config_refusal(patch jsonb,
                                     OUT status integer, OUT body text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    WITH failures AS (
        SELECT t.*, row_number() OVER () AS n
          FROM nchat_config_types(nchat_config_defaults(), $1, '') t
    ), details AS (
        SELECT jsonb_build_object('field', f.field, 'constraint', 'type')
               || CASE WHEN (SELECT count(*) FROM failures) > 1
                  THEN jsonb_build_object('errors', (
                      SELECT jsonb_agg(jsonb_build_object(
                                 'field', a.field, 'constraint', 'type',
                                 'message', a.message) ORDER BY a.n)
                        FROM failures a))
                  ELSE '{}' END AS details,
               'Validation failed: ' || f.message AS message
          FROM failures f WHERE f.n = 1
    )
    SELECT (SELECT 400 FROM details),
           (SELECT nchat_error_body('VALIDATION_ERROR', d.message, d.details)
              FROM details d)
$$;

-- nchat_config_update(): as before, and 400 VALIDATION_ERROR (constraint type)
-- for a member of another type than its default, or null for one that has a
-- default; with several, details.errors lists all.

CREATE OR REPLACE FUNCTION nchat_config_update(
    patch jsonb, actor_id uuid, actor_email text, actor_username text, ip text,
    request_id text,
    OUT status integer, OUT body text, OUT version text, OUT doc text,
    OUT open_doc text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    c_mask     CONSTANT text := '[hidden]';
    v_before   jsonb;
    v_after    jsonb;
    v_step     jsonb := patch #> '{setup,currentStep}';
    v_version  bigint;
BEGIN
    SELECT r.status, r.body INTO status, body
      FROM nchat_config_refusal(patch) r;

    IF status IS NOT NULL THEN
        RETURN;
    END IF;

    SELECT c.doc INTO v_before FROM config c FOR UPDATE;

    v_after := nchat_config_merge(v_before, patch);

    IF jsonb_typeof(v_step) = 'number'
       AND NOT coalesce(v_after #> '{setup,visitedSteps}' @> v_step, false)
    THEN
        v_after := jsonb_set(v_after, '{setup,visitedSteps}',
                             coalesce(v_after #> '{setup,visitedSteps}', '[]')
                             || v_step);
    END IF;

    IF octet_length(v_after::text) > 262144 THEN
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(400, 'VALIDATION_ERROR', 'Validation failed: the '
                           'configuration may have at most 256 KiB',
                           '{"field": "", "constraint": "length"}') e;
        RETURN;
    END IF;

    IF jsonb_path_exists(v_after, 'strict $.**{32 to last} ? '
                         '(@.type() == "object" || @.type() == "array")')
    THEN
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(400, 'VALIDATION_ERROR', 'Validation failed: the '
                           'configuration may be at most 32 levels deep',
                           '{"field": "", "constraint": "range"}') e;
        RETURN;
    END IF;

    UPDATE config c SET version = c.version + 1, doc = v_after,
                        updated_at = clock_timestamp()
    RETURNING c.version INTO v_version;

    INSERT INTO config_history
    VALUES (v_version, clock_timestamp(), actor_email, patch);

    PERFORM nchat_audit_record(
        'config', 'config_update', 'info', actor_id, 'user', actor_email,
        actor_username, jsonb_build_object(
            'type', 'config', 'id', 'config', 'name', 'version ' || v_version,
            'previousValue', nchat_config_open(
                nchat_config_changed(v_before, v_after), c_mask),
            'newValue', nchat_config_open(
                nchat_config_changed(v_after, v_before), c_mask)),
        NULL, 'Configuration updated', true, NULL, NULL, ip, request_id);

    PERFORM pg_notify('nchat', 'config ' || v_version);

    status := 200;
    version := v_version;
    doc := v_after;
    open_doc := nchat_config_open(v_after) #- '{owner,email}';
    body := '{"config":' || doc
            || ',"message":"Configuration updated successfully"}';
END
$$;


SELECT nchat_module_allow('nchat_config_types', 'nchat_config_refusal');
