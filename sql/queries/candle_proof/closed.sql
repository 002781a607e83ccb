-- Until when the candles of a minute are final: where they are materialized, or now, if no tick has come since.
SELECT CASE
    WHEN EXISTS (SELECT FROM stocks_real_time WHERE time >= %(until)s AND time < time_bucket(INTERVAL '1 minute', now())) THEN %(until)s
    ELSE greatest(%(until)s, time_bucket(INTERVAL '1 minute', now()))
END;
