"""Networks whose features measure pictures: a classifier trained here, and random ones.

All see pictures at 64x64 and give 64 features. The classifier tells apart the subgroups
of Unicode and the three styles; figures made with it are called FD-own, never FID.
"""

import hashlib
import json
import os
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from .captions import STYLES
from .drawings import Drawings
from .run import Run, autocast

# The one that the project's figures are measured with: another training would give others.
PUBLISHED = Path(__file__).with_name("classifier.safetensors")
SIDE = 64
FEATURES = 64
RANDOM_SEEDS = (1, 2)
BATCH = 128


def shrink(pictures: torch.Tensor) -> torch.Tensor:
    return F.interpolate(pictures, size=(SIDE, SIDE), mode="area")


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 2, 1)
        self.first_norm = nn.GroupNorm(8, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.second_norm = nn.GroupNorm(8, outputs)

    def forward(self, x):
        x = F.silu(self.first_norm(self.first(x)))
        return x + F.silu(self.second_norm(self.second(x)))


class FeatureNetwork(nn.Module):
    """Four blocks of halved sides, the mean over places, a layer of 64 features."""

    def __init__(self, classes: int = 0, widths=(32, 64, 96, 128)):
        super().__init__()
        channels = (3, *widths)
        self.blocks = nn.Sequential(*map(Block, channels, channels[1:]))
        self.features = nn.Linear(widths[-1], FEATURES)
        self.subgroup = nn.Linear(FEATURES, classes) if classes else None
        self.style = nn.Linear(FEATURES, len(STYLES)) if classes else None

    def forward(self, pictures):
        return self.features(self.blocks(pictures).mean((2, 3)))


class RandomNetwork(nn.Module):
    """Convolutions drawn from a fixed seed: nothing was trained for them to favour
    (arXiv 2208.09218). Mean and spread over the places are the features."""

    def __init__(self, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        widths = (3, 32, 64, FEATURES // 2)
        self.kernels = [
            torch.randn(o, i, 4, 4, generator=generator) * (2 / (16 * i)) ** 0.5
            for i, o in zip(widths, widths[1:])
        ]

    def forward(self, pictures):
        for kernel in self.kernels:
            pictures = F.leaky_relu(F.conv2d(pictures, kernel, stride=2, padding=1), 0.2)
        return torch.cat([pictures.mean((2, 3)), pictures.std((2, 3))], 1)


@torch.no_grad()
def features_of(network: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """[n, 64] float64 of pictures [n, 3, 64, 64] in -1..1."""
    network.eval()
    parts = [network(part.clamp(-1, 1)) for part in pictures.split(BATCH)]
    return torch.cat(parts).double()


class Classifier:
    """The published one where it fits the drawings, else one that is trained for them once
    and kept in the work folder."""

    def __init__(self, drawings: Drawings):
        self.drawings = drawings
        self.path = drawings.work / PUBLISHED.name
        self.subgroups = sorted({entry["subgroup"] for entry in drawings.entries})
        number = {name: i for i, name in enumerate(self.subgroups)}
        self.labels = torch.tensor([number[e["subgroup"]] for e in drawings.entries])
        self.styles = torch.tensor([STYLES.index(e["style"]) for e in drawings.entries])
        torch.manual_seed(0)
        self.network = FeatureNetwork(len(self.subgroups))
        self.accuracy: dict[str, float] = {}
        self.sha256 = ""  # of the file

    def digest(self) -> str:
        digest = hashlib.sha256()
        for value in self.network.state_dict().values():
            digest.update(value.numpy().tobytes())
        return digest.hexdigest()[:12]

    def load(self, minutes: float) -> None:
        if self._read(PUBLISHED):
            return
        if not self.path.is_file():
            self.train(minutes)
        if not self._read(self.path):
            raise SystemExit(f"{self.path} was trained on other drawings: remove it")

    def _read(self, path: Path) -> bool:
        """False, and nothing read, where there is none or it tells other subgroups apart."""
        if not path.is_file():
            return False
        with safe_open(path, "pt") as file:
            about = file.metadata()
            if json.loads(about["subgroups"]) != self.subgroups:
                return False
            self.network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})
        self.accuracy = json.loads(about["accuracy"])
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return True

    def _save(self) -> None:
        weights = {key: value.contiguous() for key, value in self.network.state_dict().items()}
        about = {"subgroups": self.subgroups, "accuracy": self.accuracy}
        partial = self.path.with_suffix(".partial")
        save_file(weights, partial, {key: json.dumps(value) for key, value in about.items()})
        os.replace(partial, self.path)

    def _batch(self, count: int):
        indices = self.drawings.draw(count)
        mirror = (torch.rand(count) < 0.5) & self.drawings.mirrored[indices]
        x = self.drawings.pictures(indices.tolist(), (SIDE, SIDE), mirror.tolist())
        # Shifts of some pixels, and a little noise, so that small faults do not blind it.
        shift = (random.randint(-4, 4), random.randint(-4, 4))
        x = torch.roll(x, shift, (2, 3)) + 0.1 * torch.rand(count, 1, 1, 1) * torch.randn_like(x)
        return x.contiguous(memory_format=torch.channels_last), indices

    def train(self, minutes: float) -> None:
        network = self.network.to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=2e-3, weight_decay=0.05, fused=True
        )
        run = Run("classifier", minutes)
        for count in run.steps():
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1, (count + 1) / 100, (1 - run.share) / 0.7 + 0.01)
            x, indices = self._batch(64)
            with autocast():
                features = network(x)
                loss = F.cross_entropy(network.subgroup(features), self.labels[indices])
                loss = loss + F.cross_entropy(network.style(features), self.styles[indices])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            run.show(loss=loss.item())
        self.accuracy = self._accuracy()
        print(f"classifier: {self.accuracy} on held-out drawings", flush=True)
        self._save()

    @torch.no_grad()
    def _accuracy(self) -> dict[str, float]:
        held = torch.from_numpy(self.drawings.held_out)
        x = self.drawings.pictures(held.tolist(), (SIDE, SIDE))
        features = features_of(self.network, x).float()
        right = {
            "subgroup": self.network.subgroup(features).argmax(1) == self.labels[held],
            "style": self.network.style(features).argmax(1) == self.styles[held],
        }
        return {name: value.float().mean().item() for name, value in right.items()}


def all_networks(classifier: Classifier) -> dict[str, nn.Module]:
    networks: dict[str, nn.Module] = {"own": classifier.network}
    networks.update({f"random{seed}": RandomNetwork(seed) for seed in RANDOM_SEEDS})
    return networks
