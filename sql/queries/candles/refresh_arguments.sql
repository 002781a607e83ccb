-- Whether this release's refresh_continuous_aggregate has the arguments `force` and `options`.
SELECT
    coalesce(bool_or('force' = ANY (proargnames)), false),
    coalesce(bool_or('options' = ANY (proargnames)), false)
FROM pg_proc
WHERE proname = 'refresh_continuous_aggregate';
