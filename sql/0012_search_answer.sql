-- 0012 search: who may read what, results as JSON, and the function behind the
-- endpoint.


-- Who may read what.

-- nchat_search_scope(): the caller's rights, and the filters of a search, with
-- names turned into ids.
--
--     p_caller    null: anonymous.  Somebody who is a guest or deactivated by
--                 now, or unknown, is anonymous too
--     p_channels  p_users: the request's channelIds and userIds, or null

CREATE FUNCTION nchat_search_scope(q nchat_query, p_caller uuid,
                                   p_channels uuid[], p_users uuid[])
    RETURNS nchat_scope
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    s  nchat_scope;
BEGIN
    SELECT u.id INTO s.caller FROM users u
     WHERE u.id = p_caller AND u.status = 'active' AND u.role <> 'guest';

    s.mine := ARRAY(
        SELECT c.id
          FROM channel_members m JOIN channels c ON c.id = m.channel_id
         WHERE m.user_id = s.caller AND c.type <> 'public');

    s.keys := ARRAY[nchat_key_flag(1)];

    IF s.caller IS NOT NULL THEN
        s.my_keys := ARRAY(SELECT nchat_key_id(1, c)
                             FROM unnest(s.mine || s.caller) AS c);
    END IF;

    IF q.channels IS NOT NULL OR p_channels IS NOT NULL THEN
        s.channels := ARRAY(
            SELECT c.id FROM channels c
             WHERE (c.type = 'public' OR c.id = ANY (s.mine))
               AND (p_channels IS NULL OR c.id = ANY (p_channels))
               AND (q.channels IS NULL
                    OR c.id = ANY (nchat_search_channel_ids(q.channels))));
        s.keys := ARRAY(SELECT nchat_key_id(1, c) FROM unnest(s.channels) AS c);
        s.my_keys := NULL;
    END IF;

    IF q.not_channels IS NOT NULL THEN
        s.not_channels := nchat_search_channel_ids(q.not_channels);
    END IF;

    s.people := p_users;
    s.authors := p_users;

    IF q.authors IS NOT NULL THEN
        s.authors := ARRAY(
            SELECT a FROM unnest(nchat_search_author_ids(q.authors,
                                                         s.caller)) AS a
             WHERE p_users IS NULL OR a = ANY (p_users));
    END IF;

    s.author_keys := ARRAY(SELECT nchat_key_id(2, a)
                             FROM unnest(s.authors) AS a);

    IF q.not_authors IS NOT NULL THEN
        s.not_authors := nchat_search_author_ids(q.not_authors, s.caller);
    END IF;

    s.since := q.since;
    s.until := q.until;

    RETURN s;
END
$$;

-- Channels by name or id, readable or not.

CREATE FUNCTION nchat_search_channel_ids(p_names text[]) RETURNS uuid[]
LANGUAGE sql STABLE
AS $$
    SELECT coalesce(array_agg(c.id), '{}')
      FROM channels c
     WHERE (lower(c.name) = ANY ($1) AND c.type <> 'direct')
        OR c.id = ANY (nchat_search_ids(to_jsonb($1)))
$$;

-- People by username, whole display name or id, webhooks by name; "me" is the
-- caller.

CREATE FUNCTION nchat_search_author_ids(p_names text[], p_caller uuid)
    RETURNS uuid[]
LANGUAGE sql STABLE
AS $$
    SELECT coalesce(array_agg(s.id), '{}')
      FROM (SELECT u.id FROM users u WHERE lower(u.username) = ANY ($1)
            UNION
            SELECT u.id FROM unnest($1) AS n, users u
             WHERE u.search_name LIKE '% ' || nchat_search_words(n) || ' %'
               AND lower(u.display_name) = n
            UNION
            SELECT u.id FROM users u
             WHERE u.id = ANY (nchat_search_ids(to_jsonb($1)))
            UNION
            SELECT w.id FROM webhooks w WHERE lower(w.name) = ANY ($1)
            UNION
            SELECT $2 WHERE $2 IS NOT NULL AND 'me' = ANY ($1)) AS s
$$;


-- Rendering.

