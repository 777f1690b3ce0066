-- 0006 webhooks: their rows, deliveries, and the functions behind both.  What the
-- operator does with them is in 0015.
--
-- A delivery only inserts: the message and its record, in one transaction.  No
-- row is updated by it, so deliveries never wait for each other; when a webhook
-- was last used, and how often, is read from the records.


CREATE TABLE webhooks (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    channel_id         uuid NOT NULL,
    name               text NOT NULL
                       CHECK (char_length(name) BETWEEN 1 AND 80),
    token_hash         text NOT NULL CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    secret             text CHECK (secret <> ''),
    require_signature  boolean NOT NULL DEFAULT false,
    status             text NOT NULL DEFAULT 'active'
                       CHECK (status IN ('active', 'disabled')),
    created_by         uuid,
    created_at         timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,
    CHECK (secret IS NOT NULL OR NOT require_signature)
);


-- Append only, by the module's rights.  The key serves the newest delivery of
-- one outcome, and counts since a time.
--
--     outcome      delivered, refused, or repeated: an idempotency key was used
--                  again and had the first answer
--     http_status  what the client was answered
--     error        why, in the words of the answer; never a token or secret

CREATE TABLE webhook_deliveries (
    webhook_id       uuid NOT NULL,
    outcome          text NOT NULL
                     CHECK (outcome IN ('delivered', 'refused', 'repeated')),
    created_at       timestamptz NOT NULL DEFAULT now(),
    id               uuid NOT NULL DEFAULT gen_random_uuid(),
    http_status      smallint NOT NULL,
    error            text,
    message_id       uuid,
    ip               text,
    request_id       text,
    idempotency_key  text,
    body_hash        text,
    PRIMARY KEY (webhook_id, outcome, created_at, id)
);


-- Idempotency keys of the last 24 hours, for deliveries that have one.

CREATE TABLE webhook_keys (
    webhook_id  uuid NOT NULL,
    key         text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    body_hash   text NOT NULL,
    message_id  uuid NOT NULL,
    channel_id  uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (webhook_id, key)
);

CREATE INDEX webhook_keys_age ON webhook_keys (created_at);


-- nchat_webhook_check(): what every call on a webhook is held against; for the
-- functions below.  status is null when all is well, and in_public tells then
-- whether the channel is public.
--
-- Hashes are compared with =.  The time this takes depends on how long a prefix
-- of SHA-256(presented) equals the stored hash; as nobody can choose inputs
-- towards a wanted hash, it tells nothing about the token.

CREATE FUNCTION nchat_webhook_check(
    p_id uuid, p_token_hash text, p_signed boolean,
    OUT status integer, OUT error text, OUT code text,
    OUT known boolean, OUT channel_id uuid, OUT in_public boolean)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    w  record;
BEGIN
    SELECT h.channel_id, h.token_hash, h.require_signature,
           h.status = 'active' AS active, c.type = 'public' AS is_public,
           c.archived_at, c.id AS found
      INTO w
      FROM webhooks h LEFT JOIN channels c ON c.id = h.channel_id
     WHERE h.id = p_id AND h.deleted_at IS NULL;

    known := FOUND;

    IF NOT known THEN
        status := 404;
        code := 'NOT_FOUND';
        error := 'Webhook not found';

    ELSIF w.token_hash IS DISTINCT FROM p_token_hash THEN
        status := 401;
        code := 'INVALID_TOKEN';
        error := 'Invalid webhook token';

    ELSIF NOT w.active THEN
        status := 400;
        code := 'BAD_REQUEST';
        error := 'Webhook is not active';

    ELSIF w.require_signature AND p_signed IS NOT TRUE THEN
        status := 401;
        code := 'INVALID_TOKEN';
        error := 'Webhook signature required';

    ELSIF w.found IS NULL OR w.archived_at IS NOT NULL THEN
        status := 400;
        code := 'BAD_REQUEST';
        error := 'The webhook''s channel is archived';
    END IF;

    channel_id := w.channel_id;
    in_public := w.is_public;
END
$$;


-- nchat_webhook_get(id, token_hash): what GET answers, and what a signature is
-- checked with.
--
--   p_token_hash  SHA-256 of the presented token, in lower-case hex
--
-- Columns beside status and body, all null when refused:
--   secret             the webhook's HMAC key, or null
--   require_signature
--   active
--
-- Refuses: 404 NOT_FOUND (unknown or deleted), 401 INVALID_TOKEN.
-- Reads only.

