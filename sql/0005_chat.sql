-- 0005 chat data: attachments, stars, what a message knows of its channel and
-- files, and what search finds messages, files, people and channels by.


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
-- the same index as for words.  Whoever inserts a message may leave it out, or,
-- when sure of it, give it and save a look at the channel.  has_file and
-- has_image tell of attachments.

ALTER TABLE messages
    ADD COLUMN in_public  boolean,
    ADD COLUMN has_file   boolean NOT NULL DEFAULT false,
    ADD COLUMN has_image  boolean NOT NULL DEFAULT false;

UPDATE messages m
   SET in_public = coalesce((SELECT c.type = 'public' FROM channels c
                              WHERE c.id = m.channel_id), false);

ALTER TABLE messages ALTER COLUMN in_public SET NOT NULL;


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


-- Words.
--
-- A text is indexed as words without punctuation: "v1.2/build-7" is the words
-- v1, 2, build, 7 next to each other, and so is the query.  English words are
-- stemmed; nothing is left out as too common, so "to be or not to be" is found.
-- Scripts without spaces have no words; of them every pair of neighbours is
-- one, and each run's last character.  Symbols, emoji too, are words by code.

CREATE TEXT SEARCH DICTIONARY nchat_english
    (TEMPLATE = snowball, LANGUAGE = english);

CREATE TEXT SEARCH CONFIGURATION nchat (PARSER = "default");

ALTER TEXT SEARCH CONFIGURATION nchat
    ADD MAPPING FOR asciiword, word WITH nchat_english;
ALTER TEXT SEARCH CONFIGURATION nchat
    ADD MAPPING FOR numword, int, uint, float, sfloat WITH simple;


-- Classes of characters, to stand between [ and ] in a regular expression.

-- Chinese, Japanese, Korean; Thai, Lao, Burmese, Khmer.

CREATE FUNCTION nchat_class_unspaced() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '\u0e01-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf'
           '\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u3096'
           '\u309d-\u30fa\u30fc-\u312f\u3131-\u31ff\u3400-\u9fff\ua960-\ua97f'
           '\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b2ff'
           '\U00020000-\U0003ffff'
$$;

-- Arrows, mathematics, dingbats, emoji; without skin tones.

CREATE FUNCTION nchat_class_symbol() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '\u2190-\u2bff\U0001f000-\U0001f3fa\U0001f400-\U0001faff'
$$;

-- Punctuation outside of ASCII, invisible characters, private ones.

CREATE FUNCTION nchat_class_punctuation() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '\u0080-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb-\u00bf\u00d7'
           '\u00f7\u2000-\u206f\u20a0-\u20cf\u3000-\u3004\u3008-\u3020\u302a-'
           '\u3030\u303d-\u3040\u3099-\u309c\u30fb\ue000-\uf8ff\ufe00-\ufe6f'
           '\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufff0-\uffff'
           '\U0001f3fb-\U0001f3ff\U000e0000-\U0010ffff'
$$;


-- Text of unspaced scripts and symbols as words.

