-- 0007 search: over messages, files, people and channels.
--
-- What a caller may read is part of each query's index conditions, so that
-- neither totals nor time tell of anything else:
--
--     anonymous callers and guests   public channels
--     everybody else                 and private and direct channels that they
--                                    are members of; files without a channel
--                                    that they uploaded themselves
--
-- Moderators, admins and the owner read no private channel that they are not
-- members of.  Archived channels stay readable to those who may.  Deleted
-- messages and files are found by nobody, deactivated people neither.
--
-- No search looks at more than a bounded number of rows.  Of messages and files
-- the newest 3,000 matches are ranked (the oldest, where those come first):
-- totals are exact up to 3,000, and stop there.  To get at the newest without
-- reading all matches, a search walks through time in blocks that the index
-- knows, choosing larger or smaller ones by what it finds.


-- What a query asks for.
--
--     words        any text at all, beside operators
--     index_query  what the index is asked for; null when it cannot help, as
--                  with nothing but negations.  Phrases are words side by side
--     full_query   the same with phrases and negations
--     recheck      full_query says more than index_query
--     names        conditions on x.search_name, SQL, or null: nothing to match
--     alike        the same, with similar words too, or null: no word is long
--                  enough
--     plain        the words of each alternative
--     pattern      regular expressions of what to mark: in texts, in names
--     lexemes      and what a word in a text must be stemmed to
--     narrowed     operators that make no sense for people and channels
--     refusal      the body of a 400

CREATE TYPE nchat_query AS (
    words         boolean,
    index_query   tsquery,
    full_query    tsquery,
    recheck       boolean,
    names         text,
    alike         text,
    plain         text[],
    pattern       text,
    name_pattern  text,
    lexemes       text[],
    narrowed      boolean,
    authors       text[],
    not_authors   text[],
    channels      text[],
    not_channels  text[],
    flags         text[],
    not_flags     text[],
    since         timestamptz,
    until         timestamptz,
    refusal       text
);

-- One result before it is rendered; kind is the API's type.

CREATE TYPE nchat_hit AS (
    kind   text,
    id     uuid,
    score  real,
    at     timestamptz
);

-- Whose search it is, and within what.
--
--     caller       null for anonymous callers and guests
--     mine         private and direct channels of the caller
--     channels     the only channels wanted, of those readable, or null
--     authors      the only authors wanted, or null
--     people       the only users wanted as results, or null
--     keys         of what may be read, see nchat_search_keys()
--     my_keys      of what else may be read, or null
--     author_keys  of authors
--     since        inclusive
--     until        exclusive
--     wanted       how many of the best

CREATE TYPE nchat_scope AS (
    caller        uuid,
    mine          uuid[],
    channels      uuid[],
    not_channels  uuid[],
    authors       uuid[],
    not_authors   uuid[],
    people        uuid[],
    keys          integer[],
    my_keys       integer[],
    author_keys   integer[],
    since         timestamptz,
    until         timestamptz,
    newest_first  boolean,
    by_date       boolean,
    descending    boolean,
    wanted        integer
);


-- Small helpers.

-- The most matches that are counted and ranked, of one type.

CREATE FUNCTION nchat_search_cap() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 3000 $$;

-- A regular expression for one character of a word.

CREATE FUNCTION nchat_search_letter() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '[^\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f'
           || nchat_class_punctuation() || nchat_class_unspaced()
           || nchat_class_symbol() || ']'
$$;

-- A date as clients write it, YYYY-MM-DD or RFC 3339; null when it is neither.
-- p_upper: a day stands for its end, a time for the whole of its millisecond,
-- since no finer ones are shown; and the answer is exclusive.

