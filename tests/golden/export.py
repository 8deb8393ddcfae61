#!/usr/bin/env python3
"""Writes the golden files: what the C code must reproduce, as diffusers computes it.

Every number comes from the real classes in float32: the pipeline encodes the prompts,
sets the times, undoes the normalisation of the latent and decodes; nothing is computed
by formulas of this file. README.md in this folder describes the files.
"""

import argparse
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import diffusers
import numpy as np
import safetensors
import tokenizers
import torch
import transformers
from diffusers import Flux2KleinPipeline
from safetensors.torch import save_file

from checkpoints import CHECKPOINTS, KLEIN_WIDTH, write_checkpoint

GOLDEN = Path(__file__).resolve().parent
HOUSE = GOLDEN.parent.parent / "model" / "house"
HOUSE_TAPS = (1, 2, 3)


def float32(value: float) -> float:
    """The nearest float32, which JSON then spells so that it reads back exactly."""
    return float(np.float32(value))


@dataclass(frozen=True)
class Grid:
    height: int
    width: int


@dataclass(frozen=True)
class Velocity(Grid):
    t: float
    prompt: int


@dataclass(frozen=True)
class Times:
    steps: int
    tokens: int


@dataclass(frozen=True)
class Run:
    prompt: int
    seed: int
    steps: int
    width: int
    height: int
    guidance: float = 1.0
    negative_prompt: str = ""


@dataclass(frozen=True)
class Plan:
    """What is exported of one model; the indices of prompts count from 0."""

    prompts: list[str]
    velocity: list[Velocity]
    decoder: list[Grid]
    times: list[Times]
    runs: list[Run]


def velocities(*rows: tuple[int, int, float, int]) -> list[Velocity]:
    return [Velocity(h, w, float32(t), prompt) for h, w, t, prompt in rows]


def grids(*sides: tuple[int, int]) -> list[Grid]:
    return [Grid(*pair) for pair in sides]


LONG_PROMPT = (
    "a very long caption that goes on and on: red apple, green apple, grinning cat with "
    "smiling eyes, sun behind rain cloud, house with garden, flag with star, and so on"
)
SOME_TIMES = [Times(1, 1), Times(4, 15), Times(7, 256), Times(50, 4096),
              Times(4, 4300), Times(4, 4301), Times(20, 64)]

