"""How any of the networks is trained: one step after the other, with an average of the
weights, in a checkpoint that a later run goes on from.
"""

import hashlib
from pathlib import Path

import torch
from torch import nn

from .optimizer import Optimizer
from .run import Average, Run, save_atomically

AVERAGE = 0.999
WARM_STEPS = 200
COOLING = 0.4  # of the box


def rate_factor(run: Run, count: int, cooldown: bool) -> float:
    warm = min(1.0, (count + 1) / WARM_STEPS)
    return warm * (min(1.0, max(0.01, (1 - run.share) / COOLING)) if cooldown else 1.0)


def digest_of(parameters) -> str:
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()[:12]


def check_parent(saved: dict, parent: str, path: Path) -> None:
    if saved["parent"] != parent:
        raise SystemExit(
            f"{path} was trained on other weights or pairs ({saved['parent']}, expected"
            f" {parent}): move it away to begin anew"
        )


def load_average(network: nn.Module, path: Path, text: str | None = None) -> None:
    """`text`: the text encoder that it must have been trained with; None: whichever."""
    saved = torch.load(path, weights_only=True)
    if text is not None and saved["parent"].split()[0] != text:
        raise SystemExit(
            f"{path} was trained with another text encoder ({saved['parent']}, expected"
            f" {text}): move it away, or text.pt back"
        )
    with torch.no_grad():
        for parameter, value in zip(network.trained(), saved["average"], strict=True):
            parameter.copy_(value)


class Training:
    """A network, its optimiser and its average, with the checkpoint that holds them.

    `objective` makes a loss of the network and a batch, which has x. `parent` names what it
    stands on, the text encoder's digest first: a checkpoint of another's is refused.
    """

    def __init__(
        self, network: nn.Module, objective, path: Path, rate: float, parent: str = ""
    ):
        self.network = network
        self.objective = objective
        self.path = path
        self.parent = parent
        self.parameters = network.trained()
        self.optimizer = Optimizer(network, rate)
        self.average = Average(self.parameters, AVERAGE)
        self.step = self.samples = 0
        if path.is_file():
            self._resume(torch.load(path, weights_only=True))

    def _resume(self, saved: dict) -> None:
        check_parent(saved, self.parent, self.path)
        with torch.no_grad():
            for parameter, value in zip(self.parameters, saved["network"], strict=True):
                parameter.copy_(value)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.shadow = saved["average"]
        self.step, self.samples = saved["step"], saved["samples"]
        print(f"resumed after {self.samples} samples", flush=True)

    def save(self) -> None:
        value = {
            "network": [p.detach() for p in self.parameters],
            "optimizer": self.optimizer.state_dict(), "average": self.average.shadow,
            "step": self.step, "samples": self.samples, "parent": self.parent,
        }
        save_atomically(value, self.path)

    def learn(self, batch, factor: float) -> float:
        self.network.train()
        loss = self.objective(self.network, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step(factor)
        self.step += 1
        self.samples += len(batch.x)
        self.average.update(self.step)
        return loss.item()
