-- What is undone leaves nothing, at any depth.
BEGIN;
DELETE FROM orders WHERE customer < 400;
SAVEPOINT inner_one;
UPDATE orders SET note = note || note || note;
DROP INDEX by_note;
ROLLBACK TO inner_one;
UPDATE articles SET price = price * 2;
ROLLBACK;

-- What is not, does: 1 of 37 articles goes, and with it its orders.
BEGIN;
DELETE FROM orders WHERE article = 37;
DELETE FROM articles WHERE id = 37;
SAVEPOINT lost;
INSERT INTO orders(customer, article, amount) SELECT customer, article, amount FROM orders;
ROLLBACK TO lost;
RELEASE lost;
COMMIT;

ALTER TABLE customers ADD COLUMN due REAL;
UPDATE customers SET due = (SELECT due FROM bills WHERE bills.customer = customers.name);
CREATE TABLE copy AS SELECT o.*, c.city FROM orders o JOIN customers c ON c.id = o.customer
    ORDER BY c.city, o.note DESC;
CREATE INDEX copied ON copy(city, note, amount);
ANALYZE;
DROP TABLE copy;
REINDEX;
VACUUM;
