"""`export`: the trained parts as one folder that diffusers and the service load."""

import json
import shutil

from diffusers import DDIMScheduler

from . import autoencoder, flow, study, text
from .network import Network, load_tokenizer, write_bundle

SIDE_FILES = ("sluice.json", "README.md")
# The rectified models carry guidance inside and are made for few steps.
DISTILLED_STEPS = {"rectify": 8, "consist": 4}
# The study's diffusion model, whose folder says how it was trained.
DIFFUSION = "diffusion"


def diffusion_scheduler() -> DDIMScheduler:
    """That of objectives.diffusion, whose latents may not be clipped as pixels are."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="epsilon", clip_sample=False
    )


def trained_network(args) -> Network:
    in_study = args.stage == DIFFUSION
    path = (args.work / "study" if in_study else args.work) / f"{args.stage}.pt"
    if not path.is_file():
        command = "study" if in_study else args.stage
        raise SystemExit(f"{path} is not there: run `{command}` first")
    if not in_study:
        return flow.trained(args.work, args.base, args.stage)
    base = text.trained(args.work, args.base)
    return study.small_network(load_tokenizer(args.base), base, path)


def export(args) -> None:
    network = trained_network(args)
    steps = DISTILLED_STEPS.get(args.stage)
    write_bundle(
        args.out, args.base, network, autoencoder.trained(args.work, args.base),
        steps is not None, diffusion_scheduler() if args.stage == DIFFUSION else None,
    )
    for name in SIDE_FILES:
        if (args.base / name).is_file():
            shutil.copy(args.base / name, args.out / name)
    if steps is not None and (args.out / "sluice.json").is_file():
        settings = json.loads((args.out / "sluice.json").read_text())
        settings |= {"guidance": 1.0, "steps": steps}
        (args.out / "sluice.json").write_text(json.dumps(settings, indent=2) + "\n")
    print(f"wrote {args.out}")
