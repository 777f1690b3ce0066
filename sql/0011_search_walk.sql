-- 0011 search: how matches are found, and how many are looked at.


-- Walking through time.

-- nchat_search_step(): the statement that looks at one window of time, as text.
-- It counts the rows that the index gave, at most $4, and those among them that
-- are right, and gives the best of these, at most $5.
--
--     p_source  FROM and WHERE of what the index gives; its table is x
--     p_filter  what a row must be besides
--     p_score   its score
--     p_order   of the best
--
-- Parameters: $1 index_query, $2 full_query, $3 keys of the window, null for
-- all of time, $4, $5, $6 the scope.

CREATE FUNCTION nchat_search_step(p_kind text, p_source text, p_filter text,
                                  p_score text, p_order text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format(
        'WITH seen AS MATERIALIZED ('
            'SELECT x.id, x.created_at AS at, %s AS score, %s AS good '
              'FROM (SELECT x.* FROM %s LIMIT $4) AS x) '
        'SELECT count(*), count(*) FILTER (WHERE good), '
               'ARRAY(SELECT ROW(%L, id, score, at)::nchat_hit FROM seen '
                      'WHERE good ORDER BY %s LIMIT $5) '
          'FROM seen',
        $4, $3, $2, $1, $5)
$$;

-- How results are ordered, for columns named as nchat_hit's.

CREATE FUNCTION nchat_search_order(s nchat_scope) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN $1.by_date AND $1.descending THEN 'at DESC, id'
                WHEN $1.by_date THEN 'at, id'
                WHEN $1.descending THEN 'score DESC, at DESC, id'
                ELSE 'score, at DESC, id' END
$$;

-- nchat_search_walk(): the newest matches, or the oldest, window by window,
-- until nchat_search_cap() are found, time is over, or four times as many rows
-- were looked at.
--
--     p_step   from nchat_search_step()
--     p_kind   whose time it is, messages or files
--     p_level  of the first window, see below
--
-- total is exact unless capped, in which case there are at least as many;
-- hits are the best, in no order.
--
-- A window is made of blocks of one level of nchat_key_time(), 0 to 3, and lies
-- within one block of the next, so that at most 32 keys name it; only the
-- largest have no next, and few of them make all of time.  When a window has
-- more than is still wanted, a smaller one is taken instead; what one has tells
-- how large the next may be.

CREATE FUNCTION nchat_search_walk(
    p_step text, p_kind text, p_level integer, q nchat_query, s nchat_scope,
    OUT total bigint, OUT capped boolean, OUT hits nchat_hit[])
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_indexscan = off
SET enable_indexonlyscan = off SET max_parallel_workers_per_gather = 0
SET jit = off SET work_mem = '32MB'
AS $$
DECLARE
    v_cap     constant integer := nchat_search_cap();
    v_low     constant bigint := greatest(
                                     nchat_seconds(coalesce(s.since, 'epoch')),
                                     (SELECT f.seconds FROM search_floor f
                                       WHERE f.kind = p_kind));
    v_high    constant bigint := nchat_seconds(coalesce(s.until,
                                     now() + interval '1 day')) + 1;
    v_level   integer := p_level;
    v_blocks  bigint := 8;
    v_bits    integer;
    v_edge    bigint;
    v_from    bigint;
    v_to      bigint;
    v_keys    integer[];
    v_limit   integer;
    v_seen    bigint;
    v_good    bigint;
    v_best    nchat_hit[];
    v_looked  bigint := 0;
    v_sure    boolean := false;
    v_tight   bigint := 1::bigint << 40;
    v_end     bigint;
    v_span    numeric;
BEGIN
    total := 0;
    capped := false;
    hits := '{}';

    -- The edge is where the walk has come to: always a block's edge.

    v_bits := 8 + 5 * v_level;
    v_edge := CASE WHEN s.newest_first
                   THEN ((v_high - 1 >> v_bits) + 1) << v_bits
                   ELSE v_low >> v_bits << v_bits END;

    WHILE CASE WHEN s.newest_first THEN v_edge > v_low ELSE v_edge < v_high END
    LOOP
        WHILE v_edge & ((1::bigint << (8 + 5 * v_level)) - 1) <> 0 LOOP
            v_level := v_level - 1;
            v_blocks := 32;
        END LOOP;

        v_bits := 8 + 5 * v_level;

        IF s.newest_first THEN
            v_to := least(v_edge, ((v_high - 1 >> v_bits) + 1) << v_bits);
            v_from := greatest(v_to - (v_blocks << v_bits),
                               v_low >> v_bits << v_bits,
                               CASE WHEN v_level < 3
                               THEN v_to - 1 >> v_bits + 5 << v_bits + 5 END);
        ELSE
            v_from := greatest(v_edge, v_low >> v_bits << v_bits);
            v_to := least(v_from + (v_blocks << v_bits),
                          ((v_high - 1 >> v_bits) + 1) << v_bits,
                          CASE WHEN v_level < 3
                          THEN (v_from >> v_bits + 5) + 1 << v_bits + 5 END);
        END IF;

        v_keys := NULL;

        IF v_from > v_low OR v_to < v_high THEN
            v_keys := ARRAY(SELECT nchat_key_time(v_level, g << v_bits)
                              FROM generate_series(v_from >> v_bits,
                                                   (v_to >> v_bits) - 1) AS g);
        END IF;
        v_limit := CASE WHEN v_sure THEN (v_cap - total) * 3 / 2 + 500
                        ELSE 2000 END;

        EXECUTE p_step INTO v_seen, v_good, v_best
          USING q.index_query, q.full_query, v_keys, v_limit, s.wanted, s;

        v_looked := v_looked + v_seen;
        v_blocks := (v_to - v_from) >> v_bits;

        -- Too many: the same again with an eighth, and no larger windows until
        -- the end of this one, unless it is known how many matches there are.

        IF v_seen = v_limit AND v_looked < 4 * v_cap
           AND (v_blocks > 1 OR v_level > 0)
        THEN
            v_tight := (v_to - v_from) / 8;
            v_end := CASE WHEN s.newest_first THEN v_from ELSE v_to END;
            v_level := CASE WHEN v_blocks > 1 THEN v_level ELSE v_level - 1 END;
            v_blocks := CASE WHEN v_blocks > 1 THEN v_blocks / 8 + 1 ELSE 4 END;
            CONTINUE;
        END IF;

        total := total + v_good;
        hits := hits || v_best;
        v_edge := CASE WHEN s.newest_first THEN v_from ELSE v_to END;

        IF total >= v_cap OR v_looked >= 4 * v_cap OR v_seen = v_limit THEN
            capped := true;
            EXIT;
        END IF;

        -- Time for what is still wanted, if it goes on like this; from few
        -- matches little is known.

        v_sure := v_seen >= 100;
        v_span := (v_to - v_from) * least(CASE WHEN v_sure THEN 32 ELSE 8 END,
                      1.1 * (v_cap - total) / greatest(v_seen, 1));

        IF v_sure OR (s.newest_first AND v_edge <= v_end)
           OR (NOT s.newest_first AND v_edge >= v_end)
        THEN
            v_tight := 1::bigint << 40;
        END IF;

        v_span := least(v_span, v_tight);
        v_level := CASE WHEN v_span >= 8388608 THEN 3
                        WHEN v_span >= 262144 THEN 2
                        WHEN v_span >= 8192 THEN 1 ELSE 0 END;
        v_blocks := greatest(1, floor(v_span / (1 << 8 + 5 * v_level)));
    END LOOP;

    total := least(total, v_cap);
END
$$;


-- The same for a source that has no windows of time.

CREATE FUNCTION nchat_search_once(
    p_step text, q nchat_query, s nchat_scope,
    OUT total bigint, OUT capped boolean, OUT hits nchat_hit[])
LANGUAGE plpgsql STABLE SET jit = off SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_seen  bigint;
BEGIN
    EXECUTE p_step INTO v_seen, total, hits
      USING q.index_query, q.full_query, NULL::integer[],
            nchat_search_cap() + 1, s.wanted, s;

    capped := v_seen > nchat_search_cap();
    total := least(total, nchat_search_cap());
END
$$;


-- The four kinds.

-- Conditions on a message or file that hold for both: who may read it, and what
-- the query and filters say.  The index answers most of it, but keys stand for
-- ids only nearly.

CREATE FUNCTION nchat_search_filter(q nchat_query, s nchat_scope,
                                    p_author text) RETURNS text[]
LANGUAGE sql IMMUTABLE
AS $$
    SELECT ARRAY['(x.in_public OR x.channel_id = ANY (($6).mine))']
        || CASE WHEN ($2).channels IS NOT NULL
                THEN 'x.channel_id = ANY (($6).channels)' END
        || CASE WHEN ($2).not_channels IS NOT NULL
                THEN '(x.channel_id = ANY (($6).not_channels)) IS NOT TRUE' END
        || CASE WHEN ($2).authors IS NOT NULL
                THEN $3 || ' = ANY (($6).authors)' END
        || CASE WHEN ($2).not_authors IS NOT NULL
                THEN '(' || $3 || ' = ANY (($6).not_authors)) IS NOT TRUE' END
        || CASE WHEN ($2).since IS NOT NULL
                THEN 'x.created_at >= ($6).since' END
        || CASE WHEN ($2).until IS NOT NULL
                THEN 'x.created_at < ($6).until' END
$$;

-- The same as far as the index knows it.  Two scans are faster than one that
-- asks for the few channels of a member and for all public ones together.

CREATE FUNCTION nchat_search_readable(s nchat_scope) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN ($1).my_keys IS NULL THEN 'x.search_keys && ($6).keys'
                ELSE '(x.search_keys && ($6).keys '
                     'OR x.search_keys && ($6).my_keys)' END
$$;

-- The keys of has: and is:, those that are keys.

CREATE FUNCTION nchat_search_flags(p_flags text[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE STRICT
AS $$
    SELECT array_agg(nchat_key_flag(k.key))
      FROM (VALUES ('link', 2), ('file', 3), ('image', 4), ('pinned', 5))
           AS k(flag, key)
     WHERE k.flag = ANY ($1)
$$;

-- How well a name fits, as nchat_search_name() has it: 1 the same, 0.95 its
-- first words, 0.9 words within, 0.85 its beginning, 0.8 the beginning of a
-- word, 0.7 any part, 0.4 what stands in x.search_name only, 0.3 words apart;
-- when similar words are looked for, half their similarity.

CREATE FUNCTION nchat_search_score(q nchat_query, p_names text, p_name text)
    RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN (
    SELECT coalesce('greatest(0.3, ' || string_agg(format(
               CASE WHEN $2 = ($1).names THEN
                   'CASE strpos(%2$s, %3$L) '
                        'WHEN 1 THEN CASE WHEN %2$s = %4$L THEN 1 '
                                         'WHEN strpos(%2$s, %4$L) = 1 THEN 0.95 '
                                         'ELSE 0.85 END '
                        'WHEN 0 THEN CASE WHEN strpos(%2$s, %1$L) > 0 THEN 0.7 '
                                         'WHEN strpos(x.search_name, %1$L) > 0 '
                                         'THEN 0.4 END '
                        'ELSE CASE WHEN strpos(%2$s, %4$L) > 0 THEN 0.9 '
                                  'ELSE 0.8 END '
                        'END'
               ELSE 'word_similarity(%1$L, x.search_name) / 2' END,
               p, $3, ' ' || p, ' ' || p || ' '), ', ') || ')::real',
           '0.5::real')
      FROM unnest(($1).plain) AS p);
END
$$;

CREATE FUNCTION nchat_search_messages(
    q nchat_query, s nchat_scope,
    OUT total bigint, OUT capped boolean, OUT hits nchat_hit[])
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_flags     integer[] := nchat_search_flags(q.flags);
    v_not       integer[] := nchat_search_flags(q.not_flags);
    v_score     text := CASE WHEN q.index_query IS NULL THEN '0.5::real'
                        ELSE 'ts_rank(''{1, 1, 1, 1}'', x.search, $1)' END;
    v_match     text[];
    v_filter    text[];
    v_source    text;
    r           record;
BEGIN
    v_match := ARRAY[nchat_search_readable(s)]
        || CASE WHEN q.index_query IS NOT NULL THEN 'x.search @@ $1' END
        || CASE WHEN s.authors IS NOT NULL
                THEN 'x.search_keys && ($6).author_keys' END
        || ('x.search_keys @> ' || quote_literal(v_flags));

    v_filter := nchat_search_filter(q, s, 'coalesce(x.user_id, x.webhook_id)')
        || CASE WHEN q.recheck THEN 'x.search @@ $2' END
        || ('NOT x.search_keys && ' || quote_literal(v_not))
        || CASE WHEN 'starred' = ANY (q.not_flags)
                THEN 'NOT EXISTS (SELECT FROM message_stars t WHERE t.user_id '
                     '= ($6).caller AND t.message_id = x.id)' END;

    IF 'starred' = ANY (q.flags) THEN
        v_filter := v_filter || v_match;
        v_source := 'message_stars t JOIN messages x ON x.id = t.message_id '
                    'WHERE t.user_id = ($6).caller AND x.deleted_at IS NULL '
                    'ORDER BY t.created_at DESC';
    ELSE
        v_source := 'messages x WHERE x.deleted_at IS NULL '
                    'AND ($3 IS NULL OR x.search_keys && $3) AND '
                    || array_to_string(v_match, ' AND ');
    END IF;

    v_source := nchat_search_step('messages', v_source,
                                  array_to_string(v_filter, ' AND '), v_score,
                                  nchat_search_order(s));

    IF 'starred' = ANY (q.flags) THEN
        r := nchat_search_once(v_source, q, s);
    ELSE
        r := nchat_search_walk(v_source, 'messages', 1, q, s);
    END IF;

    total := r.total;
    capped := r.capped;
    hits := r.hits;
END
$$;

-- p_names is q.names or q.alike, or null with nothing but operators.

CREATE FUNCTION nchat_search_files(
    q nchat_query, s nchat_scope, p_names text,
    OUT total bigint, OUT capped boolean, OUT hits nchat_hit[])
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_flags   integer[] := nchat_search_flags(q.flags);
    v_not     integer[] := nchat_search_flags(q.not_flags);
    v_match   text[];
    v_filter  text[];
    r         record;
BEGIN
    v_match := ARRAY['x.deleted_at IS NULL',
                     '($3 IS NULL OR x.search_keys && $3)',
                     nchat_search_readable(s)]
        || p_names
        || CASE WHEN s.authors IS NOT NULL
                THEN 'x.search_keys && ($6).author_keys' END
        || ('x.search_keys @> ' || quote_literal(v_flags));

    v_filter := nchat_search_filter(q, s, 'x.uploaded_by')
        || ('NOT x.search_keys && ' || quote_literal(v_not));
    v_filter[1] := '(x.in_public OR x.channel_id = ANY (($6).mine) '
                   'OR x.channel_id IS NULL AND x.uploaded_by = ($6).caller)';

    r := nchat_search_walk(
        nchat_search_step('files',
            'attachments x WHERE ' || array_to_string(v_match, ' AND '),
            array_to_string(v_filter, ' AND '),
            nchat_search_score(q, p_names, 'x.search_name'),
            nchat_search_order(s)),
        'files', 2, q, s);

    total := r.total;
    capped := r.capped;
    hits := r.hits;
END
$$;

-- p_names is q.names or q.alike.

CREATE FUNCTION nchat_search_users(
    q nchat_query, s nchat_scope, p_names text,
    OUT total bigint, OUT capped boolean, OUT hits nchat_hit[])
LANGUAGE plpgsql STABLE SET enable_seqscan = off
AS $$
DECLARE
    r  record;
BEGIN
    r := nchat_search_once(
        nchat_search_step('users',
            'users x WHERE x.status = ''active'' AND '
            || array_to_string(ARRAY[p_names]
                || CASE WHEN s.people IS NOT NULL
                        THEN 'x.id = ANY (($6).people)' END
                || CASE WHEN s.since IS NOT NULL
                        THEN 'x.created_at >= ($6).since' END
                || CASE WHEN s.until IS NOT NULL
                        THEN 'x.created_at < ($6).until' END, ' AND '),
            'true', nchat_search_score(q, p_names, 'x.search_name'),
            nchat_search_order(s)),
        q, s);

    total := r.total;
    capped := r.capped;
    hits := r.hits;
END
$$;

CREATE FUNCTION nchat_search_channels(
    q nchat_query, s nchat_scope, p_names text,
    OUT total bigint, OUT capped boolean, OUT hits nchat_hit[])
LANGUAGE plpgsql STABLE SET enable_seqscan = off
AS $$
DECLARE
    r  record;
BEGIN
    r := nchat_search_once(
        nchat_search_step('channels',
            'channels x WHERE (x.type = ''public'' '
            'OR x.id = ANY (($6).mine)) AND '
            || array_to_string(ARRAY[p_names]
                || CASE WHEN s.channels IS NOT NULL
                        THEN 'x.id = ANY (($6).channels)' END
                || CASE WHEN s.since IS NOT NULL
                        THEN 'x.created_at >= ($6).since' END
                || CASE WHEN s.until IS NOT NULL
                        THEN 'x.created_at < ($6).until' END, ' AND '),
            'true', nchat_search_score(q, p_names,
                               'nchat_search_name(x.name)'),
            nchat_search_order(s)),
        q, s);

    total := r.total;
    capped := r.capped;
    hits := r.hits;
END
$$;


-- nchat_search_kind(): one kind's total and best hits; total is null where the
-- search leaves this kind out.

CREATE FUNCTION nchat_search_kind(
    p_kind text, q nchat_query, s nchat_scope,
    OUT total bigint, OUT capped boolean, OUT hits nchat_hit[])
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_names  text;
    r        record;
BEGIN
    -- Nothing to look for, or nobody and nowhere to find it.

    IF NOT q.words AND NOT q.narrowed
       OR p_kind IN ('messages', 'files')
          AND (s.channels = '{}' OR s.authors = '{}'
               OR s.since >= s.until
               OR 'starred' = ANY (q.flags) AND s.caller IS NULL)
       OR p_kind = 'files'
          AND (q.words AND q.names IS NULL
               OR q.flags && '{link,pinned,starred}'
               OR 'file' = ANY (q.not_flags))
       OR p_kind IN ('users', 'channels') AND (q.narrowed OR q.names IS NULL)
       OR p_kind = 'users' AND s.channels IS NOT NULL
       OR p_kind = 'channels' AND s.people IS NOT NULL
    THEN
        RETURN;
    END IF;

    IF p_kind = 'messages' THEN
        r := nchat_search_messages(q, s);
    ELSE
        PERFORM set_config('pg_trgm.word_similarity_threshold', '0.5', true);

        FOREACH v_names IN ARRAY ARRAY[q.names, q.alike] LOOP
            CASE p_kind
                WHEN 'files' THEN r := nchat_search_files(q, s, v_names);
                WHEN 'users' THEN r := nchat_search_users(q, s, v_names);
                ELSE r := nchat_search_channels(q, s, v_names);
            END CASE;
            EXIT WHEN r.total > 0 OR q.alike IS NULL;
        END LOOP;
    END IF;

    total := r.total;
    capped := r.capped;
    hits := r.hits;
END
$$;

-- The types of a request, each once, in its order: all for none; null if one is
-- unknown.

CREATE FUNCTION nchat_search_types(p_types text, p_known text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN (
    SELECT CASE WHEN count(*) = 0 THEN $2
                WHEN bool_and(coalesce(s.type = ANY ($2), false))
                THEN array_agg(s.type ORDER BY s.n) END
      FROM (SELECT t.type #>> '{}' AS type, min(t.n) AS n
              FROM jsonb_array_elements(coalesce($1, '[]')::jsonb)
                   WITH ORDINALITY AS t(type, n)
             GROUP BY 1) AS s);
END
$$;
