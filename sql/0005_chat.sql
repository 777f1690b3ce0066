-- 0005 chat data: attachments, stars, and what a message knows of its channel.


-- Files that were uploaded completely.  channel_id and message_id say where a
-- file belongs; a file with neither is seen by its uploader only.  A file of a
-- message is always in the message's channel, and goes when the message goes.
-- in_public is kept by triggers, as in messages.

CREATE TABLE attachments (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    filename           text NOT NULL,
    original_filename  text NOT NULL,
    mime_type          text NOT NULL,
    size               bigint NOT NULL CHECK (size >= 0),
    category           text NOT NULL
                       CHECK (category IN ('image', 'video', 'audio',
                                           'document', 'archive', 'code')),
    width              integer,
    height             integer,
    duration           double precision,
    etag               text,
    storage_key        text,
    channel_id         uuid,
    message_id         uuid,
    uploaded_by        uuid,
    in_public          boolean,
    created_at         timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz
);

CREATE INDEX attachments_message ON attachments (message_id)
    WHERE message_id IS NOT NULL;
CREATE INDEX attachments_channel ON attachments (channel_id)
    WHERE channel_id IS NOT NULL;


-- Which messages a user starred; for that user's eyes only.

CREATE TABLE message_stars (
    user_id     uuid NOT NULL,
    message_id  uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, message_id)
);

CREATE INDEX message_stars_newest ON message_stars (user_id, created_at);


-- in_public: whether the message's channel is public.  Search asks for it in
-- the same index as for words.  has_file and has_image tell of attachments.

ALTER TABLE messages
    ADD COLUMN in_public  boolean,
    ADD COLUMN has_file   boolean NOT NULL DEFAULT false,
    ADD COLUMN has_image  boolean NOT NULL DEFAULT false;

UPDATE messages m
   SET in_public = coalesce((SELECT c.type = 'public' FROM channels c
                              WHERE c.id = m.channel_id), false);

ALTER TABLE messages ALTER COLUMN in_public SET NOT NULL;


-- Whoever inserts a message may leave in_public out, or, when sure of it, give
-- it and save a look at the channel.

CREATE FUNCTION nchat_message_place() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.in_public := coalesce((SELECT c.type = 'public' FROM channels c
                                WHERE c.id = NEW.channel_id), false);
    RETURN NEW;
END
$$;

CREATE TRIGGER a_place BEFORE INSERT ON messages
    FOR EACH ROW WHEN (NEW.in_public IS NULL)
    EXECUTE FUNCTION nchat_message_place();

CREATE TRIGGER a_place_again BEFORE UPDATE OF channel_id ON messages
    FOR EACH ROW WHEN (NEW.channel_id <> OLD.channel_id)
    EXECUTE FUNCTION nchat_message_place();


CREATE FUNCTION nchat_attachment_place() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF NEW.message_id IS NOT NULL THEN
        NEW.channel_id := coalesce((SELECT m.channel_id FROM messages m
                                     WHERE m.id = NEW.message_id),
                                   NEW.channel_id);
    END IF;

    NEW.in_public := coalesce((SELECT c.type = 'public' FROM channels c
                                WHERE c.id = NEW.channel_id), false);
    RETURN NEW;
END
$$;

CREATE TRIGGER a_place BEFORE INSERT OR UPDATE OF channel_id, message_id
    ON attachments FOR EACH ROW EXECUTE FUNCTION nchat_attachment_place();


-- Changing a channel's type carries over to what is in it.  The locks wait for
-- writers that still saw the old type, and keep new ones out until the end of
-- the transaction.

CREATE FUNCTION nchat_channel_retype() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    LOCK TABLE messages, attachments IN SHARE ROW EXCLUSIVE MODE;

    UPDATE messages SET in_public = (NEW.type = 'public')
     WHERE channel_id = NEW.id AND in_public <> (NEW.type = 'public');
    UPDATE attachments SET in_public = (NEW.type = 'public')
     WHERE channel_id = NEW.id AND in_public <> (NEW.type = 'public');

    RETURN NULL;
END
$$;

CREATE TRIGGER retype AFTER UPDATE OF type ON channels
    FOR EACH ROW WHEN ((NEW.type = 'public') <> (OLD.type = 'public'))
    EXECUTE FUNCTION nchat_channel_retype();


-- A message knows whether it has files and images.

CREATE FUNCTION nchat_attachment_mark() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    v_message  uuid;
BEGIN
    FOR v_message IN
        SELECT DISTINCT t.id
          FROM (VALUES (CASE WHEN TG_OP <> 'DELETE' THEN NEW.message_id END),
                       (CASE WHEN TG_OP <> 'INSERT' THEN OLD.message_id END))
               AS t(id)
         WHERE t.id IS NOT NULL
    LOOP
        UPDATE messages m
           SET has_file = s.has_file, has_image = s.has_image
          FROM (SELECT count(*) > 0 AS has_file,
                       coalesce(bool_or(a.category = 'image'), false)
                           AS has_image
                  FROM attachments a
                 WHERE a.message_id = v_message AND a.deleted_at IS NULL) s
         WHERE m.id = v_message AND m.deleted_at IS NULL
           AND (m.has_file, m.has_image) <> (s.has_file, s.has_image);
    END LOOP;

    RETURN NULL;
END
$$;

CREATE TRIGGER mark
    AFTER INSERT OR DELETE OR UPDATE OF message_id, deleted_at, category
    ON attachments FOR EACH ROW EXECUTE FUNCTION nchat_attachment_mark();


-- A deleted message takes its files with it; one that comes back brings those
-- back that went with it.

CREATE FUNCTION nchat_message_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE attachments SET deleted_at = now()
         WHERE message_id = OLD.id AND deleted_at IS NULL;
    ELSE
        UPDATE attachments SET deleted_at = NEW.deleted_at
         WHERE message_id = NEW.id
           AND deleted_at IS NOT DISTINCT FROM OLD.deleted_at;
    END IF;

    RETURN NULL;
END
$$;

CREATE TRIGGER gone AFTER UPDATE OF deleted_at ON messages
    FOR EACH ROW WHEN (NEW.deleted_at IS DISTINCT FROM OLD.deleted_at)
    EXECUTE FUNCTION nchat_message_gone();

CREATE TRIGGER gone_for_good AFTER DELETE ON messages
    FOR EACH ROW EXECUTE FUNCTION nchat_message_gone();


SELECT nchat_module_grant('SELECT ON attachments', 'SELECT ON message_stars');