CREATE FUNCTION nchat_webhook_get(
    p_id uuid, p_token_hash text,
    OUT status integer, OUT body text,
    OUT secret text, OUT require_signature boolean, OUT active boolean)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    w  webhooks;
BEGIN
    SELECT * INTO w FROM webhooks h
     WHERE h.id = p_id AND h.deleted_at IS NULL;

    IF NOT FOUND THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'Webhook not found');
        RETURN;
    END IF;

    IF w.token_hash IS DISTINCT FROM p_token_hash THEN
        status := 401;
        body := nchat_error_body('INVALID_TOKEN', 'Invalid webhook token');
        RETURN;
    END IF;

    status := 200;
    secret := w.secret;
    require_signature := w.require_signature;
    active := w.status = 'active';
    body := json_strip_nulls(json_build_object(
        'id', w.id, 'name', w.name, 'channel_id', w.channel_id,
        'status', w.status, 'created_at', nchat_time(w.created_at),
        'last_used_at', nchat_time(nchat_webhook_last_used(w.id))));
END
$$;


-- When a webhook delivered last; null if it never did.

CREATE FUNCTION nchat_webhook_last_used(p_id uuid) RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
    SELECT d.created_at FROM webhook_deliveries d
     WHERE d.webhook_id = $1 AND d.outcome = 'delivered'
     ORDER BY d.created_at DESC LIMIT 1
$$;


-- nchat_webhook_deliver(): one delivery, its message and its record.
--
--   p_token_hash       SHA-256 of the presented token, in lower-case hex
--   p_signed           the caller checked a signature, and it was right
--   p_content          1 to 2000 characters
--   p_username         null, or the name to show
--   p_avatar_url       null, or the picture to show
--   p_embeds           null or an array
--   p_attachments      null or an array
--   p_idempotency_key  null, or 1 to 255 characters
--   p_body_hash        SHA-256 of the raw body in hex; with a key only
--
-- 200 {"messageId","channelId"}; the columns message_id and channel_id say the
-- same, repeated tells that a key gave the first answer again.
--
-- Refuses, and records it: 404 NOT_FOUND (not recorded), 401 INVALID_TOKEN
-- (wrong token; signature required), 400 BAD_REQUEST (not active; archived
-- channel), 400 VALIDATION_ERROR (content, key), 409 CONFLICT (key used with
-- another body).
--
-- With a key it may wait for another delivery with the same key to end.  Several
-- deliveries may share a transaction, so times are the statement's.

