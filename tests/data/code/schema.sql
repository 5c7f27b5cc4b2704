-- Who buys.
CREATE TABLE customers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL
);

CREATE VIEW names AS SELECT name FROM customers;

CREATE FUNCTION total() RETURNS INTEGER AS $$ SELECT count(*) FROM customers; $$ LANGUAGE sql;
