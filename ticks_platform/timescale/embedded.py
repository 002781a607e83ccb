"""The old name of ``python -m embedded_timescale``, for this release."""

from __future__ import annotations

import os
import sys

from embedded_timescale.__main__ import main
from ticks_platform.paths import state_dir

if __name__ == "__main__":
    print("`python -m ticks_platform.timescale.embedded` is now `python -m embedded_timescale`", file=sys.stderr)
    os.environ["TICKS_STATE_DIR"] = str(state_dir())
    sys.exit(main())
