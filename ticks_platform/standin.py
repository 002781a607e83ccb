"""The old name of ``python -m ticks_standin``, for this release."""

from __future__ import annotations

import sys

from ticks_standin.__main__ import main

if __name__ == "__main__":
    print("`python -m ticks_platform.standin` is now `python -m ticks_standin`", file=sys.stderr)
    sys.exit(main())
