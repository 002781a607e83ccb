-- The chunks of the ticks that hold all that was ever counted for them, in order. A chunk that was made after ticks of its time had
-- been counted is left out: retention dropped the first one, and a late tick brought it back with nothing else in it.
SELECT range_start, range_end
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time'
    AND NOT EXISTS (
        SELECT FROM ticks_platform.feed_hour
        WHERE destination = 'stocks_real_time' AND isfinite(hour)
            AND hour + INTERVAL '1 hour' > range_start AND hour < range_end
            -- By name, for releases whose view does not have it.
            AND counted_since < (to_jsonb(chunks) ->> 'chunk_creation_time')::timestamptz
    )
ORDER BY range_start;
