-- What a refresh of the candles of a minute is about to materialize.
UNION ALL
SELECT lowest_modified_value, greatest_modified_value
FROM _timescaledb_catalog.continuous_aggs_materialization_ranges
JOIN _timescaledb_catalog.continuous_agg ON materialization_id = mat_hypertable_id
WHERE user_view_name = 'one_minute_candle' AND user_view_schema = current_schema()
