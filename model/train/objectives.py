"""What the transformer and its text encoder learn: one row of OBJECTIVES for each command.

A batch holds x (t = 0), noise (t = 1), the prompts' ids and mask and the grid; an objective
makes a loss of it. The path between is straight: z = (1-t) x + t noise, v = noise - x.
"""

import math
import random
from dataclasses import dataclass

import torch

from . import captions, sampler
from .drawings import SIZES
from .latents import Latents
from .network import Network, grid_of, tokenize
from .pairs import Pairs
from .run import autocast

NO_CAPTION = 0.1  # of the samples: classifier-free guidance needs them
# Of the logit of t. Which of some thousand drawings it is to be is decided above 0.85, where
# the caption tells more than the noise does; the spread keeps what the last steps need.
TIME_MEAN, TIME_SPREAD = 1.1, 1.4
FEW_STEPS = {"rectify": (4, 8), "consist": (1, 2, 4)}
LAST_TIME = 0.99  # of the diffusion: at 1 nothing is left of x to predict it from
STEPS = 1000  # of the diffusion's discrete times
QUARTER, OFFSET = math.pi / 2, 0.008
COSINE_START = math.cos(QUARTER * OFFSET / (1 + OFFSET))
TOKENS = 32 * 64  # of image in a step
LARGEST_BATCH = 96
SIZE_WEIGHTS = (10, 3, 2, 1, 2, 2, 1, 1)


@dataclass
class Batch:
    x: torch.Tensor
    noise: torch.Tensor
    ids: torch.Tensor
    mask: torch.Tensor
    grid: tuple[int, int]

    def between(self, t: torch.Tensor) -> torch.Tensor:
        t = t[:, None, None]
        return (1 - t) * self.x + t * self.noise

    def part(self, rows: slice) -> "Batch":
        return Batch(self.x[rows], self.noise[rows], self.ids[rows], self.mask[rows], self.grid)


