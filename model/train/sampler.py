"""Time is stepped here as `sampler/` of the service does it, for whole batches.

Times run from 1 (noise) to 0 (picture). A solver asks `velocity(x, t)`; x is [B, N, C], t a
number. `SOLVERS` says what each costs in evaluations.
"""

import math

import torch

from .network import CHANNELS, Network, grid_of

SHIFT = 3.0


def shifted(t: float, shift: float = SHIFT) -> float:
    return shift * t / (1 + (shift - 1) * t)


def times(steps: int, shift: float = SHIFT) -> list[float]:
    """steps + 1 times, shifted as SD3 does (arXiv 2403.03206, eq. 23)."""
    return [shifted(1 - i / steps, shift) for i in range(steps)] + [0.0]


def euler(velocity, x, grid):
    for t, after in zip(grid, grid[1:]):
        x = x + (after - t) * velocity(x, t)
    return x


def midpoint(velocity, x, grid):
    for t, after in zip(grid, grid[1:]):
        half = (t + after) / 2
        middle = x + (half - t) * velocity(x, t)
        x = x + (after - t) * velocity(middle, half)
    return x


def heun(velocity, x, grid):
    """The last step is Euler's: the field is not trained at t = 0."""
    for t, after in zip(grid, grid[1:]):
        v = velocity(x, t)
        ahead = x + (after - t) * v
        if after > 0:
            v = (v + velocity(ahead, after)) / 2
            ahead = x + (after - t) * v
        x = ahead
    return x


def ab2(velocity, x, grid):
    """Adams-Bashforth of order 2 with variable steps; the first step is Euler's."""
    before = width = None
    for t, after in zip(grid, grid[1:]):
        v = velocity(x, t)
        step = after - t
        slope = v if before is None else v + step / (2 * width) * (v - before)
        x = x + step * slope
        before, width = v, step
    return x


def dpmpp_2m(velocity, x, grid):
    """DPM-Solver++(2M) on the linear path; of first order where lambda is not finite."""
    before = width = None
    for t, after in zip(grid, grid[1:]):
        picture = x - t * velocity(x, t)
        if t >= 1 or after <= 0:
            x = picture + after / t * (x - picture)
            before, width = (picture, None) if after > 0 else (None, None)
            continue
        step = math.log((1 - after) / after) - math.log((1 - t) / t)
        ahead = picture
        if before is not None and width is not None:
            ahead = picture + step / (2 * width) * (picture - before)
        x = after / t * x - (1 - after) * math.expm1(-step) * ahead
        before, width = picture, step
    return x


# Each solver with its evaluations for N steps.
SOLVERS = {
    "euler": (euler, lambda n: n),
    "ab2": (ab2, lambda n: n),
    "dpmpp_2m": (dpmpp_2m, lambda n: n),
    "midpoint": (midpoint, lambda n: 2 * n),
    "heun": (heun, lambda n: 2 * n - 1),
}


class Guided:
    """The velocity of a network under classifier-free guidance, for one batch.

    At guidance 1 the negative context is not evaluated.
    """

    def __init__(self, network: Network, prompts, guidance: float, grid):
        """`prompts` and the empty prompt are (ids, mask) of the same batch."""
        self.network = network
        self.guidance = guidance
        self.grid = grid
        ids, mask, empty_ids, empty_mask = prompts
        self.context = network.context(ids, mask)
        self.calls = 0
        if guidance != 1:
            empty = network.context(empty_ids, empty_mask).expand_as(self.context)
            self.context = torch.cat([self.context, empty])

    def __call__(self, x: torch.Tensor, t: float) -> torch.Tensor:
        self.calls += 1
        if self.guidance == 1:
            return self._velocity(x, t)
        with_prompt, without = self._velocity(torch.cat([x, x]), t).chunk(2)
        return without + self.guidance * (with_prompt - without)

    def _velocity(self, x, t):
        all_t = torch.full((len(x),), t)
        return self.network.velocity(x, all_t, self.context, self.grid).float()


def noise(count: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    height, width = grid_of(size)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, height * width, CHANNELS, generator=generator)