CREATE FUNCTION nchat_search_date(p_text text, p_upper boolean)
    RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF p_text ~ '^\d{4}-\d\d-\d\d$' THEN
        RETURN (p_text || 'T00:00:00Z')::timestamptz
               + CASE WHEN p_upper THEN interval '1 day'
                      ELSE interval '0' END;
    END IF;

    IF p_text ~* '^\d{4}-\d\d-\d\d[t ]\d\d:\d\d:\d\d(\.\d+)?(z|[-+]\d\d:\d\d)$'
    THEN
        RETURN p_text::timestamptz
               + CASE WHEN NOT p_upper THEN interval '0'
                      WHEN p_text ~ '\.\d{4}' THEN interval '1 microsecond'
                      ELSE interval '1 millisecond' END;
    END IF;

    RETURN NULL;

EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format
               OR invalid_time_zone_displacement_value
THEN
    RETURN NULL;
END
$$;

-- The UUIDs in a JSON array of strings; what is no UUID is left out.

CREATE FUNCTION nchat_search_ids(p_ids jsonb) RETURNS uuid[]
LANGUAGE sql IMMUTABLE
AS $$
    SELECT array_agg(DISTINCT v::uuid)
      FROM jsonb_array_elements_text($1) AS v
     WHERE v ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
$$;

