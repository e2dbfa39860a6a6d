/* SPDX-License-Identifier: MIT */
/*
 * sqlite: a database lives on an IHostMalloc: a schema, inserts, joins, indexes, triggers,
 * transactions and their undoing, from two connections in two threads, and once into the quota.
 *
 * Fails when an answer is not the expected one, the integrity check finds anything, a free is
 * refused, or anything is live after the shutdown.
 */
#include "support/host_heap.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* SQLite asks how large a block is; the interface does not tell, so it is kept before the block. */
enum { PREFIX = 16 };

static IHostMalloc *heap;

static int size_of(void *block) {
    return block ? *(int *)(void *)((char *)block - PREFIX) : 0;
}

static void *keep_size(void *whole, int size) {
    if (!whole)
        return NULL;
    *(int *)whole = size;
    return (char *)whole + PREFIX;
}

static void *allocate(int size) {
    return keep_size(host_heap_alloc(heap, (size_t)size + PREFIX), size);
}

static void release(void *block) {
    host_heap_free(heap, block ? (char *)block - PREFIX : NULL);
}

static void *reallocate(void *block, int size) {
    return keep_size(host_heap_resize(heap, (char *)block - PREFIX, (size_t)size_of(block) + PREFIX,
                                      (size_t)size + PREFIX),
                     size);
}

static int round_up(int size) {
    return (size + 7) & ~7;
}

static int start(void *unused) {
    (void)unused;
    return SQLITE_OK;
}

static void stop(void *unused) {
    (void)unused;
}

static sqlite3_mem_methods methods = {allocate, release, reallocate, size_of,
                                      round_up, start,   stop,       NULL};

static void begin(uint64_t quota) {
    heap = host_heap_create(quota);
    CHECK(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK, "config");
    CHECK(sqlite3_config(SQLITE_CONFIG_SERIALIZED) == SQLITE_OK, "config");
    CHECK(sqlite3_initialize() == SQLITE_OK, "initialize");
}

static void end(const char *what) {
    CHECK(sqlite3_shutdown() == SQLITE_OK, "shutdown");
    CHECK(host_heap_destroy(heap) == 0, "%s: not all was freed", what);
    printf("%s: %llu blocks so far\n", what, (unsigned long long)host_heap_count());
}

static sqlite3 *opened(const char *name) {
    sqlite3 *database = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
    CHECK(sqlite3_open_v2(name, &database, flags, NULL) == SQLITE_OK, "%s", name);
    sqlite3_busy_timeout(database, 60000);
    return database;
}

static void execute(sqlite3 *database, const char *text) {
    char *message = NULL;
    int result = sqlite3_exec(database, text, NULL, NULL, &message);
    CHECK(result == SQLITE_OK, "%s: %.200s", message, text);
}

/* The first column of the first row. */
static void expect(sqlite3 *database, const char *query, const char *expected) {
    sqlite3_stmt *statement = NULL;
    CHECK(sqlite3_prepare_v2(database, query, -1, &statement, NULL) == SQLITE_OK, "%s: %s",
          sqlite3_errmsg(database), query);
    CHECK(sqlite3_step(statement) == SQLITE_ROW, "%s: %s", sqlite3_errmsg(database), query);
    const char *got = (const char *)sqlite3_column_text(statement, 0);
    CHECK(got && strcmp(got, expected) == 0, "%s: expected %s, got %s", query, expected, got);
    sqlite3_finalize(statement);
}

