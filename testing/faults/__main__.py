"""`python -m stagecall.testing.faults stopped/raise-fatal/2` runs cases and prints their stories; without an id, all.

Exits with 0 if all became what they must, 1 if one did not, 2 for an id there is not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .cases import FaultCase, fault_cases
from .check import FaultFailedError, check_fault


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases that are named, or the whole matrix; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stagecall.testing.faults", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "case", nargs="*", help="the id of a case: CALL/FAULT/PLACE; without any, all are run"
    )
    parser.add_argument("--list", action="store_true", help="print the ids of all cases, and run none")
    options = parser.parse_args(arguments)
    try:
        chosen = [FaultCase.parse(text) for text in options.case] or fault_cases(threads=True)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print(*fault_cases(threads=True), sep="\n")
        return 0
    failed = sum(not _passes(case, tell=bool(options.case)) for case in chosen)
    print(f"{len(chosen)} cases, {failed} failed")
    return 1 if failed else 0


def _passes(case: FaultCase, *, tell: bool) -> bool:
    try:
        report = check_fault(case)
    except FaultFailedError as error:
        print(error.report.story)
        return False
    if tell:
        print(report.story)
    return True


if __name__ == "__main__":
    sys.exit(main())
