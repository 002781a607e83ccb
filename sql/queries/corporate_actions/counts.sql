-- How many versions there are, and how many splits and dividends are in force.
SELECT
    count(*),
    count(*) FILTER (WHERE kind = 'split' AND superseded_at IS NULL),
    count(*) FILTER (WHERE kind = 'dividend' AND superseded_at IS NULL)
FROM corporate_action;
