"""`evaluate`: what the pictures of a model are worth at each number of steps.

The prompts are captions of training drawings drawn by weight; the reference is one half
of the training drawings, and the floor what the other half measures against it. Each
row (steps, solver, seed) is kept in evaluations.json of the work folder under the digest
of the weights, so that a run goes on where the last one ended.
"""

import hashlib
import json
import os
import random
from pathlib import Path

import torch

from . import captions, measures, sampler
from .drawings import Drawings
from .features import SIDE, Classifier, all_networks, features_of, shrink
from .network import Autoencoder, Network, grid_of, load_tokenizer, tokenize
from .run import Run, autocast

SIZE = (128, 128)
BATCH = 64
REFERENCE_STEPS = 200
DISTANCE_PROMPTS = 32
REFERENCE = 4096  # drawings, by weight, with repetitions as prompts have them
COPIED = 1 / 3
WEIGHT_FILES = (
    "transformer/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
)


def weight_digests(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in WEIGHT_FILES
    }


class Model:
    """A folder in diffusers layout, evaluated in bfloat16 where the processor has it."""

    def __init__(self, folder: Path, guidance: float):
        self.digests = weight_digests(folder)
        index = json.loads((folder / "model_index.json").read_text())
        self.guidance = 1.0 if index.get("is_distilled") else guidance
        self.network = Network.load(folder).eval()
        self.autoencoder = Autoencoder.load(folder)
        self.autoencoder.model.eval().to(memory_format=torch.channels_last)
        self.tokenizer = load_tokenizer(folder)
        self.empty = tokenize(self.tokenizer, [""])

    def velocity(self, prompts: list[str]) -> sampler.Guided:
        tokens = tokenize(self.tokenizer, prompts)
        grid = grid_of(SIZE)
        return sampler.Guided(self.network, (*tokens, *self.empty), self.guidance, grid)

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        return self.autoencoder.decode(x, grid_of(SIZE)).float().clamp(-1, 1)

    @torch.no_grad()
    def make(self, prompts: list[str], noise, solver: str, steps: int) -> torch.Tensor:
        solve, _ = sampler.SOLVERS[solver]
        with autocast():
            x = solve(self.velocity(prompts), noise, sampler.times(steps))
            return self.decode(x)


def kinds_of(entries: list[dict]) -> torch.Tensor:
    """[n] int: equal for drawings of one name, whatever their style and skin tone."""
    names = [entry["name"].split(":")[0] for entry in entries]
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    return torch.tensor([number[name] for name in names])


