-- 0015 webhooks as bin/nchat-admin makes, changes and deletes them.  For the
-- owner's role only; what the module calls is in 0006.


-- How many deliveries of that outcome a webhook had within 24 hours, counted
-- up to 10,000.

CREATE FUNCTION nchat_webhook_count(p_id uuid, p_outcome text) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT count(*)
      FROM (SELECT FROM webhook_deliveries d
             WHERE d.webhook_id = $1 AND d.outcome = $2
               AND d.created_at > now() - interval '24 hours'
             LIMIT 10000) AS s
$$;

-- A webhook as the functions below answer it; null if there is none.

CREATE FUNCTION nchat_webhook_json(p_id uuid) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'id', w.id, 'name', w.name, 'channelId', w.channel_id,
               'channelName', c.name, 'status', w.status,
               'signed', w.secret IS NOT NULL,
               'requireSignature', w.require_signature,
               'createdAt', nchat_time(w.created_at),
               'lastUsedAt', nchat_time(nchat_webhook_last_used(w.id)),
               'delivered24h', nchat_webhook_count(w.id, 'delivered'),
               'refused24h', nchat_webhook_count(w.id, 'refused')))
      FROM webhooks w LEFT JOIN channels c ON c.id = w.channel_id
     WHERE w.id = $1 AND w.deleted_at IS NULL
$$;

-- The operator's doing, for the audit log.

CREATE FUNCTION nchat_webhook_audit(p_action text, p_webhook jsonb,
                                    p_description text, p_ip text,
                                    p_request_id text) RETURNS void
LANGUAGE sql
AS $$
    SELECT nchat_audit_record('admin', $1, NULL, NULL, 'operator', NULL, NULL,
               jsonb_build_object('type', 'webhook', 'id', $2 ->> 'id',
                                  'name', $2 ->> 'name'),
               jsonb_strip_nulls(jsonb_build_object('type', 'channel',
                                  'id', $2 ->> 'channelId',
                                  'name', $2 ->> 'channelName')),
               $3, true, NULL, NULL, $4, $5)
$$;

-- nchat_webhook_create(): a webhook for a channel.
--
--   p_channel            the channel's name (any case, with or without #) or id
--   p_name               1 to 80 characters
--   p_token_hash         SHA-256 in lower-case hex of a token that only its
--                        user will know; 256 random bits
--   p_secret             null, or the key for signatures
--   p_require_signature  needs a secret
--
-- 201 {"webhook":{…}}, and the column id.
-- Refuses: 404 NOT_FOUND (channel), 400 BAD_REQUEST (archived or direct
-- channel), 400 VALIDATION_ERROR.
-- Records webhook_create.

CREATE FUNCTION nchat_webhook_create(
    p_channel text, p_name text, p_token_hash text, p_secret text,
    p_require_signature boolean, p_ip text, p_request_id text,
    OUT status integer, OUT body text, OUT id uuid)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    c          channels;
    v_webhook  jsonb;
BEGIN
    SELECT * INTO c FROM channels h
     WHERE (lower(h.name) = lower(ltrim(p_channel, '#')) AND h.type <> 'direct')
        OR h.id::text = lower(p_channel);

    IF NOT FOUND THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'Channel not found');
        RETURN;
    END IF;

    IF c.archived_at IS NOT NULL OR c.type = 'direct' THEN
        status := 400;
        body := nchat_error_body('BAD_REQUEST',
                    CASE WHEN c.type = 'direct'
                         THEN 'A direct channel cannot have webhooks'
                         ELSE 'Channel is archived' END);
        RETURN;
    END IF;

    IF char_length(btrim(p_name)) BETWEEN 1 AND 80 IS NOT TRUE THEN
        status := 400;
        body := nchat_error_body('VALIDATION_ERROR',
                    'Validation failed: name must be 1-80 characters',
                    '{"field": "name", "constraint": "length"}');
        RETURN;
    END IF;

    IF p_token_hash ~ '^[0-9a-f]{64}$' IS NOT TRUE THEN
        status := 400;
        body := nchat_error_body('VALIDATION_ERROR',
                    'Validation failed: tokenHash must be 64 hex digits',
                    '{"field": "tokenHash", "constraint": "format"}');
        RETURN;
    END IF;

    IF p_require_signature AND coalesce(p_secret, '') = '' THEN
        status := 400;
        body := nchat_error_body('VALIDATION_ERROR',
                    'Validation failed: secret is needed to require signatures',
                    '{"field": "secret", "constraint": "required"}');
        RETURN;
    END IF;

    id := gen_random_uuid();

    INSERT INTO webhooks (id, channel_id, name, token_hash, secret,
                          require_signature)
    VALUES (id, c.id, btrim(p_name), p_token_hash, nullif(p_secret, ''),
            coalesce(p_require_signature, false));

    v_webhook := nchat_webhook_json(id);

    PERFORM nchat_webhook_audit('webhook_create', v_webhook,
                'Created webhook ' || btrim(p_name), p_ip, p_request_id);

    status := 201;
    body := jsonb_build_object('webhook', v_webhook)::text;
END
$$;

-- nchat_webhook_list(): all webhooks, newest first.
-- 200 {"webhooks":[{…}]}

