-- Accounts, made all at once, the same each time but for their ids.
--
--     psql -v users=1000000 -v hash='$2b$...' -f users.sql <owner's URL>
--
-- adds person1@example.com to personN@example.com, members, all with the
-- password of that hash.

\set ON_ERROR_STOP 1

SET synchronous_commit = off;

INSERT INTO users (id, email, username, display_name, password_hash,
                   created_at)
SELECT md5('person/' || n)::uuid, 'person' || n || '@example.com',
       'person' || n, 'Person ' || n, :'hash',
       now() - (:users - n) * interval '1 minute'
  FROM generate_series(1, :users) AS n;

VACUUM ANALYZE users;
