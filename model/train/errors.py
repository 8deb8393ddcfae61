"""`errors`: the mean squared error of a model's velocity, by time and by caption.

What the right caption saves over another drawing's says how far captions are followed; the
held-out drawings beside those of the training say how much is learned by heart.
Pictures are 128x128; the noise, drawings and captions of a seed are the same at all times.
"""

import random

import torch

from . import captions, measures
from .drawings import Drawings
from .evaluate import SIZE, Model
from .latents import Latents
from .network import grid_of, tokenize
from .run import Run, autocast

TIMES = (0.99, 0.95, 0.9, 0.8, 0.65, 0.4, 0.2)
COLUMNS = ("error", "saved over another's", "saved over none")
SETS = ("training", "held out")
SEEDS = (1, 2, 3)
BATCH = 32


class Sample:
    """Drawings of one set by one seed, with noise and the three ways of captioning them."""

    def __init__(self, model: Model, latents: Latents, name: str, count: int, seed: int):
        self.model = model
        drawings = latents.drawings
        generator = torch.Generator().manual_seed(seed)
        rng = random.Random(seed)
        draw = drawings.draw if name == "training" else drawings.draw_held_out
        indices = draw(count, generator)
        self.x = latents.tokens(indices, SIZE, torch.zeros(len(indices), dtype=torch.bool))
        self.noise = torch.randn(self.x.shape, generator=generator)
        right = [captions.caption(drawings.entries[i], rng) for i in indices.tolist()]
        self.prompts = (right, right[1:] + right[:1], [""] * len(right))

    @torch.no_grad()
    def _error(self, t: float, prompts: list[str]) -> float:
        ids, mask = tokenize(self.model.tokenizer, prompts)
        total = 0.0
        for rows in torch.arange(len(self.x)).split(BATCH):
            x, noise = self.x[rows], self.noise[rows]
            with autocast():
                v = self.model.network(
                    (1 - t) * x + t * noise, torch.full((len(x),), t), ids[rows],
                    mask[rows], grid_of(SIZE),
                )
            total += (v.float() - (noise - x)).square().mean((1, 2)).sum().item()
        return total / len(self.x)

    def row(self, t: float) -> tuple[float, float, float]:
        """COLUMNS: the error with the right caption, and what that saved."""
        right, other, none = (self._error(t, prompts) for prompts in self.prompts)
        return right, other - right, none - right


def markdown(values: dict[tuple, dict[str, float]]) -> str:
    """`values`: (set, column, time) -> mean and half width."""
    heads = [f"{name}: {column}" for name in SETS for column in COLUMNS]
    lines = ["| t | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for t in TIMES:
        cells = (
            measures.spelled(values[name, column, t]) for name in SETS for column in COLUMNS
        )
        lines.append(f"| {t:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def errors(args) -> None:
    model = Model(args.model, 1.0)
    latents = Latents(Drawings(args.work), model.autoencoder)
    run = Run("errors", args.minutes)
    known: dict[tuple, list[float]] = {}
    work = [(name, seed) for name in SETS for seed in SEEDS]
    for step in run.steps(len(work)):
        name, seed = work[step]
        sample = Sample(model, latents, name, args.count, seed)
        for t in TIMES:
            for column, value in zip(COLUMNS, sample.row(t)):
                known.setdefault((name, column, t), []).append(value)
    if step + 1 < len(work):
        raise SystemExit(f"{args.minutes:g} minutes were not enough: give --minutes more")
    print(markdown({key: measures.interval(row) for key, row in known.items()}))