CREATE FUNCTION nchat_search_pairs(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT string_agg(
               CASE s.class
                   WHEN 'u' THEN ' ' || s.c
                                 || CASE s.next_class WHEN 'u' THEN s.next
                                    ELSE '' END || ' '
                   WHEN 's' THEN ' symbol' || to_hex(ascii(s.c)) || ' '
                   ELSE s.c
               END, '' ORDER BY s.n)
      FROM (SELECT k.*, lead(k.c) OVER w AS next,
                   lead(k.class) OVER w AS next_class
              FROM (SELECT t.c, t.n,
                           CASE WHEN t.c ~ ('[' || nchat_class_unspaced()
                                            || ']') THEN 'u'
                                WHEN t.c ~ ('[' || nchat_class_symbol()
                                            || ']') THEN 's'
                           END AS class
                      FROM string_to_table($1, NULL)
                           WITH ORDINALITY AS t(c, n)) AS k
            WINDOW w AS (ORDER BY k.n)) AS s
$$;


-- nchat_search_text(): a text as it is indexed.  The parser takes most ASCII
-- punctuation for blanks; the characters replaced here are those by which it
-- makes hosts, paths, numbers with signs, tags and entities instead of words.
-- Words of more than 200 bytes are cut: the parser drops very long ones.

CREATE FUNCTION nchat_search_text(p_text text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF octet_length(p_text) <> char_length(p_text) THEN
        p_text := regexp_replace(normalize(p_text, NFKC),
                      '[' || nchat_class_punctuation() || ']+', ' ', 'g');

        IF p_text ~ ('[' || nchat_class_unspaced() || nchat_class_symbol()
                     || ']')
        THEN
            p_text := nchat_search_pairs(p_text);
        END IF;
    END IF;

    IF octet_length(p_text) > 2000 THEN
        p_text := regexp_replace(p_text, '([^\s]{200})(?=[^\s])', '\1 ', 'g');
    END IF;

    RETURN replace(replace(replace(replace(replace(replace(replace(p_text,
               '.', ' '), '/', ' '), '-', ' '), '+', ' '), '<', ' '),
               '&', ' '), '~', ' ');
END
$$;

-- nchat_search_words(): the same without any punctuation, in lower case, the
-- words separated by one space: for names and queries.

CREATE FUNCTION nchat_search_words(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT btrim(regexp_replace(lower(nchat_search_text($1)),
                                '[\u0001-\u002f\u003a-\u0040\u005b-\u0060'
                                '\u007b-\u007f]+', ' ', 'g'))
$$;

-- nchat_search_name(): names as they are searched, with a space before each
-- word, so that a word's beginning can be told from its middle.

CREATE FUNCTION nchat_search_name(VARIADIC p_names text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ' ' || nchat_search_words(array_to_string($1, ' | ')) || ' '
$$;


-- Keys.
--
-- Beside its words, a message or file is indexed by small numbers, in the same
-- index, for what narrows a search: who may see it, who wrote it, when, what it
-- has.  Postgres intersects their lists with those of the words, skipping what
-- cannot match, before it looks at a single row.  The upper bits say the kind:
--
--     1  scope: 27 bits of the channel's id; of the uploader's for a file
--        without a channel.  Different ids may share a key: rows are checked
--     2  author: 27 bits of the id of the user or webhook
--     3  time in blocks of 2^8 seconds since 1970 (4 minutes)
--     4  in blocks of 2^13 (2.3 hours)
--     5  in blocks of 2^18 (3 days)
--     6  in blocks of 2^23 (97 days)
--     7  1 in a public channel, 2 has a link, 3 a file, 4 an image, 5 is pinned

CREATE FUNCTION nchat_key_id(p_kind integer, p_id uuid) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ($1 << 27) | (('x0' || right($2::text, 7))::bit(32)::integer
                         & 134217727)
$$;

CREATE FUNCTION nchat_key_time(p_level integer, p_seconds bigint)
    RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (($1 + 3) << 27) | ($2 >> (8 + 5 * $1))::integer
$$;

CREATE FUNCTION nchat_key_flag(p_flag integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (7 << 27) | $1 $$;

-- Seconds since 1970, none before.  The time zone has no say in it.

CREATE FUNCTION nchat_seconds(timestamptz) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN floor(greatest(0, least(date_part('epoch', $1), 34359738367)));
END
$$;

CREATE FUNCTION nchat_search_keys(p_scope uuid, p_author uuid, p_seconds bigint,
                                  p_public boolean, p_link boolean,
                                  p_file boolean, p_image boolean,
                                  p_pinned boolean) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT array_remove(ARRAY[
               nchat_key_id(1, $1), nchat_key_id(2, $2),
               nchat_key_time(0, $3), nchat_key_time(1, $3),
               nchat_key_time(2, $3), nchat_key_time(3, $3),
               CASE WHEN $4 THEN nchat_key_flag(1) END,
               CASE WHEN $5 THEN nchat_key_flag(2) END,
               CASE WHEN $6 THEN nchat_key_flag(3) END,
               CASE WHEN $7 THEN nchat_key_flag(4) END,
               CASE WHEN $8 THEN nchat_key_flag(5) END], NULL)
$$;


-- Nothing that is searched is older than its kind's floor, in seconds since 1970:
-- so a search knows where time ends.  Rows that bring a time of their own lower
-- it, by the steps of nchat_key_time(2, ...); those of now don't touch it, and
-- nchat_search_floor_check() sees to it that they need not, should somebody have
-- set the clock back.

CREATE TABLE search_floor (
    kind     text PRIMARY KEY CHECK (kind IN ('messages', 'files')),
    seconds  bigint NOT NULL
);

CREATE FUNCTION nchat_search_floor_lower(p_kind text, p_seconds bigint)
    RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    UPDATE search_floor SET seconds = $2 >> 18 << 18
     WHERE kind = $1 AND seconds > $2
$$;

CREATE FUNCTION nchat_search_floor_check() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT nchat_search_floor_lower(kind, nchat_seconds(now() - interval '1 day'))
      FROM search_floor
$$;

INSERT INTO search_floor
SELECT k.kind, nchat_seconds(least(now() - interval '1 day', k.oldest)) >> 18 << 18
  FROM (SELECT 'messages', min(created_at) FROM messages
        UNION ALL
        SELECT 'files', min(created_at) FROM attachments) AS k(kind, oldest);


-- Triggers keep words and keys.  Generated columns would cost more: Postgres
-- plans their expressions anew for every statement, as it does with a trigger's
-- WHEN, so the one trigger that every message passes has none.

ALTER TABLE messages
    ADD COLUMN search       tsvector,
    ADD COLUMN search_keys  integer[];

CREATE FUNCTION nchat_message_index() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    v_author   uuid := coalesce(NEW.user_id, NEW.webhook_id);
    v_seconds  bigint := nchat_seconds(NEW.created_at);
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.channel_id <> OLD.channel_id THEN
        NEW.in_public := NULL;
    END IF;

    IF NEW.in_public IS NULL THEN
        NEW.in_public := coalesce((SELECT c.type = 'public' FROM channels c
                                    WHERE c.id = NEW.channel_id), false);
    END IF;

    IF TG_OP = 'INSERT' OR NEW.content <> OLD.content THEN
        NEW.search := to_tsvector('public.nchat',
                                  nchat_search_text(NEW.content));
    END IF;

    NEW.search_keys := nchat_search_keys(
        NEW.channel_id, v_author, v_seconds, NEW.in_public,
        NEW.content LIKE '%://%' AND NEW.content ~* '\mhttps?://\S',
        NEW.has_file OR coalesce(NEW.attachments <> '[]', false),
        NEW.has_image
            OR (NEW.attachments IS NOT NULL
                AND NEW.attachments::text
                    ~* '"image/|\.(png|jpe?g|gif|webp|bmp|tiff?|svg)["?]'),
        NEW.pinned);

    IF NEW.created_at < now() THEN
        PERFORM nchat_search_floor_lower('messages', v_seconds);
    END IF;

    RETURN NEW;
END
$$;

CREATE TRIGGER b_index BEFORE INSERT OR UPDATE ON messages
    FOR EACH ROW EXECUTE FUNCTION nchat_message_index();

UPDATE messages SET search_keys = NULL, search = to_tsvector('public.nchat',
                                            nchat_search_text(content));

ALTER TABLE messages ALTER COLUMN search SET NOT NULL,
                     ALTER COLUMN search_keys SET NOT NULL;


ALTER TABLE attachments
    ADD COLUMN search_name  text NOT NULL,
    ADD COLUMN search_keys  integer[] NOT NULL;

CREATE FUNCTION nchat_attachment_index() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.search_name := nchat_search_name(NEW.original_filename);
    NEW.search_keys := nchat_search_keys(
        coalesce(NEW.channel_id, NEW.uploaded_by), NEW.uploaded_by,
        nchat_seconds(NEW.created_at), NEW.in_public, false, true,
        NEW.category = 'image', false);

    IF NEW.created_at <> now() THEN
        PERFORM nchat_search_floor_lower('files', nchat_seconds(NEW.created_at));
    END IF;

    RETURN NEW;
END
$$;

CREATE TRIGGER b_index BEFORE INSERT OR UPDATE ON attachments
    FOR EACH ROW EXECUTE FUNCTION nchat_attachment_index();


ALTER TABLE users ADD COLUMN search_name text;

CREATE FUNCTION nchat_user_index() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.search_name := nchat_search_name(NEW.username, NEW.display_name);
    RETURN NEW;
END
$$;

CREATE TRIGGER b_index BEFORE INSERT OR UPDATE OF username, display_name
    ON users FOR EACH ROW EXECUTE FUNCTION nchat_user_index();

UPDATE users SET username = username;

ALTER TABLE users ALTER COLUMN search_name SET NOT NULL;


ALTER TABLE channels ADD COLUMN search_name text;

CREATE FUNCTION nchat_channel_index() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.search_name := nchat_search_name(NEW.name, NEW.topic, NEW.description);
    RETURN NEW;
END
$$;

CREATE TRIGGER b_index BEFORE INSERT OR UPDATE OF name, topic, description
    ON channels FOR EACH ROW EXECUTE FUNCTION nchat_channel_index();

UPDATE channels SET name = name;

ALTER TABLE channels ALTER COLUMN search_name SET NOT NULL;


-- What is searched by these columns is known beforehand: statistics on them
-- would only slow planning down.

ALTER TABLE messages ALTER COLUMN search SET STATISTICS 0,
                     ALTER COLUMN search_keys SET STATISTICS 0;
ALTER TABLE attachments ALTER COLUMN search_name SET STATISTICS 0,
                        ALTER COLUMN search_keys SET STATISTICS 0;
ALTER TABLE users ALTER COLUMN search_name SET STATISTICS 0;
ALTER TABLE channels ALTER COLUMN search_name SET STATISTICS 0;


-- New entries of messages_search wait in a list that each search reads through:
-- at most 512 kB of it.

CREATE INDEX messages_search ON messages USING gin (search, search_keys)
    WITH (gin_pending_list_limit = 512) WHERE deleted_at IS NULL;

CREATE INDEX attachments_search
    ON attachments USING gin (search_name gin_trgm_ops, search_keys)
    WITH (gin_pending_list_limit = 512) WHERE deleted_at IS NULL;

CREATE INDEX users_search ON users USING gin (search_name gin_trgm_ops)
    WITH (fastupdate = off);

CREATE INDEX channels_search ON channels USING gin (search_name gin_trgm_ops)
    WITH (fastupdate = off);


SELECT nchat_module_allow('nchat_class_unspaced', 'nchat_class_symbol',
                          'nchat_class_punctuation', 'nchat_search_pairs',
                          'nchat_search_text', 'nchat_search_words',
                          'nchat_search_name', 'nchat_search_keys',
                          'nchat_key_id', 'nchat_key_time', 'nchat_key_flag',
                          'nchat_seconds', 'nchat_search_floor_lower',
                          'nchat_search_floor_check');

SELECT nchat_module_grant('SELECT ON attachments', 'SELECT ON message_stars',
                          'SELECT ON search_floor');
