"""Repair: fetches what a gap missed from the provider's history, within a budget, and loads it like live frames.

In the order of a repair: `repair` plans ranges (`gaps`, `ranges`); `fetcher` requests their pages within the `budget`,
keeps them in a journal (`page_journal`) and loads them, under a `lease` of its own. `true_up` does it for whole days
after their end (`true_up_days`). Not here: the requests themselves (each provider's `history` in `feeds`), and how gaps
are computed (`ingestion.gaps`).
"""
