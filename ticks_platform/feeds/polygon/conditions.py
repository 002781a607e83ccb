"""Where the rules of US stock trades were before other providers shared them; for imports of users' own code."""

from ticks_platform.feeds.us_stocks.conditions import (
    FORM_T,
    OFFICIAL,
    Conditions,
    OfficialKind,
    Rule,
    Rules,
    is_listing,
    packaged_rules,
)

__all__ = ["FORM_T", "OFFICIAL", "Conditions", "OfficialKind", "Rule", "Rules", "is_listing", "packaged_rules"]
