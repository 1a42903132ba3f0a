-- Everything in one session: schema, data, queries of many shapes, transactions, triggers, functions, blobs.
.bail off
.headers on
PRAGMA foreign_keys = ON;
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, born INTEGER CHECK (born > 1800), note TEXT DEFAULT 'none');
CREATE TABLE account(id INTEGER PRIMARY KEY AUTOINCREMENT, owner INTEGER REFERENCES person(id) ON DELETE CASCADE, balance REAL, kind TEXT COLLATE NOCASE);
CREATE TABLE log(at INTEGER, what TEXT);
CREATE INDEX account_owner ON account(owner, balance DESC);
CREATE UNIQUE INDEX account_kind ON account(owner, kind) WHERE kind IS NOT NULL;
CREATE INDEX person_expression ON person(length(name), lower(name));
CREATE VIEW rich AS SELECT p.name, sum(a.balance) AS total FROM person p JOIN account a ON a.owner = p.id GROUP BY p.id HAVING total > 500;
CREATE TRIGGER account_added AFTER INSERT ON account BEGIN INSERT INTO log VALUES (new.id, 'added ' || new.kind); END;
CREATE TRIGGER account_changed AFTER UPDATE OF balance ON account WHEN new.balance < 0 BEGIN SELECT RAISE(ABORT, 'overdrawn'); END;
CREATE TRIGGER rich_insert INSTEAD OF INSERT ON rich BEGIN INSERT INTO person(name, born) VALUES (new.name, 1900 + new.total % 100); END;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
  INSERT INTO person(id, name, born, note) SELECT i, printf('person %03d', i * 37 % 61), 1900 + i, CASE WHEN i % 7 = 0 THEN NULL ELSE hex(i * 65537) END FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
  INSERT INTO account(owner, balance, kind) SELECT 1 + i * 7 % 60, (i * 7919 % 1000) / 4.0, 'kind' || i FROM n;
SELECT count(*), sum(balance), min(kind), max(kind), avg(balance), group_concat(DISTINCT owner % 5) FROM account;
SELECT p.name, count(a.id) AS n, total(a.balance) FROM person p LEFT JOIN account a ON a.owner = p.id GROUP BY p.id ORDER BY n DESC, 3 DESC, 1 LIMIT 12 OFFSET 3;
SELECT a.id, b.id FROM account a JOIN account b ON a.owner = b.owner AND a.id < b.id WHERE a.balance + b.balance BETWEEN 200 AND 220 ORDER BY 1, 2;
SELECT name FROM person WHERE id IN (SELECT owner FROM account WHERE balance > (SELECT avg(balance) * 1.8 FROM account)) ORDER BY name COLLATE NOCASE DESC;
SELECT name FROM person p WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.owner = p.id AND a.balance > 50) ORDER BY 1;
SELECT * FROM rich ORDER BY total DESC LIMIT 5;
INSERT INTO rich VALUES ('through a view', 742);
SELECT id, name, born, note FROM person WHERE name LIKE 'through%' OR name GLOB '*05[0-3]' ORDER BY id;
EXPLAIN QUERY PLAN SELECT * FROM account WHERE owner = 5 AND balance > 10;
SELECT owner, balance, row_number() OVER w, rank() OVER w, sum(balance) OVER (PARTITION BY owner ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), lag(balance, 1, -1) OVER w FROM account WHERE owner < 6 WINDOW w AS (PARTITION BY owner ORDER BY balance) ORDER BY owner, balance;
SELECT kind FROM account WHERE id < 4 UNION SELECT name FROM person WHERE id < 3 EXCEPT SELECT 'kind2' INTERSECT SELECT kind FROM account ORDER BY 1;
-- Errors leave things as they were.
INSERT INTO person(name, born) VALUES ('person 001', 1950);
INSERT INTO person(name, born) VALUES ('too old', 1500);
INSERT INTO account(owner, balance) VALUES (9999, 1);
UPDATE account SET balance = -1 WHERE id = 3;
SELECT no_column FROM person;
SELECT * FROM;
INSERT OR REPLACE INTO person(id, name, born) VALUES (60, 'replaced', 1999);
INSERT OR IGNORE INTO person(id, name, born) VALUES (60, 'ignored', 1999);
INSERT INTO person(id, name, born) VALUES (60, 'upserted', 1999) ON CONFLICT(id) DO UPDATE SET note = excluded.name, born = born + 1 RETURNING id, name, note, born;
-- Transactions and savepoints.
BEGIN; DELETE FROM person WHERE id % 2; SELECT count(*), (SELECT count(*) FROM account) FROM person; ROLLBACK;
SELECT count(*), (SELECT count(*) FROM account) FROM person;
BEGIN IMMEDIATE; SAVEPOINT one; UPDATE account SET balance = balance * 2; SAVEPOINT two; DELETE FROM log; ROLLBACK TO two; RELEASE one; COMMIT;
SELECT round(sum(balance), 3), (SELECT count(*) FROM log) FROM account;
UPDATE account SET balance = (SELECT born FROM person WHERE person.id = owner), kind = upper(kind) WHERE id % 10 = 0;
UPDATE person SET note = q.s FROM (SELECT owner, sum(balance) AS s FROM account GROUP BY owner) AS q WHERE q.owner = person.id AND person.id < 10;
SELECT id, name, note FROM person WHERE id < 12 ORDER BY born DESC;
DELETE FROM account WHERE id IN (SELECT id FROM account ORDER BY balance LIMIT 40); SELECT changes(), total_changes() > 200;
-- Blobs, types, functions.
CREATE TABLE blobs(k INTEGER PRIMARY KEY, b BLOB);
INSERT INTO blobs VALUES (1, x'00ff10'), (2, zeroblob(5000)), (3, x''), (4, CAST('text' AS BLOB));
INSERT INTO blobs SELECT 10 + k, b || x'41' || b FROM blobs;
SELECT k, typeof(b), length(b), hex(substr(b, 1, 6)), quote(substr(b, -3)) FROM blobs ORDER BY k;
SELECT abs(-5), coalesce(NULL, 2), ifnull(NULL, 'x'), instr('hello', 'll'), replace('aXbX', 'X', '--'), substr('abcdef', 2, 3), trim('  t '), upper('ü-a'), unicode('€'), char(8364, 65), round(2.567, 2), 7 / 2, 7 % 3, 1 << 40, ~5, 'a' || 1, 1 IS NOT NULL, 5 BETWEEN 1 AND 9;
SELECT date('2020-02-28', '+2 days'), strftime('%Y-%j %H:%M', 1e9, 'unixepoch'), julianday('2000-01-01'), time('12:00', '-90 minutes'), CAST('12abc' AS INTEGER), 9223372036854775807 + 1, 0.1 + 0.2, 1e308 * 10, printf('%5.2f|%-8s|%x|%q', 3.14159, 'left', 255, 'it''s');
SELECT json('{"a":[1,2,{"b":null}]}'), json_extract('{"a":[1,2,{"b":7}]}', '$.a[2].b'), json_group_array(id) FROM person WHERE id < 5;
SELECT key, value, type FROM json_each('{"x":1,"y":[true,null],"z":"s"}');
SELECT json_set('{"a":1}', '$.b', json('[1,2]')), json_remove('[0,1,2]', '$[1]'), json_valid('{'), '{"q":{"r":9}}' ->> '$.q.r';
-- Recursion: a tree, a puzzle, a drawing.
CREATE TABLE tree(id INTEGER PRIMARY KEY, parent INTEGER, name TEXT);
INSERT INTO tree VALUES (1, NULL, 'root'), (2, 1, 'a'), (3, 1, 'b'), (4, 2, 'aa'), (5, 2, 'ab'), (6, 4, 'aaa'), (7, 3, 'ba');
WITH RECURSIVE under(id, path, depth) AS (SELECT id, name, 0 FROM tree WHERE parent IS NULL UNION ALL SELECT t.id, path || '/' || t.name, depth + 1 FROM tree t JOIN under u ON t.parent = u.id ORDER BY 3 DESC)
  SELECT printf('%.*c%s', depth * 2, ' ', path) FROM under;