def batch_size(size: tuple[int, int]) -> int:
    height, width = grid_of(size)
    return min(LARGEST_BATCH, TOKENS // (height * width))


class DrawingBatches:
    """Batches of encoded drawings with new captions and new noise each time."""

    def __init__(self, latents: Latents, tokenizer, weights=None):
        self.weights = weights or SIZE_WEIGHTS
        self.latents = latents
        self.drawings = latents.drawings
        self.tokenizer = tokenizer

    def draw(self) -> Batch:
        size = random.choices(SIZES, self.weights)[0]
        count = batch_size(size)
        indices = self.drawings.draw(count)
        mirror = (torch.rand(count) < 0.5) & self.drawings.mirrored[indices]
        x = self.latents.tokens(indices, size, mirror)
        prompts = [
            captions.caption(self.drawings.entries[i], random)
            if random.random() > NO_CAPTION else ""
            for i in indices.tolist()
        ]
        ids, mask = tokenize(self.tokenizer, prompts)
        return Batch(x, torch.randn_like(x), ids, mask, grid_of(size))


class PairBatches:
    def __init__(self, pairs: Pairs, count: int):
        self.pairs = pairs
        self.count = count

    def draw(self) -> Batch:
        x, noise, ids, mask, size = self.pairs.draw(self.count)
        return Batch(x, noise, ids, mask, grid_of(size))


def logit_normal(count: int) -> torch.Tensor:
    return torch.sigmoid(TIME_SPREAD * torch.randn(count) + TIME_MEAN)


def both_ends(count: int) -> torch.Tensor:
    """Density proportional to exp(4t) + exp(4(1-t)): RF++ (arXiv 2405.20320)."""
    near_one = 1 + torch.log(1 - torch.rand(count) * (1 - math.exp(-4))) / 4
    return torch.where(torch.rand(count) < 0.5, near_one, 1 - near_one)


def distance(v: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[B]: the root of the mean square, pseudo-Huber, less swayed by hopeless pairs."""
    return ((v.float() - target).square().mean((1, 2)) + 1e-4).sqrt()


def flow(network: Network, batch: Batch) -> torch.Tensor:
    """Flow matching (arXiv 2210.02747) on the path of noise and drawing."""
    t = logit_normal(len(batch.x))
    with autocast():
        v = network(batch.between(t), t, batch.ids, batch.mask, batch.grid)
    return (v.float() - (batch.noise - batch.x)).square().mean()


def as_sampled(count: int) -> torch.Tensor:
    """Uniform on the time grid that is sampled, which is shifted."""
    return torch.tensor([sampler.shifted(u) for u in torch.rand(count).tolist()])


def straight(network: Network, batch: Batch, t: torch.Tensor) -> torch.Tensor:
    """Reflow (arXiv 2209.03003): the straight line between the ends of a curved path."""
    with autocast():
        v = network(batch.between(t), t, batch.ids, batch.mask, batch.grid)
    return distance(v, batch.noise - batch.x).mean()


def walked(network: Network, batch: Batch, few: tuple[int, ...]) -> torch.Tensor:
    """Wherever the network's own few steps have led, it points at the path's end.

    The batch is taken some steps along a schedule of few Euler steps by the network itself,
    without gradients; the next velocity there must lead to x: a consistency model along its
    own trajectory, with the end known from the pair. The error counts as it moves the
    picture, by t.
    """
    grid = sampler.times(random.choice(few))
    stop = random.randrange(len(grid) - 1)
    with autocast():
        context = network.context(batch.ids, batch.mask)
        with torch.no_grad():
            z = sampler.euler(
                lambda x, t: network.velocity(
                    x, torch.full((len(x),), t), context, batch.grid
                ).float(),
                batch.noise, grid[: stop + 1],
            )
        t = grid[stop]
        v = network.velocity(z, torch.full((len(z),), t), context, batch.grid)
    return (t * distance(v, (z - batch.x) / t)).mean()


def reflow(network: Network, batch: Batch) -> torch.Tensor:
    """Nothing but straight lines, as the study compares them."""
    return straight(network, batch, both_ends(len(batch.x)))


def rectify(network: Network, batch: Batch) -> torch.Tensor:
    """Half of the batch on straight lines, where they are sampled; half where 4 and 8 of
    its own steps lead."""
    half = len(batch.x) // 2
    return straight(network, batch.part(slice(half)), as_sampled(half)) + walked(
        network, batch.part(slice(half, None)), FEW_STEPS["rectify"]
    )


def consist(network: Network, batch: Batch) -> torch.Tensor:
    """The same, led by its own 1, 2 and 4 steps."""
    half = len(batch.x) // 2
    return straight(network, batch.part(slice(half)), both_ends(half)) + walked(
        network, batch.part(slice(half, None)), FEW_STEPS["consist"]
    )


def cosine(u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(a, s) of z = a x + s noise at the diffusion's own time u = k / 1000: diffusers'
    squaredcos_cap_v2 (arXiv 2102.09672, eq. 17), between its times too."""
    a = torch.cos(QUARTER * (u + 1 / STEPS + OFFSET) / (1 + OFFSET)) / COSINE_START
    return a, (1 - a * a).clamp_min(0).sqrt()


def cosine_time(t: torch.Tensor) -> torch.Tensor:
    """The diffusion's time at which the flow stands at t: s / a = t / (1 - t)."""
    a = (1 - t) / torch.hypot(t, 1 - t)
    u = torch.acos(a * COSINE_START) / QUARTER * (1 + OFFSET) - OFFSET - 1 / STEPS
    return u.clamp(0, LAST_TIME)


def diffusion(network: Network, batch: Batch) -> torch.Tensor:
    """The noise is predicted, at times of a cosine schedule (arXiv 2102.09672): what the
    study compares the flow with."""
    u = LAST_TIME * torch.rand(len(batch.x))
    a, s = (value[:, None, None] for value in cosine(u))
    with autocast():
        noise = network(a * batch.x + s * batch.noise, u, batch.ids, batch.mask, batch.grid)
    return (noise.float() - batch.noise).square().mean()


OBJECTIVES = {
    "flow": flow, "rectify": rectify, "consist": consist, "reflow": reflow, "diffusion": diffusion,
}
