-- A candle as the database has it: its SELECT, whether it leaves out what is not materialized, and the table that holds it.
SELECT
    view_definition,
    materialized_only,
    format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name)
FROM timescaledb_information.continuous_aggregates
WHERE view_schema = coalesce(%(schema)s, current_schema()) AND view_name = %(candle)s;