CREATE FUNCTION nchat_webhook_deliver(
    p_id uuid, p_token_hash text, p_signed boolean, p_content text,
    p_username text, p_avatar_url text, p_embeds jsonb, p_attachments jsonb,
    p_idempotency_key text, p_body_hash text, p_ip text, p_request_id text,
    OUT status integer, OUT body text,
    OUT message_id uuid, OUT channel_id uuid, OUT repeated boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    c      record;
    k      webhook_keys;
    v_new  uuid := gen_random_uuid();
    v_at   timestamptz := statement_timestamp();
BEGIN
    repeated := false;

    c := nchat_webhook_check(p_id, p_token_hash, p_signed);

    IF c.status IS NOT NULL THEN
        status := c.status;
        body := nchat_error_body(c.code, c.error);
        p_idempotency_key := NULL;

    ELSIF char_length(p_content) NOT BETWEEN 1 AND 2000 OR p_content IS NULL
    THEN
        status := 400;
        c.error := 'Validation failed: content must be 1-2000 characters';
        body := nchat_error_body('VALIDATION_ERROR', c.error,
            '{"field": "content", "constraint": "length"}');

    ELSIF char_length(p_idempotency_key) NOT BETWEEN 1 AND 255 THEN
        status := 400;
        c.error := 'Validation failed: Idempotency-Key must be 1-255 '
                   'characters';
        body := nchat_error_body('VALIDATION_ERROR', c.error,
            '{"field": "Idempotency-Key", "constraint": "length"}');
        p_idempotency_key := NULL;

    ELSIF p_idempotency_key IS NOT NULL THEN
        INSERT INTO webhook_keys AS o
        VALUES (p_id, p_idempotency_key, coalesce(p_body_hash, ''), v_new,
                c.channel_id)
            ON CONFLICT (webhook_id, key) DO UPDATE
               SET body_hash = EXCLUDED.body_hash,
                   message_id = EXCLUDED.message_id,
                   channel_id = EXCLUDED.channel_id,
                   created_at = EXCLUDED.created_at
             WHERE o.created_at <= EXCLUDED.created_at - interval '24 hours';

        IF NOT FOUND THEN
            SELECT * INTO STRICT k FROM webhook_keys o
             WHERE o.webhook_id = p_id AND o.key = p_idempotency_key;

            IF k.body_hash = coalesce(p_body_hash, '') THEN
                status := 200;
                v_new := k.message_id;
                c.channel_id := k.channel_id;
                repeated := true;
            ELSE
                status := 409;
                c.error := 'Idempotency key was used with another body';
                body := nchat_error_body('CONFLICT', c.error);
            END IF;
        END IF;
    END IF;

    IF status IS NULL THEN
        INSERT INTO messages
            (id, channel_id, webhook_id, content, author_name, author_avatar,
             embeds, attachments, in_public, created_at)
        VALUES (v_new, c.channel_id, p_id, p_content, p_username, p_avatar_url,
                p_embeds, p_attachments, c.in_public, v_at);
        status := 200;
    END IF;

    IF status = 200 THEN
        message_id := v_new;
        channel_id := c.channel_id;
        body := '{"messageId":"' || v_new || '","channelId":"' || c.channel_id
                || '"}';
    END IF;

    IF c.known THEN
        INSERT INTO webhook_deliveries
            (webhook_id, outcome, created_at, http_status, error, message_id,
             ip, request_id, idempotency_key, body_hash)
        VALUES (p_id,
                CASE WHEN repeated THEN 'repeated'
                     WHEN status = 200 THEN 'delivered' ELSE 'refused' END,
                v_at, status, c.error, message_id, p_ip,
                p_request_id, p_idempotency_key, p_body_hash);
    END IF;
END
$$;


-- nchat_webhook_failed(): records a delivery that the caller refused before it
-- came to nchat_webhook_deliver(), and gives the answer.
--
--   p_token_hash  as above
--   p_signed      there was a signature, right or not; null is yes
--   p_status, p_body        the caller's refusal, as a status and a body
--   p_error                 the same in one sentence, for the record
--
-- Answers what comes first: 404, 401, 400 of the webhook itself, as
-- nchat_webhook_deliver() does, else p_status and p_body.

CREATE FUNCTION nchat_webhook_failed(
    p_id uuid, p_token_hash text, p_signed boolean, p_status integer,
    p_body text, p_error text, p_ip text, p_request_id text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    c  record;
BEGIN
    c := nchat_webhook_check(p_id, p_token_hash, coalesce(p_signed, true));

    IF c.status IS NULL THEN
        status := p_status;
        body := p_body;
        c.error := p_error;
    ELSE
        status := c.status;
        body := nchat_error_body(c.code, c.error);
    END IF;

    IF c.known THEN
        INSERT INTO webhook_deliveries
            (webhook_id, outcome, created_at, http_status, error, ip,
             request_id)
        VALUES (p_id, 'refused', statement_timestamp(), status,
                left(c.error, 200), p_ip, p_request_id);
    END IF;
END
$$;


-- nchat_webhook_prune(): forgets idempotency keys that are over, at most 10,000
-- at a time; returns how many.  Keys are good for 24 hours; another hour keeps
-- this away from a delivery that looks at one.

CREATE FUNCTION nchat_webhook_prune() RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    v_count  integer;
BEGIN
    DELETE FROM webhook_keys
     WHERE ctid = ANY (ARRAY(
               SELECT k.ctid FROM webhook_keys k
                WHERE k.created_at < now() - interval '25 hours'
                ORDER BY k.created_at LIMIT 10000 FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;


SELECT nchat_module_allow('nchat_webhook_check', 'nchat_webhook_last_used',
                          'nchat_webhook_get', 'nchat_webhook_deliver',
                          'nchat_webhook_failed', 'nchat_webhook_prune');

SELECT nchat_module_grant('SELECT ON webhooks',
                          'SELECT, INSERT ON webhook_deliveries',
                          'SELECT, INSERT, UPDATE, DELETE ON webhook_keys');