WITH RECURSIVE x(c) AS (SELECT -2.0 UNION ALL SELECT c + 0.2 FROM x WHERE c < 0.6), y(c) AS (SELECT -1.0 UNION ALL SELECT c + 0.5 FROM y WHERE c < 1.0),
  m(iter, cx, cy, x, y) AS (SELECT 0, x.c, y.c, 0.0, 0.0 FROM x, y UNION ALL SELECT iter + 1, cx, cy, x * x - y * y + cx, 2.0 * x * y + cy FROM m WHERE x * x + y * y < 4.0 AND iter < 8),
  best(iter, cx, cy) AS (SELECT max(iter), cx, cy FROM m GROUP BY cx, cy), line(cy, t) AS (SELECT cy, group_concat(substr(' .+*#', 1 + min(iter / 2, 4), 1), '') FROM best GROUP BY cy)
  SELECT group_concat(rtrim(t), x'0a') FROM line;
WITH RECURSIVE q(n, cols) AS (SELECT 0, '' UNION ALL SELECT n + 1, cols || d.value FROM q, json_each('[1,2,3,4,5]') d WHERE n < 5 AND NOT EXISTS (SELECT 1 FROM json_each('[1,2,3,4,5]') i WHERE i.value <= n AND (CAST(substr(cols, i.value, 1) AS INT) = d.value OR abs(CAST(substr(cols, i.value, 1) AS INT) - d.value) = n + 1 - i.value)))
  SELECT cols FROM q WHERE n = 5 ORDER BY 1;
-- Changes of the schema, full-text, statistics, vacuum, dump.
ALTER TABLE person ADD COLUMN extra INTEGER GENERATED ALWAYS AS (born * 2) VIRTUAL;
ALTER TABLE person RENAME COLUMN note TO remark; ALTER TABLE log RENAME TO journal;
SELECT id, extra, remark FROM person WHERE extra > 3910 ORDER BY id LIMIT 4;
CREATE TABLE wr(a TEXT, b INT, PRIMARY KEY(a, b)) WITHOUT ROWID;
INSERT INTO wr SELECT name, id FROM person; DELETE FROM wr WHERE b % 3; SELECT count(*), max(a) FROM wr;
CREATE TEMP TABLE t AS SELECT DISTINCT owner FROM account; DROP INDEX account_owner; REINDEX; ANALYZE;
SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2;
VACUUM; PRAGMA integrity_check; PRAGMA foreign_key_check; PRAGMA table_info(person);
ATTACH ':memory:' AS other; CREATE TABLE other.copy AS SELECT * FROM account WHERE id < 20; SELECT count(*) FROM other.copy JOIN account USING (id); DETACH other;
.mode line
SELECT * FROM account ORDER BY id LIMIT 2;
.mode csv
SELECT * FROM person WHERE id BETWEEN 5 AND 8;
.mode insert again
SELECT * FROM tree;
.mode column
SELECT name, born FROM person ORDER BY born LIMIT 3;
.schema account
.dump tree
DROP TABLE account; DROP VIEW rich; SELECT type, name FROM sqlite_schema ORDER BY 2;
