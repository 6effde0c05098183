"""Measures cw-context with a folder as its target: whether the right place is found in a whole package, and whether instructions that were
written for other packages are refused.

    .venv/bin/python benchmarks/places.py edits-heldout.jsonl real.jsonl --src data/src --packages typer,requests,sqlalchemy [--each 24]

Edits are put back into their packages as benchmarks/regions.py does; one whose lines stand in several files counts for one of them. Every
package is asked its own edits, and as many of the other packages'. The weights of stages/prepare/locate.py were fitted on click, httpx and
rich; read figures on others. The index is kept in memory.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

from benchmarks.regions import Case, cases
from cromwell.contract import settings
from cromwell.prepare.index import open_index
from cromwell.prepare.locate import THRESHOLD, Found, chance, locate
from cromwell.prepare.rank import Target, rank_files


def is_right(case: Case, found: Found) -> bool:
    """Whether a place is in the function that an edit changes, or holds a line that it changes."""
    first, last = found.region.first_line, found.region.last_line
    return case.path == found.path and (any(first <= line <= last for line in case.changed)
                                        or any(start <= first and last <= end for start, end in case.functions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edits", nargs="+", type=Path)
    parser.add_argument("--src", type=Path, required=True)
    parser.add_argument("--packages", required=True)
    parser.add_argument("--each", type=int, default=24, help="edits of a package, and of others, that each package is asked")
    options = parser.parse_args()
    packages = options.packages.split(",")
    rows = [json.loads(line) for path in options.edits for line in path.open(encoding="utf-8")]
    draw = random.Random(1)
    own: dict[str, list[Case]] = {}
    for package in packages:
        mine = [row for row in rows if row["package"] == package and row["region"] != row["new_region"]]
        found = [case for case in cases(draw.sample(mine, min(len(mine), 2 * options.each)), options.src) if case is not None]
        own[package] = found[:options.each]
    right = among = asked = kept = refused = foreign = wrong_refused = wrong = 0
    seconds = 0.0
    for package in packages:
        others = [case for other in packages if other != package for case in own[other]]
        with open_index(str(options.src / package), settings.load({"cache": False})) as index:
            strangers = draw.sample(others, len(own[package]))
            for is_own, case in [(True, case) for case in own[package]] + [(False, case) for case in strangers]:
                start = time.process_time()
                places = locate(index, ".", case.instruction, rank_files(index, Target(None, None), case.instruction))
                seconds += time.process_time() - start
                accepted = chance(places) >= THRESHOLD
                if not is_own:
                    foreign += 1
                    refused += not accepted
                    continue
                asked += 1
                good = bool(places) and is_right(case, places[0])
                right += good
                among += any(is_right(case, place) for place in places[:3])
                kept += good and accepted
                wrong += not good
                wrong_refused += not good and not accepted
    print(f"{asked} edits of {len(packages)} packages: right place first {right / asked:.0%}, among the first three {among / asked:.0%}; "
          f"{1000 * seconds / (asked + foreign):.0f} ms of processor time each")
    print(f"at the threshold {THRESHOLD}: {kept / max(1, right):.0%} of {right} right places kept, {refused / foreign:.0%} of {foreign} "
          f"foreign instructions refused, {wrong_refused / max(1, wrong):.0%} of {wrong} wrong places refused")


if __name__ == "__main__":
    main()
