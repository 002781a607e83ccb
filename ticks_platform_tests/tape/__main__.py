"""Runs a folder of cases: `make tape CASES=DIR`, which is `python -m ticks_platform_tests.tape DIR`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ticks_platform_tests.tape import case as cases
from ticks_platform_tests.tape import running, variants
from ticks_platform_tests.tape.case import CaseError
from ticks_platform_tests.tape.variants import PLAIN, VARIANTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, print what is wrong and `N of M right`; returns 0 if all are right."""
    parser = argparse.ArgumentParser(prog="make tape CASES=DIR", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of *.json")
    explained = "; ".join(f"{name}: {what}" for name, what in VARIANTS.items())
    parser.add_argument("--variants", default=PLAIN, help=f"names with commas, or all. {explained}")
    parser.add_argument("--only", default="", help="only files whose name contains this")
    chosen = parser.parse_args(arguments)
    names = list(VARIANTS) if chosen.variants == "all" else [name.strip() for name in chosen.variants.split(",")]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        parser.error(f"no variant {', '.join(unknown)}; there are: all, {', '.join(VARIANTS)}")
    if not chosen.folder.is_dir():
        parser.error(f"{chosen.folder} is not a folder")
    try:
        files = [path for path in cases.files(chosen.folder) if chosen.only in path.name]
    except CaseError as error:
        parser.error(str(error))
    began = time.monotonic()
    with running.fresh_database() as platform:
        right = [is_right(path, platform, names) for path in files]
    print(f"{time.monotonic() - began:.0f} s; variants: {', '.join(names)}")
    print(f"{sum(right)} of {len(right)} right")
    return 0 if all(right) else 1


def is_right(path: Path, platform: running.PlatformDatabase, names: Sequence[str]) -> bool:
    """Run a file in these variants, and print what is wrong."""
    try:
        case = cases.read(path)
    except CaseError as error:
        print(f"WRONG {error}", flush=True)
        return False
    outcomes = [running.run(case, platform, variant) for variant in names if variants.applies(variant, case)]
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    for outcome in wrong:
        print(f"WRONG {path.name} ({outcome.variant}): {case.what}")
        for line in outcome.wrong:
            print(f"  {line}", flush=True)
    if not wrong:
        print(f"right {path.name}", flush=True)
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
