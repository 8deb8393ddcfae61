"""`text`: the text encoder learns, before the flow, to tell the picture from its caption.

A linear head reads the drawing's latents at 64x64 from the context at every token after the
caption: those of the template and the padding, which have seen all of it and which the
transformer reads too. There is neither noise nor transformer in this: ten times as many
captions a minute as in `flow`, which leaves the text encoder as it is. The head is not used
again.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from . import autoencoder, captions
from .drawings import Drawings
from .latents import Latents
from .network import CHANNELS, TAPS, Network, context_of, grid_of, load_tokenizer, tokenize
from .run import Run, autocast
from .training import Training, digest_of, load_average, rate_factor

SIZE = (64, 64)
BATCH = 256
MEASURED = 768  # drawings
BRIDGED = 4096
RIDGE = 1e-5  # of the mean square: contexts are nearly dependent
EVERY = 250  # steps between measurements


@dataclass
class Captioned:
    x: torch.Tensor  # [B, h*w*32]
    ids: torch.Tensor
    mask: torch.Tensor


def heard(text: nn.Module) -> list[nn.Parameter]:
    """What the context depends on: nothing that lies past the last tap."""
    past = (f"layers.{TAPS[-1]}.", "norm.")
    return [p for name, p in text.model.named_parameters() if not name.startswith(past)]


def digest(text: nn.Module) -> str:
    """Equal for text encoders that give the same contexts."""
    return digest_of(heard(text))


class Reader(nn.Module):
    """A text encoder with the head that tells latents from its context."""

    def __init__(self, network: Network, after: int):
        """`after`: how many tokens of the template follow a caption."""
        super().__init__()
        self.text = network.text
        self.after = after
        height, width = grid_of(SIZE)
        self.head = nn.Linear(
            len(TAPS) * self.text.config.hidden_size, height * width * CHANNELS
        )
        nn.init.zeros_(self.head.weight)
        for parameter in self.text.parameters():
            parameter.requires_grad_(False)
        for parameter in heard(self.text):
            parameter.requires_grad_(True)

    def trained(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.requires_grad]

    def errors(self, batch: Captioned) -> torch.Tensor:
        """[B]: the mean square of what the tokens after the caption say too much or too little."""
        with autocast():
            told = self.head(context_of(self.text, batch.ids, batch.mask))
        error = (told.float() - batch.x[:, None]).square().mean(2)
        first = (batch.mask.sum(1) - self.after).clamp_min(0)
        says = torch.arange(error.shape[1]) >= first[:, None]
        return (error * says).sum(1) / says.sum(1)


def tokens_after(tokenizer) -> int:
    """How many tokens of the chat template follow a caption."""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "caption"}],
        tokenize=False, add_generation_prompt=True, enable_thinking=False,
    )
    return len(tokenizer(text.split("caption")[1])["input_ids"])


def load(network: Network, work: Path) -> bool:
    """The average of the work folder's training, if there was one, into `network`; whether
    that changed it."""
    path = work / "text.pt"
    if not path.is_file():
        return False
    before = [p.detach().clone() for p in network.text.parameters()]
    load_average(Reader(network, 0), path)
    network.text.requires_grad_(False)
    return not all(map(torch.equal, before, network.text.parameters()))


def trained(work: Path, base: Path) -> Network:
    """`base` with the text encoder of the work folder, which its transformer cannot read."""
    network = Network.load(base)
    load(network, work)
    return network


@torch.no_grad()
def bridge(network: Network, before: nn.Module, drawings: Drawings, tokenizer) -> float:
    """Lets the transformer read the contexts of another text encoder: the projection that
    takes them in becomes that whose results are nearest, by least squares, to what it made
    of `before`'s. Returns the share of the results' variance that is kept."""
    projection = network.dit.context_embedder
    rng = random.Random(0)
    squares, products, variance, energy = 0.0, 0.0, 0.0, 0.0
    for part in drawings.draw(BRIDGED, torch.Generator().manual_seed(0)).split(BATCH):
        prompts = [captions.caption(drawings.entries[i], rng) for i in part.tolist()]
        tokens = tokenize(tokenizer, [*prompts, ""])
        wanted = projection(context_of(before, *tokens)).flatten(0, 1)
        context = context_of(network.text, *tokens).flatten(0, 1)
        squares += context.T @ context
        products += context.T @ wanted
        variance += (wanted - wanted.mean(0)).square().sum().item()
        energy += wanted.square().sum().item()
    ridge = RIDGE * squares.diagonal().mean() * torch.eye(len(squares))
    weight = torch.linalg.solve(squares + ridge, products)
    projection.weight.copy_(weight.T)
    return 1 - (energy - (weight * products).sum().item()) / variance


class Source:
    """Drawings with new captions each time, none of them mirrored: captions do not tell."""

    def __init__(self, latents: Latents, tokenizer):
        self.latents = latents
        self.drawings = latents.drawings
        self.tokenizer = tokenizer
        some = self.drawings.draw(4096, torch.Generator().manual_seed(0))
        self.mean = self._latents(some).mean(0)

    def _latents(self, indices: torch.Tensor) -> torch.Tensor:
        mirror = torch.zeros(len(indices), dtype=torch.bool)
        return self.latents.tokens(indices, SIZE, mirror).flatten(1)

    def batch(self, indices: torch.Tensor, rng) -> Captioned:
        entries = [self.drawings.entries[i] for i in indices.tolist()]
        prompts = [captions.caption(entry, rng) for entry in entries]
        return Captioned(self._latents(indices), *tokenize(self.tokenizer, prompts))

    def told(self, reader: Reader, indices: torch.Tensor) -> float:
        """The share of the latents' variance that captions tell, of these drawings."""
        rng, error, variance = random.Random(0), 0.0, 0.0
        with torch.no_grad():
            for part in indices.split(BATCH):
                batch = self.batch(part, rng)
                error += reader.errors(batch).sum().item()
                variance += (batch.x - self.mean).square().mean(1).sum().item()
        return 1 - error / variance


def objective(reader: Reader, batch: Captioned) -> torch.Tensor:
    return reader.errors(batch).mean()


def train(args) -> None:
    tokenizer = load_tokenizer(args.base)
    drawings = Drawings(args.work)
    source = Source(Latents(drawings, autoencoder.trained(args.work, args.base)), tokenizer)
    reader = Reader(Network.load(args.base), tokens_after(tokenizer))
    with torch.no_grad():
        reader.head.bias.copy_(source.mean)
    training = Training(reader, objective, args.work / "text.pt", args.rate)
    sets = {
        "training": drawings.draw(MEASURED, torch.Generator().manual_seed(1)),
        "held_out": drawings.draw_held_out(MEASURED, torch.Generator().manual_seed(1)),
    }
    run = Run("text", args.minutes, training.save)
    for count in run.steps():
        batch = source.batch(drawings.draw(BATCH), random)
        run.show(loss=training.learn(batch, rate_factor(run, count, True)))
        if training.step % EVERY == 0:
            run.show(**{name: f"{source.told(reader, part):.3f}" for name, part in sets.items()})
    training.average.swap()
    for name, part in sets.items():
        print(f"told of {name} drawings: {source.told(reader, part):.3f}")
