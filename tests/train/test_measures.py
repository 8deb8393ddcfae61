#!/usr/bin/env python3
"""The distances against values known in closed form, and the solvers against their orders."""

import math
import unittest

import needs

needs.packages("torch", "diffusers", "transformers")

import torch

from model.train import export, measures, objectives, sampler, study


def normal(count, size, seed, mean=0.0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return mean + spread * torch.randn(count, size, generator=generator, dtype=torch.float64)


class Distances(unittest.TestCase):
    def test_frechet_of_gaussians(self):
        # |m - n|^2 + sum (s - r)^2 for covariances that are multiples of the identity.
        x, y = normal(200000, 3, 1), normal(200000, 3, 2, mean=1.0, spread=2.0)
        self.assertAlmostEqual(measures.frechet(x, y), 3 * 1.0 + 3 * 1.0, delta=0.05)
        self.assertAlmostEqual(measures.frechet(x, x), 0.0, delta=1e-9)

    def test_frechet_sees_correlation(self):
        x = normal(50000, 2, 1)
        turn = torch.tensor([[1.0, 0.9], [0.0, math.sqrt(1 - 0.81)]], dtype=torch.float64)
        # Both have unit variances: tr (I + D - 2 D^1/2), D's eigenvalues 1 +- 0.9.
        expected = 4 - 2 * (math.sqrt(1.9) + math.sqrt(0.1))
        self.assertAlmostEqual(measures.frechet(x, x @ turn), expected, delta=0.03)

    def test_kernel_distance_is_unbiased(self):
        values = [
            measures.kernel_distance(normal(100, 4, 2 * i), normal(100, 4, 2 * i + 1))
            for i in range(200)
        ]
        spread = torch.tensor(values).std().item() / math.sqrt(len(values))
        self.assertLess(abs(sum(values) / len(values)), 3 * spread)
        apart = measures.kernel_distance(normal(100, 4, 1), normal(100, 4, 2, mean=1.0))
        self.assertGreater(apart, 0.5)

    def test_precision_and_recall(self):
        real = normal(400, 2, 1)
        one_point = normal(400, 2, 2, spread=0.2)
        precision, recall = measures.precision_recall(one_point, real)
        self.assertGreater(precision, 0.75)
        self.assertLess(recall, 0.3)
        precision, recall = measures.precision_recall(normal(400, 2, 3), real)
        self.assertGreater(min(precision, recall), 0.85)
        self.assertEqual(measures.precision_recall(real + 100, real), (0.0, 0.0))

    def test_manifold_of_few(self):
        # The real ones' nearest neighbours are 1, 1 and 2 away, the made ones' 4.5 both.
        real = torch.tensor([[0.0], [1.0], [3.0]]).double()
        made = torch.tensor([[1.5], [6.0]]).double()
        self.assertEqual(measures.precision_recall(made, real, 1), (0.5, 1.0))

    def test_nearest(self):
        reference = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0], [0.0, 0.5]]).double()
        made = torch.tensor([[1.0, 0.0], [2.0, 0.0]]).double()
        kinds = torch.tensor([7, 3, 5, 7])  # the last is of the first's kind
        index, distance, ratio = measures.nearest(made, reference, kinds)
        self.assertEqual(index[0].item(), 0)
        self.assertAlmostEqual(distance[0].item(), 1.0)
        self.assertAlmostEqual(ratio[0].item(), 1 / 3)
        self.assertAlmostEqual(ratio[1].item(), 1.0)

    def test_interval(self):
        row = measures.interval([1.0, 2.0, 3.0])
        self.assertAlmostEqual(row["mean"], 2.0)
        self.assertAlmostEqual(row["half"], 4.303 / math.sqrt(3), places=6)


class Solvers(unittest.TestCase):
    """dx/dt of data drawn from two Gaussians, whose exact velocity is known."""

    SPREAD = 0.5
    CENTRES = (-1.0, 1.5)

    def velocity(self, x, t):
        variance = (1 - t) ** 2 * self.SPREAD**2 + t * t
        weights = torch.softmax(
            torch.stack([-((x - (1 - t) * c) ** 2) / (2 * variance) for c in self.CENTRES]), 0
        )
        picture = sum(
            w * (c + (1 - t) * self.SPREAD**2 / variance * (x - (1 - t) * c))
            for w, c in zip(weights, self.CENTRES)
        )
        noise = (x - (1 - t) * picture) / max(t, 1e-12)
        return noise - picture

    def error(self, solve, steps, exact, x):
        return (solve(self.velocity, x, self.inner(steps)) - exact).abs().max().item()

    @staticmethod
    def inner(steps):
        """Away from the ends, where dpmpp_2m's logarithm is infinite."""
        return [0.9 - 0.7 * i / steps for i in range(steps + 1)]

    def test_orders(self):
        x = torch.linspace(-2, 2, 41, dtype=torch.float64)
        exact = sampler.midpoint(self.velocity, x, self.inner(2048))
        for name, order in (("euler", 1), ("midpoint", 2), ("heun", 2), ("ab2", 2),
                            ("dpmpp_2m", 2)):
            solve, _ = sampler.SOLVERS[name]
            ratio = self.error(solve, 64, exact, x) / self.error(solve, 128, exact, x)
            self.assertAlmostEqual(math.log2(ratio), order, delta=0.35, msg=name)

    def test_evaluations(self):
        for name, (solve, cost) in sampler.SOLVERS.items():
            calls = []
            solve(lambda x, t: calls.append(t) or x, torch.zeros(1), sampler.times(5))
            self.assertEqual(len(calls), cost(5), name)


class OneFamily(unittest.TestCase):
    def test_the_schedule_is_the_one_that_export_names(self):
        expected = export.diffusion_scheduler().alphas_cumprod[:990].double()
        a, _ = objectives.cosine(torch.arange(990, dtype=torch.float64) / 1000)
        self.assertLess((a.square() - expected).abs().max().item(), 1e-5)
        u = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
        a, s = objectives.cosine(u)
        self.assertLess((objectives.cosine_time(s / (a + s)) - u).abs().max().item(), 1e-9)

    def test_a_diffusion_served_as_a_velocity_is_ddim(self):
        """Euler's steps of the converted velocity on the diffusion's own times, against
        DDIM (arXiv 2010.02502, eq. 12 with sigma 0) in its own variables."""

        class Predictor:
            def velocity(self, z, u, context, grid):
                return torch.tanh(z) * (0.5 + u[:, None, None]) + 0.1 * z

        x = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(1))
        predictor = Predictor()
        predictor.context = None
        field = study.FromNoise(predictor)
        grid = study.cosine_times(12)
        end = sampler.euler(
            lambda z, t: field.velocity(z, torch.full((len(z),), t), None, None),
            study.at_start(x, grid), grid,
        )
        times = objectives.LAST_TIME * torch.linspace(1, 0, 13)
        z = x
        for u, after in zip(times, times[1:]):
            a, s = objectives.cosine(u)
            b, r = objectives.cosine(after) if after > 0 else (1, 0)
            noise = predictor.velocity(z, u.expand(len(z)), None, None)
            z = b * (z - s * noise) / a + r * noise
        self.assertLess((end - z).abs().max().item(), 1e-4)


if __name__ == "__main__":
    unittest.main()
