-- Fills our columns of a chunk's rows. A tick_id has the layout of those that are made of journals: event time, then the place of the row
-- among those of the same time as they lie in the chunk, then a number that no journal has. When the rows arrived is not known:
-- received_at is the event time. A row without a price may change the volume alone.
UPDATE {chunk} AS tick SET
    tick_id = (
        lpad(
            to_hex(((microseconds / 1000) << 16) | 28672 | ((microseconds % 1000) * 4096 / 1000)),
            16, '0'
        ) || to_hex((place << 16) | (-9223372036854775808))
    )::uuid,
    feed = 'manual',
    received_at = time,
    updates = CASE WHEN price IS NULL THEN 4 END
    {day_volume}
FROM (
    SELECT
        ctid AS row,
        (extract(epoch FROM time) * 1000000)::bigint AS microseconds,
        row_number() OVER (PARTITION BY time ORDER BY ctid) AS place
    FROM {chunk}
) AS placed
WHERE tick.ctid = placed.row;
