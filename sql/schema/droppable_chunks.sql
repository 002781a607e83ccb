-- The chunks of a hypertable that end before a time and hold all rows that were ever counted for them. A chunk that was created after
-- rows of its time had been counted is left out: retention dropped the first one, and a late row brought it back with nothing else
-- in it.
CREATE OR REPLACE FUNCTION ticks_platform.droppable_chunks(hypertable text, before timestamptz)
RETURNS TABLE (begins_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT range_start, range_end
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = current_schema() AND hypertable_name = droppable_chunks.hypertable
        AND range_end <= droppable_chunks.before
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_hour
            WHERE destination = droppable_chunks.hypertable AND isfinite(hour)
                AND hour + INTERVAL '1 hour' > range_start AND hour < range_end
                -- By name, for releases whose view does not have it.
                AND counted_since < (to_jsonb(chunks) ->> 'chunk_creation_time')::timestamptz
        )
    ORDER BY range_start
$$;