CREATE FUNCTION nchat_search_refuse(p_field text, p_constraint text,
                                    p_message text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT nchat_error_body('VALIDATION_ERROR', 'Validation failed: ' || $3,
               jsonb_build_object('field', $1, 'constraint', $2))
$$;


-- nchat_search_term(): one word or phrase of a query.
--
--     norm         as nchat_search_words() has it, without the single character
--                  that ends a run of an unspaced script in an indexed text:
--                  there, more may follow
--     phrase       for texts, word by word; null when nothing is left to find
--     conjunction  the same words, anywhere

CREATE FUNCTION nchat_search_term(p_text text, OUT norm text,
                                  OUT phrase tsquery, OUT conjunction tsquery)
LANGUAGE plpgsql IMMUTABLE SET client_min_messages = warning
AS $$
DECLARE
    v_unspaced  text := '[' || nchat_class_unspaced() || ']';
    v_word      text;
    v_query     tsquery;
BEGIN
    norm := nchat_search_words(p_text);

    IF octet_length(norm) <> char_length(norm) THEN
        norm := regexp_replace(norm, '(' || v_unspaced || ')(' || v_unspaced
                                     || ') \2$', '\1\2');
    END IF;

    FOREACH v_word IN ARRAY string_to_array(norm, ' ') LOOP
        v_query := phraseto_tsquery('public.nchat', v_word);

        CONTINUE WHEN numnode(v_query) = 0;

        IF char_length(v_word) = 1 AND v_word ~ v_unspaced THEN
            v_query := (quote_literal(v_word) || ':*')::tsquery;
        END IF;

        phrase := coalesce(phrase <-> v_query, v_query);
        conjunction := coalesce(conjunction && v_query, v_query);
    END LOOP;
END
$$;

-- A condition that x.search_name has these words: the beginning of a word, or,
-- from three letters on, any part of one.

CREATE FUNCTION nchat_search_like(p_norm text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format('x.search_name LIKE %L',
                  CASE WHEN char_length($1) >= 3
                            AND $1 !~ ('[' || nchat_class_unspaced() || ']')
                       THEN '%' || $1 || '%'
                       ELSE '% ' || $1 || '%' END)
$$;


-- One alternative of a query: words side by side.  negation is met by what must
-- not be there.

CREATE TYPE nchat_group AS (
    phrase       tsquery,
    conjunction  tsquery,
    negation     tsquery,
    norms        text[],
    not_norms    text[]
);

CREATE FUNCTION nchat_search_add(g nchat_group, p_term record, p_not boolean)
    RETURNS nchat_group
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF p_not THEN
        g.negation := coalesce(g.negation || p_term.phrase, p_term.phrase);
        g.not_norms := g.not_norms || p_term.norm;
    ELSE
        g.phrase := coalesce(g.phrase && p_term.phrase, p_term.phrase);
        g.conjunction := coalesce(g.conjunction && p_term.conjunction,
                                  p_term.conjunction);
        g.norms := g.norms || p_term.norm;
    END IF;

    RETURN g;
END
$$;

-- Conditions on x.search_name for a query with one alternative: words of five
-- letters or more may be similar ones.  Null if there are none.

CREATE FUNCTION nchat_search_alike(p_groups nchat_group[]) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT string_agg(CASE WHEN n ~ '^[^ ]{5,}$'
                           THEN format('%L <%% x.search_name', n)
                           ELSE nchat_search_like(n) END, ' AND ')
      FROM unnest($1) AS g, unnest(g.norms) AS n
    HAVING bool_or(n ~ '^[^ ]{5,}$')
$$;

-- The alternatives put together; p_marks are the words to find, as written.
-- Of names, the index takes several alternatives only as one regular expression:
-- a word of each, the longest.

CREATE FUNCTION nchat_search_compose(q nchat_query, p_groups nchat_group[],
                                     p_marks text[]) RETURNS nchat_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    g          nchat_group;
    v_full     tsquery;
    v_names    text[];
    v_longest  text[];
    v_index    boolean := true;
BEGIN
    q.words := cardinality(p_groups) > 0;
    q.recheck := false;

    FOREACH g IN ARRAY p_groups LOOP
        v_full := CASE WHEN g.phrase IS NULL THEN !! g.negation
                       WHEN g.negation IS NULL THEN g.phrase
                       ELSE g.phrase && !! g.negation END;
        q.full_query := coalesce(q.full_query || v_full, v_full);
        q.recheck := q.recheck OR g.negation IS NOT NULL
                     OR g.phrase::text <> g.conjunction::text;

        IF g.phrase IS NULL THEN
            v_index := false;
            CONTINUE;
        END IF;

        q.index_query := coalesce(q.index_query || g.conjunction,
                                  g.conjunction);
        q.plain := q.plain || array_to_string(g.norms, ' ');

        v_names := v_names || (
            SELECT string_agg(c, ' AND ')
              FROM (SELECT nchat_search_like(n) FROM unnest(g.norms) AS n
                    UNION ALL
                    SELECT 'NOT ' || nchat_search_like(n)
                      FROM unnest(g.not_norms) AS n) AS s(c));

        v_longest := v_longest || (
            SELECT CASE WHEN char_length(n) < 3 THEN ' ' ELSE '' END || n
              FROM unnest(g.norms) AS n ORDER BY char_length(n) DESC LIMIT 1);
    END LOOP;

    IF NOT v_index THEN
        q.index_query := NULL;
    END IF;

    IF cardinality(v_names) > 1 THEN
        q.names := format('x.search_name ~ %L AND (%s)',
                          array_to_string(v_longest, '|'),
                          array_to_string(v_names, ' OR '));
    ELSE
        q.names := v_names[1];
        q.alike := nchat_search_alike(p_groups);
    END IF;

    RETURN nchat_search_marks(q, p_marks);
END
$$;

-- What to mark in results: in texts, words with the same stem, found by their
-- first letter; in names, the letters themselves; and in both, symbols and what
-- is written without spaces.

CREATE FUNCTION nchat_search_marks(q nchat_query, p_marks text[])
    RETURNS nchat_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_text      text := normalize(array_to_string(p_marks, ' '), NFKC);
    v_words     text[];
    v_literals  text[];
    v_word      text := nchat_search_letter();
BEGIN
    v_words := ARRAY(
        SELECT DISTINCT w
          FROM regexp_split_to_table(lower(v_text), '(?!' || v_word || ').')
               AS w
         WHERE w <> '');
    v_literals := ARRAY(
        SELECT m[1]
          FROM regexp_matches(v_text, '[' || nchat_class_unspaced() || ']+|['
                              || nchat_class_symbol() || ']', 'g') AS m);

    q.lexemes := tsvector_to_array(to_tsvector('public.nchat',
                                       array_to_string(v_words, ' ')));
    q.pattern := nullif(array_to_string(
        v_literals || (
            SELECT '(?<!' || v_word || ')['
                   || string_agg(left(w, 1) || upper(left(w, 1)), '') || ']'
                   || v_word || '*'
              FROM unnest(q.lexemes) AS w), '|'), '');
    q.name_pattern := nullif(array_to_string(
        v_literals || (
            SELECT string_agg(w, '|' ORDER BY char_length(w) DESC)
              FROM unnest(v_words) AS w), '|'), '');

    RETURN q;
END
$$;


-- nchat_search_parse(): a query, taken apart.  Anything is a query: what is no
-- operator is text, and only a date that is none is refused.
--
--     word                    a word, in any form of it
--     "some words"            next to each other; the end may lack its quote
--     -word -"some words"     not these
--     this or that            either; binds less than words side by side
--     from:name in:channel    also negated, also several: any of them; a name
--                             with spaces in quotes; from:me
--     has:link|file|image is:pinned|starred    also negated; several: all
--     before:DATE after:DATE  both inclusive

CREATE FUNCTION nchat_search_parse(p_query text) RETURNS nchat_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    q           nchat_query;
    t           text[];
    v_text      text;
    v_operator  text;
    v_not       boolean;
    v_last      text := '';
    v_date      timestamptz;
    v_term      record;
    g           nchat_group;
    v_groups    nchat_group[] := '{}';
    v_marks     text[] := '{}';
BEGIN
    q.narrowed := false;

    FOR t IN
        SELECT regexp_matches(translate(p_query, '“”„‟', '""""'),
                   '(-?)(?:(from|in|has|is|before|after):)?("[^"]*"?|[^\s"]+)',
                   'gi')
    LOOP
        v_not := t[1] <> '' AND t[3] !~ '^-';
        v_operator := lower(t[2]);
        v_text := btrim(t[3], '"');

        IF v_operator = 'from' AND ltrim(v_text, '@') <> '' THEN
            IF v_not THEN
                q.not_authors := q.not_authors || lower(ltrim(v_text, '@'));
            ELSE
                q.authors := q.authors || lower(ltrim(v_text, '@'));
            END IF;

        ELSIF v_operator = 'in' AND ltrim(v_text, '#') <> '' THEN
            IF v_not THEN
                q.not_channels := q.not_channels || lower(ltrim(v_text, '#'));
            ELSE
                q.channels := q.channels || lower(ltrim(v_text, '#'));
            END IF;

        ELSIF v_operator = 'has' AND lower(v_text) IN ('link', 'file', 'image')
              OR v_operator = 'is' AND lower(v_text) IN ('pinned', 'starred')
        THEN
            IF v_not THEN
                q.not_flags := q.not_flags || lower(v_text);
            ELSE
                q.flags := q.flags || lower(v_text);
            END IF;

        ELSIF v_operator IN ('before', 'after') THEN
            v_date := nchat_search_date(v_text, v_operator = 'before');

            IF v_date IS NULL OR v_not THEN
                q.refusal := nchat_search_refuse('query', 'format',
                    v_operator || ': needs a date, as in ' || v_operator
                    || ':2026-01-31');
                RETURN q;
            END IF;

            IF v_operator = 'before' THEN
                q.until := least(q.until, v_date);
            ELSE
                q.since := greatest(q.since, v_date);
            END IF;

        ELSIF lower(t[3]) IN ('or', '|', '||') AND t[1] = ''
              AND v_operator IS NULL
              AND (v_last = 'operator' OR g.phrase IS NOT NULL
                   OR g.negation IS NOT NULL)
        THEN
            IF v_last <> 'operator' THEN
                v_groups := v_groups || g;
                g := NULL;
            END IF;
            CONTINUE;

        ELSE
            v_last := 'text';
            v_term := nchat_search_term(
                coalesce(v_operator || ' ', '') || v_text);
            CONTINUE WHEN v_term.phrase IS NULL;
            g := nchat_search_add(g, v_term, v_not);
            IF NOT v_not THEN
                v_marks := v_marks || v_text;
            END IF;
            CONTINUE;
        END IF;

        v_last := 'operator';
        q.narrowed := true;
    END LOOP;

    IF g.phrase IS NOT NULL OR g.negation IS NOT NULL THEN
        v_groups := v_groups || g;
    END IF;

    RETURN nchat_search_compose(q, v_groups, v_marks);
END
$$;