CREATE FUNCTION nchat_html_escape(text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT replace(replace(replace(replace(replace($1, '&', '&amp;'),
               '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
$$;

-- nchat_search_mark(): a text and what was found in it.
--
--     p_pattern  of what may have been found
--     p_lexemes  what words must be stemmed to; null: every match counts
--     p_length   about as many characters around the first match are given
--
-- snippet is that part of the text, highlight the same with <mark> and
-- everything else HTML-escaped; null when nothing is found.
--
-- Marks are two private characters until everything is escaped; a text's own
-- ones become spaces.

CREATE FUNCTION nchat_search_mark(p_text text, p_pattern text,
                                  p_lexemes text[], p_length integer,
                                  OUT snippet text, OUT highlight text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_open   constant text := U&'\E000';
    v_close  constant text := U&'\E001';
    v_text   text := translate(p_text, v_open || v_close, '  ');
    v_piece  text;
    v_word   text;
    v_first  boolean := true;
    v_start  integer;
    v_found  boolean := false;
BEGIN
    IF octet_length(v_text) <> char_length(v_text) THEN
        v_text := normalize(v_text, NFC);
    END IF;

    IF p_pattern IS NOT NULL THEN
        v_text := regexp_replace(v_text, '(' || p_pattern || ')',
                                 v_open || '\1' || v_close,
                                 CASE WHEN p_lexemes IS NULL THEN 'gi'
                                      ELSE 'g' END);
    END IF;

    highlight := '';

    FOREACH v_piece IN ARRAY string_to_array(v_text, v_open) LOOP
        v_word := split_part(v_piece, v_close, 1);

        IF v_first THEN
            highlight := v_piece;
            v_first := false;

        ELSIF p_lexemes IS NULL OR nchat_search_stem(v_word) && p_lexemes
              OR v_word ~ ('[' || nchat_class_unspaced()
                           || nchat_class_symbol() || ']')
        THEN
            highlight := highlight || v_open || v_piece;
            v_found := true;

        ELSE
            highlight := highlight || v_word
                         || substr(v_piece, char_length(v_word) + 2);
        END IF;
    END LOOP;

    v_start := greatest(1, strpos(highlight, v_open) - p_length / 4);
    snippet := substr(highlight, v_start, p_length);

    snippet := rtrim(snippet, v_open);

    IF char_length(replace(snippet, v_close, ''))
       > char_length(replace(snippet, v_open, ''))
    THEN
        snippet := snippet || v_close;
    END IF;

    snippet := CASE WHEN v_start > 1 THEN '…' ELSE '' END || snippet
               || CASE WHEN char_length(highlight) >= v_start + p_length
                       THEN '…' ELSE '' END;

    highlight := CASE WHEN v_found
                      THEN replace(replace(nchat_html_escape(snippet),
                                           v_open, '<mark>'),
                                   v_close, '</mark>') END;
    snippet := replace(replace(snippet, v_open, ''), v_close, '');
END
$$;

-- What a word is indexed as.

CREATE FUNCTION nchat_search_stem(p_word text) RETURNS text[]
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN $1 ~ '[0-9]' THEN ARRAY[lower(normalize($1, NFKC))]
                ELSE ts_lexize('public.nchat_english',
                               lower(normalize($1, NFKC))) END
$$;

-- nchat_search_render(): results as JSON objects, in the order given.  PL/pgSQL
-- keeps the plan, which takes longer to make than to run.
--
--     p_hits    hits of one page
--     p_signed  whether the caller may see emails

CREATE FUNCTION nchat_search_render(p_hits nchat_hit[], q nchat_query,
                                    p_signed boolean) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
    WITH hits AS (
        SELECT h.*, h.ordinality AS n FROM unnest($1) WITH ORDINALITY AS h
    ), items AS (
        SELECT h.n, json_build_object(
                   'id', m.id, 'type', 'messages',
                   'title', 'Message from '
                            || coalesce(m.author_name, u.display_name, w.name,
                                        'somebody'),
                   'content', m.content, 'snippet', k.snippet,
                   'highlight', k.highlight,
                   'score', round(h.score::numeric, 4),
                   'channelId', m.channel_id, 'channelName', c.name,
                   'userId', m.user_id,
                   'userName', coalesce(m.author_name, u.display_name, w.name),
                   'avatarUrl', coalesce(m.author_avatar, u.avatar_url),
                   'createdAt', nchat_time(m.created_at),
                   'metadata', json_build_object(
                       'webhookId', m.webhook_id, 'isPinned', m.pinned,
                       'editedAt', nchat_time(m.edited_at))) AS item
          FROM hits h JOIN messages m ON m.id = h.id
               LEFT JOIN channels c ON c.id = m.channel_id
               LEFT JOIN users u ON u.id = m.user_id
               LEFT JOIN webhooks w ON w.id = m.webhook_id,
               nchat_search_mark(m.content, ($2).pattern, ($2).lexemes, 240)
               AS k
         WHERE h.kind = 'messages'
        UNION ALL
        SELECT h.n, json_build_object(
                   'id', a.id, 'type', 'files', 'title', a.original_filename,
                   'highlight', k.highlight,
                   'score', round(h.score::numeric, 4),
                   'channelId', a.channel_id, 'channelName', c.name,
                   'userId', a.uploaded_by, 'userName', u.display_name,
                   'avatarUrl', u.avatar_url,
                   'createdAt', nchat_time(a.created_at),
                   'metadata', json_build_object(
                       'size', a.size, 'mimeType', a.mime_type,
                       'category', a.category, 'messageId', a.message_id,
                       'url', nchat_file_url('', a)))
          FROM hits h JOIN attachments a ON a.id = h.id
               LEFT JOIN channels c ON c.id = a.channel_id
               LEFT JOIN users u ON u.id = a.uploaded_by,
               nchat_search_mark(a.original_filename, ($2).name_pattern, NULL,
                                 1000) AS k
         WHERE h.kind = 'files'
        UNION ALL
        SELECT h.n, json_build_object(
                   'id', u.id, 'type', 'users', 'title', u.display_name,
                   'content', CASE WHEN $3 THEN u.email END,
                   'highlight', k.highlight,
                   'score', round(h.score::numeric, 4),
                   'userId', u.id, 'userName', u.username,
                   'avatarUrl', u.avatar_url,
                   'createdAt', nchat_time(u.created_at),
                   'metadata', json_build_object('username', u.username,
                                                 'role', u.role))
          FROM hits h JOIN users u ON u.id = h.id,
               nchat_search_mark(u.display_name, ($2).name_pattern, NULL, 1000)
               AS k
         WHERE h.kind = 'users'
        UNION ALL
        SELECT h.n, json_build_object(
                   'id', c.id, 'type', 'channels',
                   'title', coalesce(c.name, 'Direct message'),
                   'content', coalesce(c.topic, c.description),
                   'highlight', coalesce(k.highlight, d.highlight),
                   'score', round(h.score::numeric, 4),
                   'channelId', c.id, 'channelName', c.name,
                   'createdAt', nchat_time(c.created_at),
                   'metadata', json_build_object(
                       'isPrivate', c.type <> 'public',
                       'isArchived', c.archived_at IS NOT NULL,
                       'memberCount', (
                           SELECT count(*)
                             FROM (SELECT FROM channel_members m
                                    WHERE m.channel_id = c.id LIMIT 10000)
                                  AS m)))
          FROM hits h JOIN channels c ON c.id = h.id,
               nchat_search_mark(coalesce(c.name, ''), ($2).name_pattern, NULL,
                                 1000) AS k,
               nchat_search_mark(concat_ws(' – ', c.topic, c.description),
                                 ($2).name_pattern, NULL, 240) AS d
         WHERE h.kind = 'channels'
    )
    SELECT coalesce(string_agg(json_strip_nulls(i.item)::text, ','
                               ORDER BY i.n), '')
      FROM items i);
END
$$;


-- nchat_search(): GET and POST /api/search.
--
--     p_caller       the user's id; null: anonymous
--     p_guest        the caller's token says that they are a guest
--     p_shape        'items' (GET) or 'results' (POST)
--     p_query        as it came; 2 to 200 characters after trimming
--     p_types        null, or a JSON array of messages, files, users, channels
--     p_channel_ids  null, or a JSON array of strings; empty ones are no filter
--     p_user_ids     the same
--     p_date_from, p_date_to  null, or dates; inclusive
--     p_sort_by      null, relevance or date
--     p_sort_order   null, asc or desc
--     p_limit        null is 20; more than 100 is 100
--     p_offset       null is 0
--
-- 'items':   {"items","total","page","limit","hasMore","totalCapped"?}
-- 'results': {"results","totals":{"messages","files","users","channels",
--            "total"},"query","types","pagination":{"total","limit","offset",
--            "hasMore"},"totalCapped"?}
--
-- totalCapped, true, is there when a total stands for "at least as many".
--
-- A user asked for by userIds, or a channel by channelIds, is found among users
-- or channels too; otherwise userIds leave channels out, channelIds leave users
-- out, and operators both.
--
-- Refuses: 400 VALIDATION_ERROR.  Reads only, and never waits for a lock.

CREATE FUNCTION nchat_search(
    p_caller uuid, p_guest boolean, p_shape text, p_query text, p_types text,
    p_channel_ids text, p_user_ids text, p_date_from text, p_date_to text,
    p_sort_by text, p_sort_order text, p_limit bigint, p_offset bigint,
    OUT status integer, OUT body text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    q           nchat_query;
    s           nchat_scope;
    r           record;
    v_kind      text;
    v_kinds     constant text[] := '{messages,files,users,channels}';
    v_types     text[];
    v_channels  uuid[];
    v_users     uuid[];
    v_since     timestamptz;
    v_until     timestamptz;
    v_totals    jsonb := '{"messages":0,"files":0,"users":0,"channels":0}';
    v_total     bigint := 0;
    v_capped    boolean := false;
    v_hits      nchat_hit[] := '{}';
BEGIN
    p_query := btrim(p_query, E' \t\r\n\f\x0b\u00a0\u3000');
    p_limit := least(coalesce(p_limit, 20), 100);
    p_offset := coalesce(p_offset, 0);
    v_types := nchat_search_types(p_types, v_kinds);
    v_since := nchat_search_date(p_date_from, false);
    v_until := nchat_search_date(p_date_to, true);

    body := CASE
        WHEN coalesce(p_query, '') = '' THEN
            nchat_search_refuse(CASE p_shape WHEN 'items' THEN 'q'
                                     ELSE 'query' END, 'required',
                                'query is required')
        WHEN char_length(p_query) NOT BETWEEN 2 AND 200 THEN
            nchat_search_refuse(CASE p_shape WHEN 'items' THEN 'q'
                                     ELSE 'query' END, 'length',
                                'query must be 2-200 characters')
        WHEN v_types IS NULL THEN
            nchat_search_refuse('types', 'enum',
                'types must be of messages, files, users, channels')
        WHEN p_date_from IS NOT NULL AND v_since IS NULL THEN
            nchat_search_refuse('dateFrom', 'format',
                                'dateFrom must be a date')
        WHEN p_date_to IS NOT NULL AND v_until IS NULL THEN
            nchat_search_refuse('dateTo', 'format', 'dateTo must be a date')
        WHEN p_sort_by NOT IN ('relevance', 'date') THEN
            nchat_search_refuse('sortBy', 'enum',
                                'sortBy must be relevance or date')
        WHEN p_sort_order NOT IN ('asc', 'desc') THEN
            nchat_search_refuse('sortOrder', 'enum',
                                'sortOrder must be asc or desc')
        WHEN p_limit < 1 THEN
            nchat_search_refuse('limit', 'range', 'limit must be at least 1')
        WHEN p_offset NOT BETWEEN 0 AND 9007199254740991 THEN
            nchat_search_refuse('offset', 'range',
                                'offset must be from 0 to 2^53 - 1')
        END;

    IF body IS NULL THEN
        q := nchat_search_parse(p_query);
        body := CASE p_shape
                    WHEN 'items' THEN jsonb_set(q.refusal::jsonb,
                                                '{details,field}', '"q"')::text
                    ELSE q.refusal
                END;
    END IF;

    IF body IS NOT NULL THEN
        status := 400;
        RETURN;
    END IF;

    q.since := greatest(q.since, v_since);
    q.until := least(q.until, v_until);

    IF jsonb_array_length(p_channel_ids::jsonb) > 0 THEN
        v_channels := coalesce(nchat_search_ids(p_channel_ids::jsonb), '{}');
    END IF;
    IF jsonb_array_length(p_user_ids::jsonb) > 0 THEN
        v_users := coalesce(nchat_search_ids(p_user_ids::jsonb), '{}');
    END IF;

    s := nchat_search_scope(q, CASE WHEN p_guest IS NOT TRUE THEN p_caller END,
                            v_channels, v_users);
    s.by_date := coalesce(p_sort_by = 'date', false);
    s.descending := coalesce(p_sort_order <> 'asc', true);
    s.newest_first := s.descending OR NOT s.by_date;
    s.wanted := least(p_offset + p_limit, nchat_search_cap());

    FOREACH v_kind IN ARRAY v_types LOOP
        r := nchat_search_kind(v_kind, q, s);
        CONTINUE WHEN r.total IS NULL;

        v_totals := jsonb_set(v_totals, ARRAY[v_kind], to_jsonb(r.total));
        v_total := v_total + r.total;
        v_capped := v_capped OR r.capped;
        v_hits := v_hits || r.hits;
    END LOOP;

    -- Nothing behind the total, also where more was found than was counted.

    EXECUTE 'SELECT ARRAY(SELECT h FROM unnest($1) AS h ORDER BY '
            || nchat_search_order(s) || ' LIMIT $2 OFFSET $3)'
       INTO v_hits
      USING v_hits, greatest(0, least(p_limit, v_total - p_offset)), p_offset;

    body := nchat_search_render(v_hits, q, s.caller IS NOT NULL);

    IF p_shape = 'items' THEN
        body := '{"items":[' || body || '],"total":' || v_total
            || ',"page":' || p_offset / p_limit + 1 || ',"limit":' || p_limit
            || ',"hasMore":' || (p_limit < v_total - p_offset);
    ELSE
        body := '{"results":[' || body || '],"totals":'
            || (v_totals || jsonb_build_object('total', v_total))
            || ',"query":' || to_json(p_query)
            || ',"types":' || to_json(v_types)
            || ',"pagination":{"total":' || v_total || ',"limit":' || p_limit
            || ',"offset":' || p_offset
            || ',"hasMore":' || (p_limit < v_total - p_offset) || '}';
    END IF;

    body := body || CASE WHEN v_capped THEN ',"totalCapped":true}' ELSE '}' END;
    status := 200;
END
$$;


SELECT nchat_module_allow(p.proname)
  FROM (SELECT DISTINCT proname::text FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace
           AND proname ~ '^nchat_(search|html_escape)') AS p;
