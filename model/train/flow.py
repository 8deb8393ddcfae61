"""`flow`, `rectify` and `consist`: one loop that trains the transformer.

Each keeps NAME.pt in the work folder and goes on from it. A first run starts from the
model before it: flow from the base model, rectify from flow, consist from rectify.
"""

import random
from pathlib import Path

import torch

from . import autoencoder, objectives, sampler, text
from .drawings import SIZES, Drawings, picture_sheet
from .latents import Latents
from .network import Network, grid_of, load_tokenizer, tokenize
from .pairs import Pairs
from .run import Run, autocast
from .training import Training, load_average, rate_factor

BEFORE = {"flow": None, "rectify": "flow", "consist": "rectify"}
SHEET_MINUTES = 20
SHEET_SIZE = (128, 128)
SHEET_STEPS = (4, 20)
SHEET_PROMPTS = (
    "red apple, noto style", "smiling face with heart-eyes", "a cat face, blob style",
    "green frog", "pizza", "house with garden", "rocket", "blue car",
    "cactus, twemoji style", "a snowman", "birthday cake", "crying face", "dog", "tree",
    "woman farmer, medium skin tone", "flag of japan, twemoji style",
)


def trained(work: Path, base: Path, name: str) -> Network:
    """The averages of `text` and of a training; `base`'s weights where there was none."""
    network, before = Network.load(base), Network.load(base)
    is_other = text.load(network, work)
    while name is not None and not (work / f"{name}.pt").is_file():
        name = BEFORE[name]
    if name is not None:
        load_average(network, work / f"{name}.pt", text.digest(network.text))
    elif is_other:
        kept = text.bridge(network, before.text, Drawings(work), load_tokenizer(base))
        print(f"the transformer reads another text encoder: {kept:.1%} of its input kept")
    return network.eval()


def fresh(args, tokenizer, path: Path) -> Network:
    """A new transformer, with the text encoder of `text`, or of the base without one."""
    if path.is_file():
        raise SystemExit(f"{path} is there, and goes on without --from-nothing: move it away")
    network = Network.fresh(len(tokenizer), tokenizer.pad_token_id)
    network.text = text.trained(args.work, args.base).text
    return network


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
        if pairs.count < args.pairs:
            print(f"{pairs.count} of {args.pairs} pairs: run `{name}` again")
            return
        batches, guidance = objectives.PairBatches(pairs, objectives.TOKENS // 64), 1.0
    path = args.work / f"{name}.pt"
    if name == "flow" and args.from_nothing:
        network = fresh(args, tokenizer, path)
    else:
        network = trained(args.work, args.base, name)
    parent = text.digest(network.text)
    if name != "flow":
        parent += f" {pairs.prefix}"
    training = Training(network, objectives.OBJECTIVES[name], path, args.rate, parent)
    # Else a run that goes on would draw what the one before drew.
    torch.seed()
    random.seed()
    if args.compile:
        network.compile_transformer(len(SIZES))
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
