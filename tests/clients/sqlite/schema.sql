PRAGMA foreign_keys = ON;
CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, city TEXT);
CREATE TABLE articles(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL CHECK(price > 0));
CREATE TABLE orders(
    id INTEGER PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customers(id),
    article INTEGER NOT NULL REFERENCES articles(id),
    amount INTEGER NOT NULL,
    note TEXT);
CREATE TABLE totals(name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
INSERT INTO totals VALUES('amount', 0);
CREATE TRIGGER added AFTER INSERT ON orders BEGIN
    UPDATE totals SET value = value + new.amount WHERE name = 'amount';
END;
CREATE TRIGGER removed AFTER DELETE ON orders BEGIN
    UPDATE totals SET value = value - old.amount WHERE name = 'amount';
END;
CREATE INDEX by_customer ON orders(customer, article);
CREATE INDEX by_note ON orders(substr(note, 1, 10)) WHERE amount > 4;
CREATE VIEW bills AS
    SELECT c.name AS customer, sum(o.amount * a.price) AS due
    FROM orders o JOIN customers c ON c.id = o.customer JOIN articles a ON a.id = o.article
    GROUP BY c.id;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO customers SELECT i, 'customer ' || i, 'city ' || (i % 17) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 37)
    INSERT INTO articles SELECT i, 'article ' || i, i * 1.5 FROM n;
