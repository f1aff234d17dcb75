"""`make bench`: measure everything, or the parts that are named, and write `benchmarks/RESULTS.md`.

    python -m benchmarks [publish] [noticing] [start] [retry] [whole] [--quick] [--models N]...

Parts that are not named keep what an earlier run wrote.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import publish


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    print(publish.report(options.models or publish.SIZES, options.rounds, options.only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
