"""Measures Callboard, and what people use instead, on a real broker and a real receiver.

    python bench/run.py [--runs 3] [--quick] [--backlog 100000] [--into build/bench] [MEASURE …]

Without names it runs all measures (bench/measures). Prints the report, and writes report.txt,
report.md, report.json and report.svg. A measure that fails is told with its traceback, the others
go on, and the exit status is 1.
"""

import argparse
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

import plot
from measures import MEASURES
from report import Report, Section
from surroundings import Bench, setting


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--runs", type=int, help="how often each thing is measured (3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="a rough answer in a few minutes")
    parser.add_argument("--backlog", type=int, default=100_000, help="events that wait (100000)")
    parser.add_argument("--into", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    chosen = options.measures or list(MEASURES)
    if unknown := set(chosen) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(unknown)}; there are {', '.join(MEASURES)}")

    where, sections, failed = setting(), list[Section](), False
    runs = options.runs or (1 if options.quick else 3)
    with Bench(runs, options.quick, options.backlog) as bench:
        for name in chosen:
            began = time.monotonic()
            print(f"{name} …", file=sys.stderr, flush=True)
            try:
                sections.append(import_module(f"measures.{name}").run(bench))
            except Exception:  # noqa: BLE001 the other measures are worth having
                traceback.print_exc()
                failed = True
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            plot.write(Report(where, sections), options.into)
    print(Report(where, sections).text())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