def halves(drawings: Drawings) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.randperm(
        len(drawings.train), generator=torch.Generator().manual_seed(0)
    )
    train = torch.from_numpy(drawings.train)[order]
    return train[: len(train) // 2], train[len(train) // 2 :]


class Judge:
    """The features of the reference, and what a set of pictures measures against them."""

    def __init__(self, drawings: Drawings, classifier: Classifier, count: int):
        self.drawings = drawings
        self.count = count
        self.networks = all_networks(classifier)
        reference, self.other = halves(drawings)
        # The whole training set at equal weights is what copies are looked for in.
        self.all = self._features("own", torch.from_numpy(drawings.train))
        self.kinds = kinds_of([drawings.entries[i] for i in drawings.train.tolist()])
        chosen = self._weighted(reference, REFERENCE, 0)
        self.reference = {name: self._features(name, chosen) for name in self.networks}
        # Drawn twice, a drawing would be its own neighbour.
        self.distinct = self._features("own", chosen.unique())

    def _weighted(self, indices: torch.Tensor, count: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        weights = self.drawings.weights[indices]
        return indices[torch.multinomial(weights, count, True, generator=generator)]

    def _features(self, name: str, indices: torch.Tensor) -> torch.Tensor:
        parts = [
            features_of(
                self.networks[name], self.drawings.pictures(part.tolist(), (SIDE, SIDE))
            )
            for part in indices.split(512)
        ]
        return torch.cat(parts)

    def measure(self, pictures: torch.Tensor) -> dict[str, float]:
        """`pictures` [n, 3, 64, 64]."""
        values = {}
        for name, network in self.networks.items():
            made = features_of(network, pictures)
            values[f"fd_{name}"] = measures.frechet(made, self.reference[name])
            values[f"kid_{name}"] = measures.kernel_distance(made, self.reference[name])
            if name == "own":
                values["precision"], values["recall"] = measures.precision_recall(
                    made, self.distinct
                )
                ratio = measures.nearest(made, self.all, self.kinds)[2]
                values["copied"] = (ratio < COPIED).double().mean().item()
        return values

    def floor(self, seed: int) -> dict[str, float]:
        """Drawings of the other half in place of made pictures, as many."""
        indices = self._weighted(self.other, self.count, seed).tolist()
        return self.measure(self.drawings.pictures(indices, (SIDE, SIDE)))

    @torch.no_grad()
    def decoded_floor(self, autoencoder: Autoencoder, seed: int) -> dict[str, float]:
        """The same drawings as the autoencoder gives them back: no flow comes nearer."""
        indices = self._weighted(self.other, self.count, seed)
        parts = []
        for part in indices.split(BATCH):
            with autocast():
                tokens = autoencoder.encode(self.drawings.pictures(part.tolist(), SIZE))
                pixels = autoencoder.decode(tokens, grid_of(SIZE))
            parts.append(shrink(pixels.float().clamp(-1, 1)))
        return self.measure(torch.cat(parts))


def prompts_of(drawings: Drawings, count: int, seed: int) -> list[str]:
    indices = drawings.draw(count, torch.Generator().manual_seed(seed))
    rng = random.Random(seed)
    return [captions.caption(drawings.entries[i], rng) for i in indices.tolist()]


def measure_row(model: Model, judge: Judge, solver: str, steps: int, seed: int) -> dict:
    prompts = prompts_of(judge.drawings, judge.count, seed)
    noise = sampler.noise(judge.count, SIZE, seed)
    parts = [
        shrink(model.make(prompts[i : i + BATCH], noise[i : i + BATCH], solver, steps))
        for i in range(0, judge.count, BATCH)
    ]
    return judge.measure(torch.cat(parts))


class Paths:
    """The solution in many Euler steps from some noises: its end, and its straightness,
    the mean over time of |(noise - x) - v|^2, divided by that of |noise - x|^2."""

    def __init__(self, model: Model, drawings: Drawings, seed: int):
        self.model = model
        self.prompts = prompts_of(drawings, DISTANCE_PROMPTS, seed)
        self.noise = sampler.noise(DISTANCE_PROMPTS, SIZE, seed)
        self._integrate()

    @torch.no_grad()
    def _integrate(self) -> None:
        grid = sampler.times(REFERENCE_STEPS)
        velocities = []
        with autocast():
            field = self.model.velocity(self.prompts)

            def remembered(x, t):
                velocities.append(field(x, t))
                return velocities[-1]

            x = sampler.euler(remembered, self.noise, grid)
            self.pictures = self.model.decode(x)
        chord = self.noise - x
        bent = sum(
            (t - after) * (chord - v).square().mean().item()
            for t, after, v in zip(grid, grid[1:], velocities)
        )
        self.straightness = bent / max(chord.square().mean().item(), 1e-12)

    def distance(self, solver: str, steps: int) -> float:
        """Root mean square over pixels, of 255."""
        made = self.model.make(self.prompts, self.noise, solver, steps)
        return (made - self.pictures).square().mean().sqrt().item() * 127.5


class Records:
    """evaluations.json: key -> values, written after each row."""

    def __init__(self, path: Path):
        self.path = path
        self.rows = json.loads(path.read_text()) if path.is_file() else {}

    def get(self, key: str, compute) -> dict:
        if key not in self.rows:
            self.rows[key] = compute()
            partial = self.path.with_suffix(".partial")
            partial.write_text(json.dumps(self.rows, indent=1))
            os.replace(partial, self.path)
        return self.rows[key]


def summary(rows: list[dict]) -> dict[str, dict[str, float]]:
    return {
        name: measures.interval([row[name] for row in rows]) for name in sorted(rows[0])
    }


class Evaluation:
    """All rows of one model; each() yields the computations that are still to be done."""

    def __init__(self, args):
        self.args = args
        torch.manual_seed(0)
        self.drawings = Drawings(args.work)
        classifier = Classifier(self.drawings)
        classifier.load(args.classifier_minutes)
        self.classifier = {"sha256": classifier.sha256, **classifier.accuracy}
        self.model = Model(args.model, args.guidance)
        self.judge = Judge(self.drawings, classifier, args.count)
        self.records = Records(args.work / "evaluations.json")
        self.features = f"{classifier.digest()} n{args.count}"
        weights = "".join(self.model.digests.values())
        self.weights = hashlib.sha256(weights.encode()).hexdigest()[:12]
        self.paths: dict[int, Paths] = {}

    def rows(self):
        for seed in self.args.seeds:
            for solver in self.args.solvers:
                for steps in self.args.steps:
                    yield solver, steps, seed

    def key(self, solver, steps, seed) -> str:
        return (
            f"{self.weights} g{self.model.guidance:g} {self.features}"
            f" {solver} {steps} seed {seed}"
        )

    def floor(self, seed: int) -> dict:
        return self.records.get(
            f"floor {self.features} seed {seed}", lambda: self.judge.floor(seed)
        )

    def decoded_floor(self, seed: int) -> dict:
        return self.records.get(
            f"{self.weights} {self.features} decoded floor seed {seed}",
            lambda: self.judge.decoded_floor(self.model.autoencoder, seed),
        )

    def row(self, solver: str, steps: int, seed: int) -> dict:
        def compute():
            values = measure_row(self.model, self.judge, solver, steps, seed)
            if seed not in self.paths:
                self.paths[seed] = Paths(self.model, self.drawings, seed)
            values["distance"] = self.paths[seed].distance(solver, steps)
            values["straightness"] = self.paths[seed].straightness
            return values

        return self.records.get(self.key(solver, steps, seed), compute)

    def curve(self) -> dict:
        """What is known so far, in the form of curve.json (README.md)."""
        rows = []
        for solver in self.args.solvers:
            for steps in self.args.steps:
                keys = [self.key(solver, steps, seed) for seed in self.args.seeds]
                known = [self.records.rows[key] for key in keys if key in self.records.rows]
                if known:
                    calls = sampler.SOLVERS[solver][1](steps)
                    rows.append({
                        "steps": steps, "solver": solver, "seeds": len(known),
                        "evaluations": calls * (1 if self.model.guidance == 1 else 2),
                        **summary(known),
                    })
        return {
            "weights": self.model.digests, "guidance": self.model.guidance,
            "size": list(SIZE), "pictures": self.args.count,
            "classifier": self.classifier, "reference_steps": REFERENCE_STEPS,
            "floor": summary([self.floor(seed) for seed in self.args.seeds]),
            "decoded_floor": summary([self.decoded_floor(seed) for seed in self.args.seeds]),
            "rows": rows,
        }


def table(curve: dict) -> str:
    names = ("fd_own", "fd_random1", "fd_random2", "precision", "recall", "distance")
    lines = ["solver     steps  calls " + " ".join(f"{name:>17}" for name in names)]
    floors = [
        {"solver": name, "steps": 0, "evaluations": 0, **curve[key]}
        for name, key in (("(floor)", "floor"), ("(decoded)", "decoded_floor"))
    ]
    for row in [*floors, *curve["rows"]]:
        cells = [f"{measures.spelled(row[name]) if name in row else '':>17}" for name in names]
        lines.append(
            f"{row['solver']:10} {row['steps']:5} {row['evaluations']:6} " + " ".join(cells)
        )
    return "\n".join(lines)


def evaluate(args) -> None:
    evaluation = Evaluation(args)
    rows = list(evaluation.rows())
    run = Run("evaluate", args.minutes)
    for count in run.steps(len(rows)):
        values = evaluation.row(*rows[count])
        run.show(row=" ".join(map(str, rows[count])), fd_own=f"{values['fd_own']:.3f}")
    curve = evaluation.curve()
    print(table(curve))
    if args.curve:
        args.curve.write_text(json.dumps(curve, indent=1) + "\n")
