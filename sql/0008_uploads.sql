-- 0008 uploads: files on their way, what becomes of them, links to them.
--
-- An upload is announced (init), its bytes go to the store, and complete turns
-- it into an attachment; the attachment has the upload's id.  A row that is
-- never completed goes when its time is over, and its bytes with it.


-- expires_at  until then it can be completed
-- remove_at   from then on its bytes may be removed
-- claimed_at  somebody is removing them
-- etag        what the local store took, with its quotes; null: nothing yet,
--             or the store is asked instead

CREATE TABLE uploads (
    id           uuid PRIMARY KEY,
    user_id      uuid,
    filename     text NOT NULL,
    mime_type    text NOT NULL,
    category     text NOT NULL,
    size         bigint NOT NULL CHECK (size > 0),
    storage_key  text NOT NULL,
    channel_id   uuid,
    message_id   uuid,
    etag         text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    remove_at    timestamptz NOT NULL,
    claimed_at   timestamptz
);

CREATE INDEX uploads_remove ON uploads (remove_at);

-- The quota's sums.

CREATE INDEX uploads_anonymous ON uploads (created_at) INCLUDE (size)
    WHERE user_id IS NULL;
CREATE INDEX attachments_anonymous ON attachments (created_at) INCLUDE (size)
    WHERE uploaded_by IS NULL;


-- Links to files that not everyone may read are signed with HMAC-SHA256 (RFC
-- 2104).  Kept is its key as the two padded blocks that it hashes, in hex.

DO $$
DECLARE
    v_key    bytea := decode(nchat_random_secret(), 'hex')
                      || decode(repeat('00', 32), 'hex');
    v_inner  bytea := v_key;
    v_outer  bytea := v_key;