CREATE FUNCTION nchat_webhook_list(OUT status integer, OUT body text)
LANGUAGE sql STABLE
AS $$
    SELECT 200, jsonb_build_object('webhooks',
               coalesce(jsonb_agg(nchat_webhook_json(w.id)
                                  ORDER BY w.created_at DESC, w.id),
                        '[]'))::text
      FROM webhooks w WHERE w.deleted_at IS NULL
$$;

-- nchat_webhook_history(id, limit): a webhook's newest deliveries.
-- 200 {"deliveries":[{"timestamp","outcome","httpStatus","error"?,
-- "messageId"?,"ip"?,"requestId"?}]}, also of a webhook that was deleted.

CREATE FUNCTION nchat_webhook_history(p_id uuid, p_limit integer,
                                      OUT status integer, OUT body text)
LANGUAGE sql STABLE
AS $$
    SELECT 200, jsonb_build_object('deliveries', coalesce(jsonb_agg(
               jsonb_strip_nulls(jsonb_build_object(
                   'timestamp', nchat_time(s.created_at),
                   'outcome', s.outcome, 'httpStatus', s.http_status,
                   'error', s.error, 'messageId', s.message_id,
                   'ip', s.ip, 'requestId', s.request_id))
               ORDER BY s.created_at DESC), '[]'))::text
      FROM (SELECT d.*
              FROM unnest('{delivered,refused,repeated}'::text[]) AS o(outcome),
                   LATERAL (SELECT * FROM webhook_deliveries d
                             WHERE d.webhook_id = $1 AND d.outcome = o.outcome
                             ORDER BY d.created_at DESC LIMIT $2) AS d
             ORDER BY d.created_at DESC LIMIT $2) AS s
$$;

-- nchat_webhook_change(): enables, disables or rekeys a webhook; null keeps.
--
--   p_status             active or disabled
--   p_token_hash         as for nchat_webhook_create()
--   p_secret             '' takes it away
--   p_require_signature
--
-- 200 {"webhook":{…}}.  Refuses: 404 NOT_FOUND, 400 VALIDATION_ERROR.
-- Records webhook_update.

CREATE FUNCTION nchat_webhook_change(
    p_id uuid, p_status text, p_token_hash text, p_secret text,
    p_require_signature boolean, p_ip text, p_request_id text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    w          webhooks;
    v_webhook  jsonb;
BEGIN
    SELECT * INTO w FROM webhooks h
     WHERE h.id = p_id AND h.deleted_at IS NULL FOR UPDATE;

    IF NOT FOUND THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'Webhook not found');
        RETURN;
    END IF;

    w.status := coalesce(p_status, w.status);
    w.token_hash := coalesce(p_token_hash, w.token_hash);
    w.secret := nullif(coalesce(p_secret, w.secret), '');
    w.require_signature := coalesce(p_require_signature, w.require_signature);

    IF w.status NOT IN ('active', 'disabled')
       OR w.token_hash !~ '^[0-9a-f]{64}$'
       OR (w.require_signature AND w.secret IS NULL)
    THEN
        status := 400;
        body := nchat_error_body('VALIDATION_ERROR',
                    'Validation failed: status must be active or disabled, '
                    'tokenHash 64 hex digits, and a webhook that requires '
                    'signatures needs a secret',
                    '{"field": "webhook", "constraint": "format"}');
        RETURN;
    END IF;

    UPDATE webhooks h
       SET status = w.status, token_hash = w.token_hash, secret = w.secret,
           require_signature = w.require_signature
     WHERE h.id = p_id;

    v_webhook := nchat_webhook_json(p_id);

    PERFORM nchat_webhook_audit('webhook_update', v_webhook,
                concat_ws(', ', 'Changed webhook ' || w.name,
                          'status ' || p_status,
                          CASE WHEN p_token_hash IS NOT NULL
                               THEN 'new token' END,
                          CASE WHEN p_secret = '' THEN 'no secret'
                               WHEN p_secret IS NOT NULL
                               THEN 'new secret' END),
                p_ip, p_request_id);

    status := 200;
    body := jsonb_build_object('webhook', v_webhook)::text;
END
$$;

-- nchat_webhook_delete(): from now on the webhook is unknown; its messages and
-- its delivery records stay.
--
-- 200 {"deleted":true,"id"}.  Refuses: 404 NOT_FOUND.
-- Records webhook_delete.

CREATE FUNCTION nchat_webhook_delete(
    p_id uuid, p_ip text, p_request_id text,
    OUT status integer, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_webhook  jsonb := nchat_webhook_json(p_id);
BEGIN
    UPDATE webhooks h SET deleted_at = now()
     WHERE h.id = p_id AND h.deleted_at IS NULL;

    IF NOT FOUND THEN
        status := 404;
        body := nchat_error_body('NOT_FOUND', 'Webhook not found');
        RETURN;
    END IF;

    PERFORM nchat_webhook_audit('webhook_delete', v_webhook,
                'Deleted webhook ' || (v_webhook ->> 'name'), p_ip,
                p_request_id);

    status := 200;
    body := jsonb_build_object('deleted', true, 'id', p_id)::text;
END
$$;
