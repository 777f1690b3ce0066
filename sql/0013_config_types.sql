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


SELECT nchat_module_allow('nchat_config_types', 'nchat_config_refusal');
