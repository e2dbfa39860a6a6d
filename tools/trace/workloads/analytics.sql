-- SPDX-License-Identifier: MIT
-- What makes a PostgreSQL backend allocate: a sort, a hash join, hash aggregation, long strings.
\set first random(1, 90000)
\set width random(20000, 100000)
SELECT count(*), max(s) FROM
    (SELECT bid, string_agg(filler || aid, ',') AS s FROM pgbench_accounts
     WHERE aid BETWEEN :first AND :first + :width / 10 GROUP BY bid) AS grouped;
SELECT count(*) FROM pgbench_accounts AS a JOIN pgbench_accounts AS b ON a.aid = b.aid + 1
    WHERE a.aid BETWEEN :first AND :first + :width;
SELECT aid, md5(filler || aid) AS h FROM pgbench_accounts
    WHERE aid BETWEEN :first AND :first + :width ORDER BY h LIMIT 5;
SELECT abalance, aid % 5000 AS k, array_agg(aid) FROM pgbench_accounts
    WHERE aid BETWEEN :first AND :first + :width GROUP BY abalance, k ORDER BY k LIMIT 5;
