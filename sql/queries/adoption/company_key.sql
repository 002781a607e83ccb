-- The names of symbols can be replaced then.
ALTER TABLE company ADD PRIMARY KEY (symbol);
