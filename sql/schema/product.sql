-- The product of numbers, as an aggregate: PostgreSQL has none, and sums of logarithms are not exact.
CREATE OR REPLACE AGGREGATE ticks_platform.product(double precision) (SFUNC = float8mul, STYPE = double precision, INITCOND = '1', PARALLEL = SAFE);