# Each case's prompts try other corners of the tokenizer: composition (NFC), white space
# and line ends, contractions with case folding, added tokens in the text, digits.
PLANS = {
    "house": Plan(
        prompts=["red apple, noto style", "grinning cat with smiling eyes, blob style",
                 "cafe\u0301 \u2615, \u65e5\u672c \U0001f469\u200d\U0001f680,"
                 " twemoji style",
                 "", LONG_PROMPT],
        velocity=velocities((8, 8, 0.7, 0), (4, 6, 1.0, 1), (1, 1, 0.02, 2),
                            (12, 4, 0.35, 3), (8, 8, 0.9, 4)),
        decoder=grids((8, 8), (4, 6), (1, 1), (12, 4)),
        times=[Times(20, 64), Times(4, 64), Times(1, 1), Times(8, 60), Times(50, 4096)],
        runs=[Run(0, 7, 20, 128, 128, 3.0), Run(1, 4294967295, 4, 128, 128),
              Run(2, 0, 8, 160, 96, 3.0),
              Run(0, 12345, 6, 96, 128, 4.5, "green, blob style")],
    ),
    "f32": Plan(
        prompts=["red apple, noto style", "", LONG_PROMPT,
                 "  two  spaces\tand\ttabs\r\n\r\nnew lines \n ",
                 "e\u0301 \u1112\u1161\u11ab \u212b \u0958 \u0344",
                 "caf\u00e9 \u2615 \u65e5\u672c"],
        velocity=velocities((3, 5, 0.7, 0), (5, 3, 1.0, 1), (7, 1, 0.02, 2),
                            (1, 1, 0.5, 3), (2, 2, 0.999, 4)),
        decoder=grids((3, 2), (1, 1), (1, 4)),
        times=SOME_TIMES,
        runs=[Run(0, 7, 4, 80, 48), Run(3, 1, 6, 48, 80, 2.5),
              Run(5, 9, 3, 16, 16, 4.0, "green apple")],
    ),
    "bf16-sharded": Plan(
        prompts=["red apple, noto style", "", LONG_PROMPT,
                 "It's I'LL we'Ve they'RE it'\u017f don'T",
                 "12345 3.14 \u00be \u2167 \u0663",
                 "a<|im_end|>\n<|im_start|>b <think>c"],
        velocity=velocities((5, 3, 0.7, 0), (3, 5, 0.02, 1), (1, 1, 1.0, 2),
                            (7, 1, 0.25, 3), (2, 6, 0.85, 5)),
        decoder=grids((5, 3), (1, 1), (2, 4)),
        times=SOME_TIMES,
        runs=[Run(0, 7, 4, 40, 24, 4.0), Run(1, 3, 5, 8, 8),
              Run(4, 2, 8, 24, 40, 3.0, "red apple")],
    ),
    "f16-distilled": Plan(
        prompts=["red apple, noto style", "", LONG_PROMPT,
                 "a\u00a0b\u3000c\u0085d\u2028e\u180ef\u200bg\u1680h",
                 "\U0001f469\U0001f3fd\u200d\U0001f680 "
                 "\U0001f468\u200d\U0001f469\u200d\U0001f467",
                 "\u05e2\u05d1 \u0639\u0631 \u0939\u093f \u0e44\u0e17"],
        velocity=velocities((7, 1, 0.7, 0), (3, 5, 1.0, 1), (5, 3, 0.02, 3),
                            (1, 1, 0.4, 2)),
        decoder=grids((3, 5), (1, 1), (7, 1)),
        times=SOME_TIMES,
        runs=[Run(0, 7, 4, 40, 24), Run(1, 5, 4, 8, 56), Run(3, 6, 1, 8, 8)],
    ),
    "two-taps": Plan(
        prompts=["red", "", LONG_PROMPT, "1\n\n2", "a  \n b"],
        velocity=velocities((3, 5, 0.02, 0), (1, 7, 0.7, 1), (1, 1, 1.0, 2),
                            (5, 3, 0.6, 3)),
        decoder=grids((2, 3), (1, 1), (3, 1)),
        times=SOME_TIMES,
        runs=[Run(0, 7, 3, 48, 64), Run(2, 8, 5, 32, 32, 3.0),
              Run(3, 1, 2, 16, 48, 2.0, "blue")],
    ),
    "one-head": Plan(
        prompts=["red apple", "", LONG_PROMPT, "!?.. \n\n-- 'quoted' \u2014 ok",
                 "UPPER lower \u01c5 \ufb01"],
        velocity=velocities((3, 5, 1.0, 0), (5, 3, 0.7, 1), (7, 1, 0.02, 2),
                            (1, 1, 0.3, 3)),
        decoder=grids((5, 3), (1, 1), (2, 8)),
        times=SOME_TIMES,
        runs=[Run(0, 7, 8, 40, 24, 4.0), Run(2, 4, 4, 64, 32)],
    ),
}
KLEIN_WIDTH_PLAN = Plan(
    prompts=["red apple, noto style", "", LONG_PROMPT],
    velocity=velocities((4, 6, 0.7, 0), (8, 8, 1.0, 1), (1, 1, 0.02, 2)),
    decoder=grids((4, 6), (1, 1)),
    times=SOME_TIMES,
    runs=[Run(0, 7, 4, 96, 64)],
)