/* Customers, articles and orders, by prepared statements; then what is in the file. */
static void shop(const char *name) {
    sqlite3 *database = opened(name);
    sqlite3_stmt *statement = NULL;

    execute(database, host_read_file(SCRIPTS, "schema.sql"));
    execute(database, "BEGIN");
    CHECK(sqlite3_prepare_v2(database,
                             "INSERT INTO orders(customer, article, amount, note) "
                             "VALUES(?1 % 500 + 1, ?1 % 37 + 1, ?1 % 9 + 1, ?2)",
                             -1, &statement, NULL) == SQLITE_OK,
          "%s", sqlite3_errmsg(database));
    for (int i = 0; i < 20000; i++) {
        char note[300];
        snprintf(
            note, sizeof note, "order %d %.*s", i, i % 250,
            "..................................................................................."
            "..................................................................................."
            "...................................................................................");
        sqlite3_bind_int(statement, 1, i);
        sqlite3_bind_text(statement, 2, note, -1, SQLITE_TRANSIENT);
        CHECK(sqlite3_step(statement) == SQLITE_DONE, "%s", sqlite3_errmsg(database));
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    execute(database, "COMMIT");
    expect(database, "SELECT count(*) FROM orders", "20000");
    expect(database, "SELECT sum(amount) FROM orders", "99993");
    expect(database, "SELECT value FROM totals WHERE name = 'amount'", "99993");
    execute(database, host_read_file(SCRIPTS, "changes.sql"));
    expect(database, "SELECT count(*) FROM orders", "19460");
    expect(database,
           "SELECT count(DISTINCT c.id || '-' || a.id) FROM orders o JOIN customers c ON "
           "o.customer = c.id JOIN articles a ON o.article = a.id",
           "18000");
    expect(database,
           "WITH RECURSIVE fib(n, a, b) AS (SELECT 1, 0, 1 UNION ALL "
           "SELECT n + 1, b, a + b FROM fib WHERE n < 80) SELECT max(a) FROM fib",
           "14472334024676221");
    expect(database,
           "SELECT group_concat(name) FROM (SELECT a.name, sum(o.amount) s FROM orders o JOIN "
           "articles a ON a.id = o.article GROUP BY a.id ORDER BY s DESC, a.id LIMIT 3)",
           "article 9,article 18,article 8");
    expect(database, "SELECT value FROM totals WHERE name = 'amount'", "97293");
    expect(database, "SELECT round(sum(due)) FROM customers", "2698851.0");
    expect(database, "PRAGMA integrity_check", "ok");
    CHECK(sqlite3_close(database) == SQLITE_OK, "close");
}

static void *many_writes(void *name) {
    sqlite3 *database = opened(name);
    for (int i = 0; i < 200; i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "BEGIN IMMEDIATE; INSERT INTO log(text) VALUES(hex(randomblob(%d))); "
                 "DELETE FROM log WHERE id %% 3 = 0; COMMIT",
                 10 + i * 13 % 3000);
        execute(database, text);
    }
    CHECK(sqlite3_close(database) == SQLITE_OK, "close");
    return NULL;
}

/* Two connections to one database in memory. */
static void two_threads(void) {
    char shared[] = "file:/shared?vfs=memdb";
    pthread_t threads[2];
    sqlite3 *database = opened(shared);
    execute(database, "CREATE TABLE log(id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT)");
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, many_writes, shared) == 0, "a thread");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    expect(database, "SELECT count(*) FROM log", "267");
    expect(database, "PRAGMA integrity_check", "ok");
    CHECK(sqlite3_close(database) == SQLITE_OK, "close");
}

/* A transaction that runs out of memory is undone, and the database goes on. */
static void out_of_memory(void) {
    sqlite3 *database = opened(":memory:");
    execute(database, "CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB); "
                      "INSERT INTO t(data) VALUES(randomblob(1000))");
    for (int i = 0; i < 5; i++) {
        int result = sqlite3_exec(database,
                                  "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                                  "FROM n WHERE i < 100000) INSERT INTO t(data) SELECT "
                                  "randomblob(2000) FROM n; COMMIT",
                                  NULL, NULL, NULL);
        CHECK(result == SQLITE_NOMEM, "%d: %s", result, sqlite3_errmsg(database));
        if (!sqlite3_get_autocommit(database))
            execute(database, "ROLLBACK");
        expect(database, "SELECT count(*) FROM t", "1");
    }
    expect(database, "PRAGMA integrity_check", "ok");
    CHECK(sqlite3_close(database) == SQLITE_OK, "close");
}

int main(void) {
    begin(0);
    shop(":memory:");
    shop(""); /* a temporary file */
    two_threads();
    end("shop and log");
    begin((uint64_t)32 << 20);
    out_of_memory();
    end("out of memory");

    /* A database that is not closed is noticed: nought above means something. */
    begin(0);
    (void)opened(":memory:");
    CHECK(host_heap_destroy(heap) > 10, "a database was forgotten, and nobody noticed");
    return 0;
}
