"""`make bench`: measure everything, or the parts that are named, and write `benchmarks/RESULTS.md`.

    python -m benchmarks [publish] [noticing] [start] [time_to_green] [retry] [data] [whole] [--quick]

Parts that are not named keep the words of their last measurement.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks import data, noticing, noticing_real, publish, repeated, retry, start, time_to_green, whole
from benchmarks.results import put

PARTS: dict[str, Callable[[bool], str]] = {
    "publish": lambda quick: _publish(quick=quick),
    "noticing": lambda quick: f"{noticing.table(200 if quick else 2000)}\n\n{noticing_real.report()}",
    "start": lambda quick: start.report(5 if quick else 25),
    "time_to_green": lambda quick: time_to_green.report((100,), (5,)) if quick else time_to_green.report(),
    "retry": lambda _: retry.report(),
    "data": lambda _: data.report(),
    "whole": lambda quick: whole.report(1 if quick else 3),
}


def _publish(*, quick: bool) -> str:
    tables = publish.report((100, 1_000) if quick else publish.SIZES, 1 if quick else 3)
    return f"{tables}\n{repeated.report(500, (1, 5)) if quick else repeated.report()}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all, when none is named")
    parser.add_argument("--quick", action="store_true", help="smaller projects, fewer rounds")
    options = parser.parse_args()
    for name in options.parts or PARTS:
        print(f"== {name}", flush=True)
        text = PARTS[name](options.quick)
        print(text, flush=True)
        put(name, text, quick=options.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
