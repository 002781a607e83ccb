"""Delays between attempts: exponential, capped, with full jitter."""

from __future__ import annotations

import random


class Backoff:
    """Delays before the next attempt, in seconds: uniform between 0 and min(cap, base x 2^failures).

    "Full jitter" did best for contended retries in Marc Brooker's "Exponential Backoff And Jitter" (AWS Architecture
    Blog, 2015): clients that lost the same server at the same moment do not reconnect in step.
    """

    def __init__(self, *, base: float, cap: float, seed: int | None = None) -> None:
        self._base = base
        self._cap = cap
        self._failures = 0
        self._random = random.Random(seed)  # noqa: S311  (jitter, not cryptography)

    @property
    def failures(self) -> int:
        """Attempts that have failed since the last `reset`."""
        return self._failures

    def next_delay(self) -> float:
        """Count a failure; return the seconds to wait before the next attempt."""
        # Bounded: 2.0 ** failures overflows after a thousand failures.
        ceiling = min(self._cap, self._base * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self._random.uniform(0.0, ceiling)

    def reset(self) -> None:
        """Call after an attempt has succeeded, not when it starts."""
        self._failures = 0
