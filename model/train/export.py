"""`export`: the trained parts as one folder that diffusers and the service load."""

import filecmp
import json
import os
import shutil
from pathlib import Path

from diffusers import DDIMScheduler

from . import autoencoder, flow, study, text
from .network import Network, load_tokenizer, write_bundle

# The rectified models carry guidance inside and are made for few steps: what is added to the
# name of the base, and their steps.
DISTILLED = {"rectify": ("rectified", 4), "consist": ("consistent", 4)}
ORIGIN = {"_name_or_path", "local_files_only"}
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


def forget_origin(folder: Path) -> None:
    """diffusers and transformers write into the configs whence a part was loaded."""
    for path in folder.glob("**/*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, dict) and ORIGIN & config.keys():
            for name in ORIGIN:
                config.pop(name, None)
            path.write_text(
                json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )


def is_same(folder: Path, other: Path) -> bool:
    names = sorted(path.name for path in folder.iterdir())
    if not other.is_dir() or names != sorted(path.name for path in other.iterdir()):
        return False
    return filecmp.cmpfiles(folder, other, names, shallow=False)[0] == names


def link_same(folder: Path, base: Path) -> None:
    """Parts that are the base's, byte for byte, become links to it."""
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        if is_same(part, base / part.name):
            shutil.rmtree(part)
            part.symlink_to(os.path.relpath(base / part.name, folder))
            print(f"{part.name}: a link to the base's")


def settings_of(base: Path, stage: str) -> dict | None:
    """sluice.json of what was trained from `base`; None where that has none."""
    path = base / "sluice.json"
    if not path.is_file():
        return None
    settings = json.loads(path.read_text(encoding="utf-8"))
    if stage in DISTILLED:
        suffix, steps = DISTILLED[stage]
        settings |= {"name": f"{settings['name']}-{suffix}", "guidance": 1.0, "steps": steps}
    return settings


def export(args) -> None:
    is_distilled = args.stage in DISTILLED
    write_bundle(
        args.out, args.base, trained_network(args), autoencoder.trained(args.work, args.base),
        is_distilled, diffusion_scheduler() if args.stage == DIFFUSION else None,
    )
    forget_origin(args.out)
    if args.share:
        link_same(args.out, args.base)
    settings = settings_of(args.base, args.stage)
    if settings is not None:
        (args.out / "sluice.json").write_text(json.dumps(settings, indent=2) + "\n")
    if not is_distilled and (args.base / "README.md").is_file():
        shutil.copy(args.base / "README.md", args.out / "README.md")
    print(f"wrote {args.out}")
