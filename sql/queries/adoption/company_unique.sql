-- Where the table has another primary key.
ALTER TABLE company ADD UNIQUE (symbol);
