"""`plot`: the curve.json of one or more model folders, over the time that a picture takes.

`--milliseconds FIXED EACH` is the line that tests/bench/steps of the service measures; each
point bears its number of steps.
"""

import json
from pathlib import Path

from . import plot


def series_of(folder: Path, fixed: float, each: float) -> list[plot.Series]:
    """One for each solver of the folder's curve."""
    path = folder / "curve.json"
    if not path.is_file():
        raise SystemExit(f"{path} is not there: run `evaluate --model {folder} --curve {path}`")
    name = json.loads((folder / "sluice.json").read_text())["name"]
    rows = json.loads(path.read_text())["rows"]
    return [
        plot.Series(
            f"{name}, {solver}",
            [
                (fixed + each * row["evaluations"], row["fd_own"]["mean"],
                 row["fd_own"]["half"])
                for row in rows if row["solver"] == solver
            ],
            [str(row["steps"]) for row in rows if row["solver"] == solver],
        )
        for solver in dict.fromkeys(row["solver"] for row in rows)
    ]


def draw(args) -> None:
    series = [one for folder in args.model for one in series_of(folder, *args.milliseconds)]
    plot.write(
        args.out, "FD-own at each number of steps",
        ("milliseconds a picture, one processor", "FD-own"), series,
    )
