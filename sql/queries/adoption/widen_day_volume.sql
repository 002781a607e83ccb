-- Fractions exist.
ALTER TABLE stocks_real_time ALTER COLUMN day_volume TYPE double precision;
