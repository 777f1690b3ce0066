-- The data of the search benchmark, made inside Postgres, the same each time
-- but for its age: the newest message is of now.
--
--     psql -v messages=1000000 -f generate.sql <database-url>
--
-- on a freshly migrated database.  1,000 channels (700 public, 250 private, 50
-- direct; every 25th archived), 5,000 people, one of them member of 50 private
-- channels, 50,000 files, and the messages of one year, evenly spread over
-- channels and time, 4 to 25 words each.  Words follow Zipf's law; in addition
--
--     release                  in a message of ten
--     rolling, restart         in 3 of 100 each, "rolling restart" in 5 of 1000
--     zyzzyva                  in one of 50,000
--     東京都庁で会議             in one of 1,000

\set ON_ERROR_STOP 1
\if :{?messages}
\else
\set messages 1000000
\endif

SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';

-- A number in [0, 1) from a number and a purpose.

CREATE FUNCTION pg_temp.chance(n bigint, purpose integer) RETURNS float8
LANGUAGE sql IMMUTABLE
AS $$
    SELECT (hashint8extended($1, $2) & 4503599627370495) / 4503599627370496.0
$$;

CREATE FUNCTION pg_temp.id(kind integer, n bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE
AS $$ SELECT md5($1 || '/' || $2)::uuid $$;

-- The word of a rank, made of syllables.

CREATE FUNCTION pg_temp.word(rank bigint) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT substr(s, ($1 * 7 % 100)::integer * 2 + 1, 2)
           || substr(s, ($1 / 100 * 31 % 100)::integer * 2 + 1, 2)
           || CASE WHEN $1 < 10000 THEN 'n'
                   ELSE substr(s, ($1 / 10000 * 17 % 100)::integer * 2 + 1, 2)
              END
      FROM (VALUES ('babebibobucacecicocudadedidodufafefifofugagegigoguhahe'
                    'hihohujajejijojukakekikokulalelilolumamemimomunaneninonu'
                    'papepipopurarerirorusasesisosutatetitotuvavevivovuwawe'
                    'wiwowuxaxexixoxuyayeyiyoyuzazezizozu')) AS v(s)
$$;

INSERT INTO users (id, email, username, display_name, role, created_at)
SELECT pg_temp.id(1, n), 'user' || n || '@example.com',
       lower(f.name) || '_' || lower(l.name) || '_' || n,
       f.name || ' ' || l.name, 'member',
       now() - interval '2 years' + n * interval '1 minute'
  FROM generate_series(0, 4999) AS n,
       LATERAL (SELECT ('{John,Johanna,Jo,Mary,Ana,Li,Wei,Yuki,Omar,Fatima,'
                        'Ivan,Olga,Pierre,Marie,Hans,Greta,Luis,Carmen,Raj,'
                        'Priya,Kofi,Ama,Sven,Ingrid,Paolo,Giulia,Chen,Mei,Ali,'
                        'Zara,Tom,Emma,Liam,Nora,Ben,Eva,Max,Lea,Paul,Ida,Jan,'
                        'Eli,Sara,Adam,Ruth,Noah,Lena,Otto,Alma,Hugo}'
                        ::text[])[n % 50 + 1]) AS f(name),
       LATERAL (SELECT initcap(pg_temp.word(300 + n / 50))) AS l(name);

INSERT INTO channels (id, name, topic, type, archived_at, created_at)
SELECT pg_temp.id(2, n),
       CASE WHEN n < 950
            THEN 'team-' || pg_temp.word(500 + n) || '-' || n END,
       'All about ' || pg_temp.word(n * 13 % 3000),
       CASE WHEN n < 700 THEN 'public' WHEN n < 950 THEN 'private'
            ELSE 'direct' END,
       CASE WHEN n % 25 = 24 THEN now() - interval '30 days' END,
       now() - interval '2 years' + n * interval '1 hour'
  FROM generate_series(0, 999) AS n;

INSERT INTO channel_members (channel_id, user_id)
SELECT DISTINCT pg_temp.id(2, n),
       pg_temp.id(1, 1 + floor(4999 * pg_temp.chance(n * 100 + m, 3))::bigint)
  FROM generate_series(0, 999) AS n, generate_series(1, 20) AS m
 UNION
SELECT pg_temp.id(2, n), pg_temp.id(1, 0) FROM generate_series(700, 749) AS n;

INSERT INTO attachments (id, filename, original_filename, mime_type, size,
                         category, channel_id, uploaded_by, created_at)
SELECT pg_temp.id(4, n), n || '.pdf',
       CASE WHEN n % 10 = 0 THEN 'Release-Notes_' ELSE 'report ' END
       || pg_temp.word(floor(30000 ^ pg_temp.chance(n, 5))::bigint)
       || '.' || n || '.pdf',
       'application/pdf', 1000 + n, 'document',
       pg_temp.id(2, floor(1000 * pg_temp.chance(n, 6))::bigint),
       pg_temp.id(1, floor(5000 * pg_temp.chance(n, 7))::bigint),
       now() - (50000 - n) * interval '10 minutes'
  FROM generate_series(1, 50000) AS n;

-- The index is made afterwards, which is faster and leaves it as it would be
-- after some time.

DROP INDEX messages_search;

INSERT INTO messages (id, channel_id, user_id, content, created_at)
SELECT pg_temp.id(5, n),
       pg_temp.id(2, floor(1000 * pg_temp.chance(n, 8))::bigint),
       pg_temp.id(1, floor(5000 * pg_temp.chance(n, 9))::bigint),
       (SELECT string_agg(
                   pg_temp.word(floor(30000 ^ pg_temp.chance(n * 32 + w, 10))
                                ::bigint), ' ')
          FROM generate_series(1, 4 + floor(22 * pg_temp.chance(n, 11) ^ 1.5)
                                      ::integer) AS w)
       || CASE WHEN pg_temp.chance(n, 12) < 0.1 THEN ' release' ELSE '' END
       || CASE WHEN pg_temp.chance(n, 13) < 0.03 THEN ' rolling' ELSE '' END
       || CASE WHEN pg_temp.chance(n, 14) < 0.005 THEN ' rolling restart'
               ELSE '' END
       || CASE WHEN pg_temp.chance(n, 15) < 0.001
               THEN ' 東京都庁で会議です' ELSE '' END
       || CASE WHEN pg_temp.chance(n, 16) < 0.02
               THEN ' https://example.com/build/' || n ELSE '' END
       || CASE WHEN pg_temp.chance(n, 17) < 0.03 THEN ', restart' ELSE '' END
       || CASE WHEN n % 50000 = 777 THEN ' zyzzyva' ELSE '' END,
       now() - ((:messages)::integer - n)
               * (interval '365 days' / (:messages)::integer)
  FROM generate_series(1, :messages) AS n;

CREATE INDEX messages_search ON messages USING gin (search, search_keys)
    WITH (gin_pending_list_limit = 512) WHERE deleted_at IS NULL;

VACUUM ANALYZE users, channels, channel_members, attachments, messages;
