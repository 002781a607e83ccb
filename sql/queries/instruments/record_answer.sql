-- Stores what a provider has answered of a symbol; without an answer, what it said before stays.
INSERT INTO ticks_platform.instrument_reference AS kept (
    feed, symbol, asked, asset_class, mic, currency, round_lot, may_be_negative, answered_at, problem, ask_after
)
VALUES (
    %(feed)s, %(symbol)s, %(asked)s, %(asset_class)s, %(mic)s, %(currency)s, %(round_lot)s, %(may_be_negative)s,
    CASE WHEN %(answered)s THEN now() END, %(problem)s, now() + %(pause)s
)
ON CONFLICT (feed, symbol) DO UPDATE SET
    asked = excluded.asked,
    asset_class = CASE WHEN %(answered)s THEN excluded.asset_class ELSE kept.asset_class END,
    mic = CASE WHEN %(answered)s THEN excluded.mic ELSE kept.mic END,
    currency = CASE WHEN %(answered)s THEN excluded.currency ELSE kept.currency END,
    round_lot = CASE WHEN %(answered)s THEN excluded.round_lot ELSE kept.round_lot END,
    may_be_negative = CASE WHEN %(answered)s THEN excluded.may_be_negative ELSE kept.may_be_negative END,
    answered_at = coalesce(excluded.answered_at, kept.answered_at),
    problem = excluded.problem,
    ask_after = excluded.ask_after;
