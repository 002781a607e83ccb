-- The table that holds a candle, and until when it is materialized; NULL if it is not at all.
SELECT
    format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name),
    CASE WHEN watermark > -210866803200000000 AND watermark < 9223371331200000000
        THEN _timescaledb_functions.to_timestamp(watermark) END
FROM _timescaledb_catalog.continuous_agg
JOIN timescaledb_information.continuous_aggregates ON view_schema = user_view_schema AND view_name = user_view_name
LEFT JOIN _timescaledb_catalog.continuous_aggs_watermark USING (mat_hypertable_id)
WHERE user_view_schema = current_schema() AND user_view_name = %(candle)s;
