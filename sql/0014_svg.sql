-- 0014 SVG files: logos and the like, saved by whoever sets the server up and
-- by admins, read by everyone.  They are small and few, so they live here.


-- by_admin  nobody but an admin replaces it

CREATE TABLE svg_files (
    name      text PRIMARY KEY,
    svg       text NOT NULL,
    etag      text NOT NULL,
    size      integer NOT NULL,
    by_admin  boolean NOT NULL,
    saved_by  uuid,
    saved_at  timestamptz NOT NULL DEFAULT now()
);


-- nchat_svg_save(): keeps a file that was checked, in place of what there was.
--
--   p_name   the name, with ".svg"
--   p_user, p_role, p_email, p_username   the caller; nulls: anonymous
--
-- Returns status 200 and {path}.  401 UNAUTHORIZED, 403 FORBIDDEN: the setup is
-- completed and the caller no admin; before that, 403 FORBIDDEN for guests, for
-- more than 20 files or 2 MiB in all, and for a file that an admin saved.

CREATE FUNCTION nchat_svg_save(
    p_name text, p_svg text, p_user uuid, p_role text, p_email text,
    p_username text, p_ip text, p_request_id text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    c_files  CONSTANT integer := 20;
    c_bytes  CONSTANT bigint := 2 * 1024 * 1024;
    v_admin  boolean := nchat_role_rank(p_role) >= 4;
    v_size   integer := octet_length(p_svg);
    v_etag   text := encode(sha256(convert_to(p_svg, 'UTF8')), 'hex');
    v_files  integer;
    v_bytes  bigint;
BEGIN
    IF NOT v_admin THEN

        IF (SELECT coalesce((c.doc #>> '{setup,isCompleted}')::boolean, false)
              FROM config c)
        THEN
            IF p_user IS NULL THEN
                SELECT e.status, e.body INTO status, body
                  FROM nchat_error(401, 'UNAUTHORIZED',
                                   'Authentication required') e;
            ELSE
                SELECT e.status, e.body INTO status, body
                  FROM nchat_error(403, 'FORBIDDEN', 'Only admins save SVG '
                                   'files once the setup is completed') e;
            END IF;

            RETURN;
        END IF;

        IF p_user IS NOT NULL AND nchat_role_rank(p_role) < 2 THEN
            SELECT e.status, e.body INTO status, body
              FROM nchat_error(403, 'FORBIDDEN',
                               'Guests may not save SVG files') e;
            RETURN;
        END IF;

        -- one at a time, so that all see the same sums

        PERFORM pg_advisory_xact_lock(hashtext('nchat_svg_save'));

        IF (SELECT f.by_admin FROM svg_files f WHERE f.name = p_name) THEN
            SELECT e.status, e.body INTO status, body
              FROM nchat_error(403, 'FORBIDDEN', 'Only an admin replaces a '
                               'file that an admin saved') e;
            RETURN;
        END IF;

        SELECT count(*), coalesce(sum(f.size), 0) INTO v_files, v_bytes
          FROM svg_files f WHERE f.name <> p_name;

        IF v_files >= c_files OR v_bytes + v_size > c_bytes THEN
            SELECT e.status, e.body INTO status, body
              FROM nchat_error(403, 'FORBIDDEN', 'Before the setup is completed '
                               'there may be 20 SVG files and 2 MiB of them') e;
            RETURN;
        END IF;
    END IF;

    INSERT INTO svg_files AS f (name, svg, etag, size, by_admin, saved_by)
    VALUES (p_name, p_svg, v_etag, v_size, v_admin, p_user)
        ON CONFLICT (name) DO UPDATE
       SET svg = excluded.svg, etag = excluded.etag, size = excluded.size,
           by_admin = excluded.by_admin, saved_by = excluded.saved_by,
           saved_at = now();

    PERFORM nchat_audit_record(
        'file', 'svg_save', 'info', p_user,
        CASE WHEN p_user IS NULL THEN 'anonymous' ELSE 'user' END, p_email,
        p_username, jsonb_build_object('type', 'svg', 'id', p_name,
                                       'name', p_name),
        NULL, 'SVG file saved', true, NULL,
        jsonb_build_object('size', v_size), p_ip, p_request_id);

    status := 200;
    body := jsonb_build_object('path', '/' || p_name);
END
$$;


-- nchat_svg_get(): a file.  Returns status 200, etag and svg; 404 NOT_FOUND.

CREATE FUNCTION nchat_svg_get(
    p_name text,
    OUT status integer, OUT body text, OUT etag text, OUT svg text)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    SELECT 200, f.etag, f.svg INTO status, etag, svg
      FROM svg_files f WHERE f.name = p_name;

    IF NOT FOUND THEN
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(404, 'NOT_FOUND', 'There is no such file') e;
    END IF;
END
$$;


SELECT nchat_module_allow('nchat_svg_save', 'nchat_svg_get');

SELECT nchat_module_grant('SELECT, INSERT, UPDATE ON svg_files');
