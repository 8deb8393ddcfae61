"""`flow`, `rectify` and `consist`: one loop that trains text encoder and transformer.

Each keeps NAME.pt in the work folder and goes on from it. A first run starts from the
model before it: flow from the base model, rectify from flow, consist from rectify.
"""

from pathlib import Path

import torch
from torch._dynamo import config as dynamo

from . import autoencoder, objectives, sampler
from .drawings import SIZES, Drawings, picture_sheet
from .latents import Latents
from .network import Network, grid_of, load_tokenizer, tokenize
from .optimizer import Optimizer
from .pairs import Pairs
from .run import Average, Run, autocast, save_atomically

BEFORE = {"flow": None, "rectify": "flow", "consist": "rectify"}
AVERAGE = 0.999
WARM_STEPS = 200
COOLING = 0.4  # of the box
SHEET_MINUTES = 20
SHEET_SIZE = (128, 128)
SHEET_STEPS = (4, 20)
SHEET_PROMPTS = (
    "red apple, noto style", "smiling face with heart-eyes", "a cat face, blob style",
    "green frog", "pizza", "house with garden", "rocket", "blue car",
    "cactus, twemoji style", "a snowman", "birthday cake", "crying face", "dog", "tree",
    "woman farmer, medium skin tone", "flag of japan, twemoji style",
)


def load_average(network: Network, path: Path) -> None:
    saved = torch.load(path, weights_only=True)
    with torch.no_grad():
        for parameter, value in zip(network.trained(), saved["average"], strict=True):
            parameter.copy_(value)


def trained(work: Path, base: Path, name: str) -> Network:
    """The average of a training; `base`'s weights where there was none."""
    network = Network.load(base)
    while name is not None and not (work / f"{name}.pt").is_file():
        name = BEFORE[name]
    if name is not None:
        load_average(network, work / f"{name}.pt")
    return network.eval()


class Training:
    """A network, its optimiser and its average, with the checkpoint that holds them."""

    def __init__(self, name: str, network: Network, path: Path, rate: float):
        self.name = name
        self.network = network
        self.path = path
        self.parameters = network.trained()
        self.optimizer = Optimizer(network, rate)
        self.average = Average(self.parameters, AVERAGE)
        self.step = self.samples = 0
        if path.is_file():
            self._resume(torch.load(path, weights_only=True))

    def _resume(self, saved: dict) -> None:
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
            "step": self.step, "samples": self.samples,
        }
        save_atomically(value, self.path)

    def learn(self, batch, factor: float) -> float:
        self.network.train()
        loss = objectives.OBJECTIVES[self.name](self.network, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step(factor)
        self.step += 1
        self.samples += len(batch.x)
        self.average.update(self.step)
        return loss.item()


@torch.no_grad()
def sheet(network, decoder, tokenizer, path: Path, guidance: float) -> None:
    """Rows of few and of more Euler steps, from the same noise, twice."""
    network.eval()
    prompts = (*tokenize(tokenizer, list(SHEET_PROMPTS)), *tokenize(tokenizer, [""]))
    rows = []
    grid = grid_of(SHEET_SIZE)
    for steps in SHEET_STEPS:
        with autocast():
            velocity = sampler.Guided(network, prompts, guidance, grid)
            noise = sampler.noise(len(SHEET_PROMPTS), SHEET_SIZE, 7)
            x = sampler.euler(velocity, noise, sampler.times(steps))
            rows.append(decoder.decode(x, grid))
    half = len(SHEET_PROMPTS) // 2
    picture_sheet([row[part] for part in (slice(half), slice(half, None)) for row in rows], path)


def rate_factor(run: Run, count: int, cooldown: bool) -> float:
    warm = min(1.0, (count + 1) / WARM_STEPS)
    return warm * (min(1.0, max(0.01, (1 - run.share) / COOLING)) if cooldown else 1.0)


def train(name: str, args) -> None:
    tokenizer = load_tokenizer(args.base)
    decoder = autoencoder.trained(args.work, args.base)
    minutes = args.minutes
    if name == "flow":
        batches = objectives.DrawingBatches(
            Latents(Drawings(args.work), decoder), tokenizer
        )
        guidance = args.guidance
    else:
        pairs = Pairs(
            args.work, trained(args.work, args.base, "flow"), tokenizer, args.guidance
        )
        minutes -= pairs.make(args.pairs, minutes)
        batches, guidance = objectives.PairBatches(pairs), 1.0
    if name == "flow" and args.from_nothing:
        network = Network.fresh(len(tokenizer), tokenizer.pad_token_id)
    else:
        network = trained(args.work, args.base, name)
    training = Training(name, network, args.work / f"{name}.pt", args.rate)
    if args.compile:
        dynamo.recompile_limit = 4 * len(SIZES)
        network.dit.compile(dynamic=False)
    run = Run(name, minutes, training.save)
    shown = -SHEET_MINUTES * 60.0
    for count in run.steps():
        loss = training.learn(batches.draw(), rate_factor(run, count, args.cooldown))
        run.show(loss=loss, samples=str(training.samples))
        if run.used - shown > SHEET_MINUTES * 60:
            shown = run.used
            training.average.swap()
            with torch.compiler.set_stance("force_eager"):
                sheet(
                    network, decoder, tokenizer, args.work / f"samples/{name}.png", guidance
                )
            training.average.swap()
