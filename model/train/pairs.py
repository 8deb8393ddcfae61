"""Pairs of noise and the latent that the model makes of it: what `rectify` learns from.

Files pairs/PREFIX-NNNNN.pt in the work folder, each of one size; PREFIX names the weights
and the way that made them, so that pairs of different models never mix.
"""

import random
from pathlib import Path

import torch

from . import captions, sampler
from .drawings import SIZES, Drawings
from .network import CHANNELS, Network, grid_of, tokenize
from .run import Run, autocast, save_atomically
from .training import digest_of

STEPS = 12
SOLVER = "ab2"
COUNT = 64  # pairs of 128x128 in a file; as many tokens of other sizes
SIZE_WEIGHTS = (24, 2, 2, 1, 2, 2, 1, 1)


class Pairs:
    def __init__(
        self, work: Path, network: Network, tokenizer, guidance: float, weights=None
    ):
        self.weights = weights or SIZE_WEIGHTS
        self.folder = work / "pairs"
        self.network = network
        self.tokenizer = tokenizer
        self.guidance = guidance
        self.prefix = f"{digest_of(network.parameters())}-g{guidance:g}-{SOLVER}{STEPS}"
        self.drawings = Drawings(work)
        self.files = sorted(self.folder.glob(f"{self.prefix}-*.pt"))
        self.count = sum(len(self._load(path)["x"]) for path in self.files)
        self._cache: list[dict] = []

    @staticmethod
    def _load(path: Path) -> dict:
        return torch.load(path, weights_only=True)

    @torch.no_grad()
    def make(self, wanted: int, minutes: float) -> float:
        """Adds files until `wanted` pairs are there or the box is used up; the minutes used."""
        self.network.eval()
        run = Run("pairs", minutes)
        if self.count >= wanted:
            return 0.0
        random.seed(f"{self.prefix} {len(self.files)}")
        torch.manual_seed(len(self.files))
        for _ in run.steps():
            size = random.choices(SIZES, self.weights)[0]
            count = max(8, COUNT * 128 * 128 // (size[0] * size[1]))
            entries = [self.drawings.entries[i] for i in self.drawings.draw(min(count, 128))]
            prompts = [captions.caption(entry, random) for entry in entries]
            ids, mask = tokenize(self.tokenizer, prompts)
            height, width = grid_of(size)
            noise = torch.randn(len(prompts), height * width, CHANNELS)
            with autocast():
                velocity = sampler.Guided(
                    self.network, (ids, mask, *tokenize(self.tokenizer, [""])),
                    self.guidance, (height, width),
                )
                solve, _ = sampler.SOLVERS[SOLVER]
                x = solve(velocity, noise, sampler.times(STEPS))
            path = self.folder / f"{self.prefix}-{len(self.files):05d}.pt"
            save_atomically(
                {"x": x.half(), "noise": noise.half(), "ids": ids, "mask": mask,
                 "size": list(size)}, path,
            )
            self.files.append(path)
            self.count += len(prompts)
            run.show(pairs=str(self.count))
            if self.count >= wanted:
                run.stopped = True
        return run.used / 60

    def draw(self, count: int):
        """(x, noise, ids, mask, size) of at most `count` pairs of one size."""
        if len(self._cache) < len(self.files):
            self._cache = [self._load(path) for path in self.files]
        file = random.choice(self._cache)
        rows = torch.randperm(len(file["x"]))[:count]
        return (
            file["x"][rows].float(), file["noise"][rows].float(), file["ids"][rows],
            file["mask"][rows], tuple(file["size"]),
        )
