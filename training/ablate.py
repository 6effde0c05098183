"""What the JEPA loss is worth: the same run on the same tokens with one weight after the other.

    python -m training.ablate --out DIR --weights 0 0.02 0.3 --seeds 0 1 -- --config models/nano.json --data D1 --heldout D2 --steps 300 ...

What stands after -- are options of training.train, which every run gets; --steps and --heldout are needed. Runs of one seed see the same
documents in the same order and start from the same weights. Prints a table and writes DIR/ablation.json; runs that are there already are
not made again, and one that was stopped goes on."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from training import train
from training.plot import MetricsError, read


def last(run: Path) -> dict[str, float]:
    """The held-out loss at a run's end, over all and by kind, and its last JEPA figures; MetricsError when it has none."""
    lines = read(run)
    if not lines[-1].get("heldout"):
        raise MetricsError(f"{run}: its last line has no held-out loss: give the runs --heldout")
    figures: dict[str, float] = next((line["figures"] for line in reversed(lines) if line.get("figures")), {})
    return {"tokens": lines[-1]["tokens"], "loss": lines[-1]["heldout"][""], **figures,
            **{f"loss of {kind}": loss for kind, loss in lines[-1]["heldout"].items() if kind}}  # fmt: skip


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """A row for each weight: means over its seeds, and how far seeds are apart."""
    names = ("loss", "effective_rank", "std", "r2_copy", "r2_mean")
    rows = ["| JEPA weight | seeds | million tokens | held-out loss, nats | spread | effective rank | std | R2 copy | R2 mean |",
            "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for weight, runs in found.items():
        mean = {name: statistics.mean(run[name] for run in runs) if all(name in run for run in runs) else None for name in names}
        spread = max(run["loss"] for run in runs) - min(run["loss"] for run in runs)
        shown = ["-" if mean[name] is None else f"{mean[name]:.3f}" for name in names]
        rows.append(f"| {weight} | {len(runs)} | {runs[0]['tokens'] / 1e6:.2f} | {shown[0]} | {spread:.3f} | {' | '.join(shown[1:])} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when done, else what training.train gave for the run that did not end, or 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    own, divided, passed = _split(arguments)
    parser = argparse.ArgumentParser(prog="python -m training.ablate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of ablation.json")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.02, 0.3], help="default: 0 0.02 0.3")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    options = parser.parse_args(own)
    if not divided or not {"--steps", "--heldout"} <= set(passed):
        parser.error("the runs need options of training.train after --, --steps and --heldout among them")
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for seed in options.seeds:
            for weight in options.weights:
                run = options.out / f"jepa-{weight:g}-seed-{seed}"
                if not (run / "final.safetensors").exists():
                    chosen = ["--out", str(run), "--jepa-weight", str(weight), "--seed", str(seed), "--resume"]
                    if status := train.main([*passed, *chosen]):
                        return status
                found.setdefault(f"{weight:g}", []).append(last(run))
        draft = options.out / "ablation.part"
        draft.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, options.out / "ablation.json")
    except (MetricsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(found))
    return 0


def _split(arguments: list[str]) -> tuple[list[str], bool, list[str]]:
    """What stands before and after the first --, and whether there is one."""
    if "--" not in arguments:
        return arguments, False, []
    at = arguments.index("--")
    return arguments[:at], True, arguments[at + 1 :]


if __name__ == "__main__":
    raise SystemExit(main())
