"""`export`: the trained parts as one folder that diffusers and the service load."""

import json
import shutil

from . import autoencoder, flow
from .network import write_bundle

SIDE_FILES = ("sluice.json", "README.md")
# The rectified models carry guidance inside and are made for few steps.
DISTILLED = {"flow": False, "rectify": True, "consist": True}
DISTILLED_STEPS = {"rectify": 8, "consist": 4}


def export(args) -> None:
    path = args.work / f"{args.stage}.pt"
    if not path.is_file():
        raise SystemExit(f"{path} is not there: run `{args.stage}` first")
    distilled = DISTILLED[args.stage]
    write_bundle(
        args.out, args.base, flow.trained(args.work, args.base, args.stage),
        autoencoder.trained(args.work, args.base), distilled,
    )
    for name in SIDE_FILES:
        if (args.base / name).is_file():
            shutil.copy(args.base / name, args.out / name)
    if distilled and (args.out / "sluice.json").is_file():
        settings = json.loads((args.out / "sluice.json").read_text())
        settings |= {"guidance": 1.0, "steps": DISTILLED_STEPS[args.stage]}
        (args.out / "sluice.json").write_text(json.dumps(settings, indent=2) + "\n")
    print(f"wrote {args.out}")