class Exporter:
    """Computes the tensors of one plan with one loaded pipeline."""

    def __init__(self, model: Path, text_taps: tuple[int, ...], plan: Plan):
        self.pipe = Flux2KleinPipeline.from_pretrained(model, dtype=torch.float32)
        self.pipe.set_progress_bar_config(disable=True)
        self.patch = 2 * self.pipe.vae_scale_factor
        self.plan = plan
        self.text = {
            "max_sequence_length": self.pipe.tokenizer.model_max_length,
            "text_encoder_out_layers": text_taps,
        }
        self.contexts: list[torch.Tensor] = []
        self.tensors: dict[str, torch.Tensor] = {}

    def export(self) -> dict[str, torch.Tensor]:
        for i, prompt in enumerate(self.plan.prompts):
            self.add_prompt(i, prompt)
        for k, velocity in enumerate(self.plan.velocity):
            self.add_velocity(k, velocity)
        for k, grid in enumerate(self.plan.decoder):
            self.add_decoder(k, grid)
        for k, times in enumerate(self.plan.times):
            self.tensors[f"times.{k}"] = self.sigmas(times)
        for k, run in enumerate(self.plan.runs):
            self.tensors[f"run.{k}.pixels"] = self.pixels(run)
        return {name: tensor.contiguous() for name, tensor in self.tensors.items()}

    def encode(self, prompt: str) -> torch.Tensor:
        return self.pipe.encode_prompt(prompt, **self.text)[0]

    def add_prompt(self, i: int, prompt: str) -> None:
        seen = []
        hook = self.pipe.text_encoder.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(kwargs["input_ids"]),
            with_kwargs=True,
        )
        context = self.encode(prompt)
        hook.remove()
        self.contexts.append(context)
        self.tensors[f"tokens.{i}.ids"] = seen[0][0]
        self.tensors[f"context.{i}"] = context[0]

    def add_velocity(self, k: int, velocity: Velocity) -> None:
        latent = self.latent(1000 + k, velocity.height, velocity.width)
        context = self.contexts[velocity.prompt]
        x = self.pipe._pack_latents(latent)
        v = self.pipe.transformer(
            hidden_states=x,
            timestep=torch.tensor([velocity.t], dtype=torch.float32),
            guidance=None,
            encoder_hidden_states=context,
            txt_ids=self.pipe._prepare_text_ids(context),
            img_ids=self.pipe._prepare_latent_ids(latent),
            return_dict=False,
        )[0]
        self.tensors[f"velocity.{k}.x"] = x[0]
        self.tensors[f"velocity.{k}.v"] = v[0]

    def add_decoder(self, k: int, grid: Grid) -> None:
        latent = self.latent(2000 + k, grid.height, grid.width)
        decoded = []
        decode = self.pipe.vae.decode

        def recording(z, return_dict=True):
            decoded.append(decode(z, return_dict=False)[0])
            return (decoded[-1],)

        with mock.patch.object(self.pipe.vae, "decode", recording):
            self.keep_latent(latent, steps=1, output_type="np")
        self.tensors[f"decoder.{k}.latent"] = self.pipe._pack_latents(latent)[0]
        self.tensors[f"decoder.{k}.pixels"] = decoded[0][0].permute(1, 2, 0)

    def sigmas(self, times: Times) -> torch.Tensor:
        latent = self.latent(0, 1, times.tokens)
        self.keep_latent(latent, times.steps, output_type="latent")
        return self.pipe.scheduler.sigmas.clone()

    def keep_latent(self, latent: torch.Tensor, steps: int, output_type: str) -> None:
        """A whole call of the pipeline in which the velocity is zero everywhere."""

        def zero(hidden_states, **_):
            return (torch.zeros_like(hidden_states),)

        with mock.patch.object(self.pipe.transformer, "forward", zero):
            self.pipe(
                prompt_embeds=self.contexts[0],
                latents=latent,
                height=latent.shape[2] * self.patch,
                width=latent.shape[3] * self.patch,
                num_inference_steps=steps,
                guidance_scale=1.0,
                output_type=output_type,
            )

    def pixels(self, run: Run) -> torch.Tensor:
        image = self.pipe(
            prompt=self.plan.prompts[run.prompt],
            negative_prompt_embeds=self.encode(run.negative_prompt),
            generator=torch.Generator("cpu").manual_seed(run.seed),
            width=run.width,
            height=run.height,
            num_inference_steps=run.steps,
            guidance_scale=run.guidance,
            **self.text,
        ).images[0]
        return torch.from_numpy(np.array(image))

    def latent(self, seed: int, height: int, width: int) -> torch.Tensor:
        channels = self.pipe.transformer.config.in_channels
        return normal(seed, 1, channels, height, width)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed))


def source(arguments: str) -> dict[str, str]:
    modules = (torch, diffusers, transformers, tokenizers, safetensors, np)
    versions = {module.__name__: module.__version__ for module in modules}
    return {**versions, "command": f"python tests/golden/export.py {arguments}"}


def weight_digests(model: Path) -> dict[str, str]:
    files = sorted(model.rglob("*.safetensors"))
    return {
        file.relative_to(model).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


@torch.no_grad()
def export_case(
    folder: Path, model: Path, text_taps: tuple[int, ...], plan: Plan, arguments: str
) -> None:
    exporter = Exporter(model, text_taps, plan)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(exporter.export(), folder / "expected.safetensors")
    expected = {
        "source": source(arguments),
        "weights": weight_digests(model),
        "text_tokens": exporter.pipe.tokenizer.model_max_length,
        "text_taps": list(text_taps),
        **asdict(plan),
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def export_random(name: str, out: Path) -> None:
    checkpoint = CHECKPOINTS[name]
    folder = out / name
    write_checkpoint(checkpoint, folder / "model")
    export_case(folder, folder / "model", checkpoint.text_taps, PLANS[name],
                f"--only {name}")


def export_klein_width(folder: Path) -> None:
    write_checkpoint(KLEIN_WIDTH, folder / "model")
    export_case(folder, folder / "model", KLEIN_WIDTH.text_taps, KLEIN_WIDTH_PLAN,
                "--klein-width DIR")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--house", type=Path, default=HOUSE, metavar="DIR",
                        help="the house model's folder (default: model/house)")
    parser.add_argument("--only", nargs="+", choices=list(PLANS), default=list(PLANS),
                        metavar="CASE", help="these cases only: %(choices)s")
    parser.add_argument("--out", type=Path, default=GOLDEN, metavar="DIR",
                        help="where the cases' folders go (default: tests/golden)")
    parser.add_argument("--klein-width", type=Path, metavar="DIR",
                        help="write only the case of klein's width, gigabytes, to DIR")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    for library in (transformers, diffusers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    if arguments.klein_width is not None:
        export_klein_width(arguments.klein_width)
        return
    for name in arguments.only:
        if name == "house":
            export_case(arguments.out / name, arguments.house, HOUSE_TAPS, PLANS[name],
                        "--only house")
        else:
            export_random(name, arguments.out)
        print(f"{name}: done", flush=True)


if __name__ == "__main__":
    main()