BEGIN
    FOR i IN 0 .. 63 LOOP
        v_inner := set_byte(v_inner, i, get_byte(v_key, i) # 54);
        v_outer := set_byte(v_outer, i, get_byte(v_key, i) # 92);
    END LOOP;

    INSERT INTO node_secrets (name, value)
    VALUES ('file_key', encode(v_inner || v_outer, 'hex'));
END
$$;

-- The signature of a link to a file, good until `expires` (Unix seconds).  Not
-- for the module: who may call it can read every file.

CREATE FUNCTION nchat_file_signature(p_id uuid, p_expires bigint) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT encode(sha256(substr(k.key, 65, 64)
                         || sha256(substr(k.key, 1, 64)
                                   || convert_to($1 || ' ' || $2, 'UTF8'))),
                  'hex')
      FROM (SELECT decode(value, 'hex') AS key FROM node_secrets
             WHERE name = 'file_key') AS k
$$;

-- nchat_file_open(): whether everyone who has the link may read a file: those
-- of public channels, and those of no channel, such as avatars and logos.

CREATE FUNCTION nchat_file_open(a attachments) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT $1.in_public OR $1.channel_id IS NULL
$$;


-- nchat_file_url(): where a file is read; p_base is what stands before the
-- path: scheme and host, or ''.
--
-- A signed link is good for one to two hours, and the same for everyone who
-- asks within the hour, so that browsers can keep what they loaded.

CREATE FUNCTION nchat_file_url(p_base text, a attachments) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    v_url      text := p_base || '/files/' || a.id;
    v_expires  bigint;
BEGIN
    IF nchat_file_open(a) THEN
        RETURN v_url;
    END IF;

    v_expires := (floor(date_part('epoch', now()) / 3600) + 2) * 3600;

    RETURN v_url || '?expires=' || v_expires
           || '&signature=' || nchat_file_signature(a.id, v_expires);
END
$$;


-- nchat_file_get(): what is needed to send a file.  Of private files only with
-- a signature that is good.  Returns status 200, or 403, 404 with a body.
-- seconds is what is left of a signed link's time, null for open files.

CREATE FUNCTION nchat_file_get(
    p_id uuid, p_expires bigint, p_signature text,
    OUT status integer, OUT body text, OUT key text, OUT mime_type text,
    OUT filename text, OUT size bigint, OUT etag text, OUT seconds bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    a  attachments;
BEGIN
    SELECT * INTO a FROM attachments
     WHERE id = p_id AND deleted_at IS NULL AND storage_key IS NOT NULL;

    IF NOT FOUND THEN
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(404, 'NOT_FOUND', 'There is no such file') AS e;
        RETURN;
    END IF;

    -- Both sides are hashed: how long a comparison takes tells nothing then.

    IF NOT nchat_file_open(a) THEN
        seconds := p_expires - floor(date_part('epoch', clock_timestamp()));

        IF coalesce(seconds <= 0
                    OR sha256(convert_to(p_signature, 'UTF8'))
                       <> sha256(convert_to(nchat_file_signature(
                                     p_id, p_expires), 'UTF8')), true)
        THEN
            SELECT e.status, e.body INTO status, body
              FROM nchat_error(403, 'FORBIDDEN', 'This link is not complete '
                               'or has expired') AS e;
            RETURN;
        END IF;
    END IF;

    status := 200;
    key := a.storage_key;
    mime_type := a.mime_type;
    filename := a.original_filename;
    size := a.size;
    etag := a.etag;
END
$$;


-- nchat_upload_place(): whether a file may go where it is meant to.  No row if
-- it may, else status and body of the refusal.  Public channels take files of
-- every user, others of their members, messages of their authors; guests and
-- anonymous callers place nothing.

CREATE FUNCTION nchat_upload_place(p_user uuid, p_channel uuid, p_message uuid)
    RETURNS TABLE (status integer, body text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    m  messages;
    c  channels;
BEGIN
    IF p_channel IS NULL AND p_message IS NULL THEN
        RETURN;
    END IF;

    IF p_user IS NULL THEN
        RETURN QUERY SELECT * FROM nchat_error(401, 'UNAUTHORIZED',
            'Files for a channel or message need a signed-in user');
        RETURN;
    END IF;

    IF p_message IS NOT NULL THEN
        SELECT * INTO m FROM messages
         WHERE id = p_message AND deleted_at IS NULL
           AND (p_channel IS NULL OR channel_id = p_channel);

        IF NOT FOUND THEN
            RETURN QUERY SELECT * FROM nchat_error(404, 'NOT_FOUND',
                'There is no such message', '{"field": "messageId"}');
            RETURN;
        END IF;
    END IF;

    SELECT * INTO c FROM channels WHERE id = coalesce(m.channel_id, p_channel);

    IF NOT FOUND THEN
        RETURN QUERY SELECT * FROM nchat_error(404, 'NOT_FOUND',
            'There is no such channel', '{"field": "channelId"}');

    ELSIF c.type <> 'public' AND NOT EXISTS (
        SELECT FROM channel_members
         WHERE channel_id = c.id AND user_id = p_user)
    THEN
        RETURN QUERY SELECT * FROM nchat_error(403, 'FORBIDDEN',
            'Only members of the channel may post in it',
            '{"field": "channelId"}');

    ELSIF c.archived_at IS NOT NULL THEN
        RETURN QUERY SELECT * FROM nchat_error(403, 'FORBIDDEN',
            'The channel is archived', '{"field": "channelId"}');

    ELSIF p_message IS NOT NULL AND m.user_id IS DISTINCT FROM p_user THEN
        RETURN QUERY SELECT * FROM nchat_error(403, 'FORBIDDEN',
            'Only its author may add files to a message',
            '{"field": "messageId"}');
    END IF;
END
$$;


-- nchat_upload_quota(): whether one more anonymous upload fits into the day's
-- quota (bytes; a day of UTC).  What was announced counts until it is removed.
-- Announcements take turns, so that many at once cannot all be the last.

CREATE FUNCTION nchat_upload_quota(p_size bigint, p_quota bigint)
    RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    v_day  timestamptz := date_trunc('day', now() AT TIME ZONE 'UTC')
                          AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('nchat_upload_quota'));

    RETURN p_size + (SELECT coalesce(sum(size), 0) FROM uploads
                      WHERE user_id IS NULL AND created_at >= v_day)
                  + (SELECT coalesce(sum(size), 0) FROM attachments
                      WHERE uploaded_by IS NULL AND created_at >= v_day)
           <= p_quota;
END
$$;


-- nchat_upload_init(): announces a file.
--
--   p_user      who uploads; null: anonymous
--   p_key       its key in the store
--   p_complete  seconds in which it must be completed
--   p_remove    seconds after which its bytes may go
--   p_quota     bytes a day for all anonymous callers; null: no limit
--
-- Returns status 201, or 401, 403, 404 with a body.

CREATE FUNCTION nchat_upload_init(
    p_id uuid, p_user uuid, p_filename text, p_mime_type text, p_category text,
    p_size bigint, p_key text, p_channel uuid, p_message uuid,
    p_complete integer, p_remove integer, p_quota bigint,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
BEGIN
    SELECT p.status, p.body INTO status, body
      FROM nchat_upload_place(p_user, p_channel, p_message) AS p;

    IF status IS NOT NULL THEN
        RETURN;
    END IF;

    IF p_user IS NULL AND p_quota IS NOT NULL
       AND NOT nchat_upload_quota(p_size, p_quota)
    THEN
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(403, 'FORBIDDEN', 'Today''s quota of uploads '
                           'without signing in is used up: sign in, or try '
                           'again tomorrow') AS e;
        RETURN;
    END IF;

    INSERT INTO uploads (id, user_id, filename, mime_type, category, size,
                         storage_key, channel_id, message_id, expires_at,
                         remove_at)
    VALUES (p_id, p_user, p_filename, p_mime_type, p_category, p_size, p_key,
            p_channel, p_message, now() + p_complete * interval '1 second',
            now() + p_remove * interval '1 second');

    status := 201;
    body := '{}';
END
$$;


-- nchat_upload_stored(): the local store has taken the bytes.  From now on
-- there are p_complete seconds to complete the upload, so that a slow client
-- is not late.  Returns status 200, or 404 if the upload is gone.

CREATE FUNCTION nchat_upload_stored(
    p_id uuid, p_etag text, p_complete integer, p_remove integer,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE uploads
       SET etag = p_etag,
           expires_at = greatest(expires_at,
                                 now() + p_complete * interval '1 second'),
           remove_at = greatest(remove_at,
                                now() + p_remove * interval '1 second')
     WHERE id = p_id AND claimed_at IS NULL;

    IF FOUND THEN
        status := 200;
        body := '{}';
    ELSE
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(404, 'NOT_FOUND',
                           'This upload has expired: start again') AS e;
    END IF;
END
$$;


-- An attachment as complete answers it.

CREATE FUNCTION nchat_attachment_body(a attachments, p_base text) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT json_strip_nulls(json_build_object(
               'attachment', json_build_object(
                   'id', a.id,
                   'filename', a.filename,
                   'originalFilename', a.original_filename,
                   'mimeType', a.mime_type,
                   'size', a.size,
                   'url', nchat_file_url(p_base, a),
                   'category', a.category,
                   'width', a.width,
                   'height', a.height,
                   'duration', a.duration,
                   'uploadedBy', a.uploaded_by,
                   'channelId', a.channel_id,
                   'messageId', a.message_id,
                   'createdAt', nchat_time(a.created_at)),
               'etag', a.etag))::text
$$;


-- nchat_upload_find(): what the store must have before an upload of this user
-- is completed.  Returns status 202 and key, mime_type, size and etag; 200 and
-- the answer if it was completed before; 404 and a body.

CREATE FUNCTION nchat_upload_find(
    p_id uuid, p_user uuid, p_base text,
    OUT status integer, OUT body text, OUT key text, OUT mime_type text,
    OUT size bigint, OUT etag text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    u  uploads;
    a  attachments;
BEGIN
    SELECT * INTO u FROM uploads
     WHERE id = p_id AND user_id IS NOT DISTINCT FROM p_user
       AND expires_at > now() AND claimed_at IS NULL;

    IF FOUND THEN
        status := 202;
        key := u.storage_key;
        mime_type := u.mime_type;
        size := u.size;
        etag := u.etag;
        RETURN;
    END IF;

    SELECT * INTO a FROM attachments
     WHERE id = p_id AND uploaded_by IS NOT DISTINCT FROM p_user
       AND storage_key IS NOT NULL AND deleted_at IS NULL;

    IF FOUND THEN
        status := 200;
        body := nchat_attachment_body(a, p_base);
    ELSE
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(404, 'NOT_FOUND', 'There is no such upload') AS e;
    END IF;
END
$$;


-- nchat_upload_complete(): uses up an upload and records its attachment.
--
--   p_email, p_username  of the user, for the audit log; null: anonymous
--   p_etag               of what the store has
--   p_base               see nchat_file_url
--
-- Returns status 200 and the answer, and in `size` the bytes that are new; or
-- 401, 403, 404 and a body.  Of two at once the second gives the same answer.

CREATE FUNCTION nchat_upload_complete(
    p_id uuid, p_user uuid, p_email text, p_username text, p_etag text,
    p_width integer, p_height integer, p_duration double precision,
    p_base text, p_ip text, p_request_id text,
    OUT status integer, OUT body text, OUT size bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    u  uploads;
    a  attachments;
BEGIN
    SELECT * INTO u FROM uploads
     WHERE id = p_id AND user_id IS NOT DISTINCT FROM p_user
       AND expires_at > now() AND claimed_at IS NULL
       FOR UPDATE;

    IF NOT FOUND THEN
        SELECT f.status, f.body INTO status, body
          FROM nchat_upload_find(p_id, p_user, p_base) AS f;
        RETURN;
    END IF;

    SELECT p.status, p.body INTO status, body
      FROM nchat_upload_place(p_user, u.channel_id, u.message_id) AS p;

    IF status IS NOT NULL THEN
        RETURN;
    END IF;

    DELETE FROM uploads WHERE id = p_id;

    INSERT INTO attachments (id, filename, original_filename, mime_type, size,
                             category, width, height, duration, etag,
                             storage_key, channel_id, message_id, uploaded_by)
    VALUES (p_id, regexp_replace(u.storage_key, '^.*/', ''), u.filename,
            u.mime_type, u.size, u.category, p_width, p_height, p_duration,
            p_etag, u.storage_key, u.channel_id, u.message_id, p_user)
    RETURNING * INTO a;

    PERFORM nchat_audit_record(
        'file', 'upload', 'info', p_user,
        CASE WHEN p_user IS NULL THEN 'anonymous' ELSE 'user' END,
        p_email, p_username,
        jsonb_build_object('type', 'file', 'id', a.id,
                           'name', a.original_filename),
        NULL, 'File uploaded', true, NULL,
        jsonb_strip_nulls(jsonb_build_object(
            'mimeType', a.mime_type, 'size', a.size,
            'channelId', a.channel_id, 'messageId', a.message_id)),
        p_ip, p_request_id);

    status := 200;
    body := nchat_attachment_body(a, p_base);
    size := a.size;
END
$$;


-- nchat_upload_expired(): uploads whose time is over, at most p_limit of them,
-- claimed for the caller, who removes their bytes and then calls
-- nchat_upload_forget().  A claim that nothing came of is given again after
-- ten minutes.  One caller at a time; others get nothing.

CREATE FUNCTION nchat_upload_expired(p_limit integer)
    RETURNS TABLE (id uuid, key text)
LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('nchat_upload_expired')) THEN
        RETURN;
    END IF;

    RETURN QUERY
        UPDATE uploads AS u SET claimed_at = now()
         WHERE u.id IN (SELECT e.id FROM uploads AS e
                         WHERE e.remove_at <= now()
                           AND (e.claimed_at IS NULL
                                OR e.claimed_at < now() - interval '10 min')
                         ORDER BY e.remove_at LIMIT p_limit
                           FOR UPDATE SKIP LOCKED)
        RETURNING u.id, u.storage_key;
END
$$;

-- nchat_upload_forget('{id,…}'): their bytes are removed.  Returns how many.

CREATE FUNCTION nchat_upload_forget(p_ids uuid[]) RETURNS integer
LANGUAGE sql
AS $$
    WITH gone AS (DELETE FROM uploads
                   WHERE id = ANY ($1) AND claimed_at IS NOT NULL
                  RETURNING 1)
    SELECT count(*)::integer FROM gone
$$;


SELECT nchat_module_allow('nchat_file_url', 'nchat_file_get',
                          'nchat_upload_place', 'nchat_upload_quota',
                          'nchat_upload_init', 'nchat_upload_stored',
                          'nchat_attachment_body', 'nchat_upload_find',
                          'nchat_upload_complete', 'nchat_upload_expired',
                          'nchat_upload_forget');

SELECT nchat_module_grant('SELECT, INSERT, UPDATE, DELETE ON uploads',
                          'INSERT ON attachments');
