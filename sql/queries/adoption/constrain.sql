-- As in the file of the table.
ALTER TABLE stocks_real_time
    ALTER COLUMN tick_id SET NOT NULL,
    ALTER COLUMN feed SET NOT NULL,
    ALTER COLUMN received_at SET NOT NULL,
    ADD CONSTRAINT not_from_the_future CHECK (time <= received_at + INTERVAL '5 minutes'),
    ADD CONSTRAINT not_before_1990 CHECK (time >= '1990-01-01 00:00:00+00');
