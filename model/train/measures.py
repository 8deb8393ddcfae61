"""Distances between sets of features [n, d], float64; pure functions."""

import math

import torch

# Two-sided 95 % of Student's t for 1..9 degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def spelled(row: dict[str, float | None]) -> str:
    half = "" if row["half"] is None else f" ± {row['half']:.2g}"
    return f"{row['mean']:.4g}{half}"


def _mean_and_covariance(x):
    return x.mean(0), torch.cov(x.T)


def frechet(x: torch.Tensor, y: torch.Tensor) -> float:
    """|m - n|^2 + tr(C + D - 2 (C D)^1/2), as Heusel et al. (arXiv 1706.08500) define FID,
    on whatever features these are. Biased by the numbers of samples: keep them equal."""
    (m, c), (n, d) = _mean_and_covariance(x), _mean_and_covariance(y)
    values, vectors = torch.linalg.eigh(c)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # tr (C D)^1/2 = tr (C^1/2 D C^1/2)^1/2, which is symmetric.
    cross = torch.linalg.eigvalsh(root @ d @ root).clamp_min(0).sqrt().sum()
    return ((m - n).square().sum() + c.trace() + d.trace() - 2 * cross).item()


def kernel_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """KID (arXiv 1801.01401): the unbiased squared MMD under (x.y/d + 1)^3."""
    size = x.shape[1]

    def kernel(a, b):
        return (a @ b.T / size + 1) ** 3

    def within(a):
        k = kernel(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return (within(x) + within(y) - 2 * kernel(x, y).mean()).item()


def _radius(x, neighbours):
    """Of each row, the distance to its k-th nearest other row."""
    return torch.cdist(x, x).kthvalue(neighbours + 1, 1).values


def precision_recall(made, real, neighbours: int = 3) -> tuple[float, float]:
    """Kynkaanniemi et al. (arXiv 1904.06991): the share of made pictures within the
    manifold of real ones, and of real ones within that of the made."""
    between = torch.cdist(made, real)
    precision = (between <= _radius(real, neighbours)[None]).any(1)
    recall = (between <= _radius(made, neighbours)[:, None]).any(0)
    return precision.double().mean().item(), recall.double().mean().item()


def nearest(x: torch.Tensor, reference: torch.Tensor, kinds: torch.Tensor):
    """(index, distance, ratio) of each row's nearest: the ratio to the distance of the
    nearest of another kind is below 1/3 where one row of the reference was copied. Those of
    one kind are as good as equal, so their distances tell nothing."""
    distances = torch.cdist(x, reference)
    distance, index = distances.min(1)
    alike = kinds[None] == kinds[index][:, None]
    other = distances.masked_fill(alike, math.inf).min(1).values
    return index, distance, distance / other.clamp_min(1e-12)


def interval(values: list[float]) -> dict[str, float | None]:
    """Mean and half-width of the 95 % interval over seeds; None where there is one seed."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return {"mean": mean, "half": None}
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (count - 1))
    return {"mean": mean, "half": STUDENT[min(count, 10) - 2] * spread / math.sqrt(count)}
