"""`study`: one small network, one data set, one budget, four trainings, whose claims were
written down in docs/flow-matching.md before it ran.

The budget counts samples of training; one costs three evaluations (forward, and twice
that backward), and pairs are paid for at one evaluation a step. Everything is kept in
study/ of the work folder and goes on where the box ended.
"""

import json
import math
import random
from pathlib import Path

import torch

from . import autoencoder, evaluate, measures, objectives, pairs, plot, sampler, text, training
from .drawings import SIZES, Drawings
from .features import Classifier, shrink
from .latents import Latents
from .network import Network, grid_of, load_tokenizer, tokenize
from .run import Run, autocast

SMALL = dict(num_layers=1, num_single_layers=4, num_attention_heads=2)
SIZE = (64, 64)
PAIRS = 4096
EVALUATIONS = (1, 2, 4, 8, 10, 20, 50)
CHOOSING_SEED, SEEDS = 0, (1, 2, 3)
SHIFTS = (1.0, 3.0)
BEGIN, END = "<!-- results: python -m model.train study -->", "<!-- end of results -->"

WARMING = 0.05  # of a training's samples
SIMPLER_FROM, SIMPLER = 20, 4  # evaluations from which ways are chosen by fewer pictures

# Each training: objective, the one it starts from, share of the budget.
STAGES = {
    "diffusion": ("diffusion", None, 1.0),
    "flow": ("flow", None, 1.0),
    "half": ("flow", None, 0.5),
    "rectified": ("reflow", "half", 0.5),
    "straightened": ("reflow", "half", 0.25),
    "consistent": ("consist", "straightened", 0.25),
}
ARMS = ("diffusion", "flow", "rectified", "consistent")


def cosine_times(steps: int, _shift: float = 1.0) -> list[float]:
    """Uniform in the diffusion's own time, where Euler's step is DDIM's: t = s / (a + s)."""
    u = objectives.LAST_TIME * torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    a, s = objectives.cosine(u)
    return [*(s / (a + s))[:-1].tolist(), 0.0]


class FromNoise:
    """A network that predicts noise on the cosine schedule, as a velocity of the flow:
    at flow time t its own time has s/a = t/(1-t), and z is x by the root of (1-t)^2 + t^2."""

    def __init__(self, network: Network):
        self.network = network
        self.context = network.context

    def velocity(self, x, t, context, grid):
        u = objectives.cosine_time(t)
        a, s = (value[:, None, None] for value in objectives.cosine(u))
        z = x / torch.hypot(t, 1 - t)[:, None, None]
        noise = self.network.velocity(z, u, context, grid).float()
        return noise - (z - s * noise) / a


def at_start(noise: torch.Tensor, grid: list[float]) -> torch.Tensor:
    """Where a flow that begins at grid[0] stands when the diffusion's own state is noise."""
    return noise * math.hypot(grid[0], 1 - grid[0])


def small_network(tokenizer, base: Network, path: Path | None = None) -> Network:
    """With the base's text encoder, which stays as it is."""
    network = Network.fresh(len(tokenizer), tokenizer.pad_token_id, **SMALL)
    network.text = base.text
    if path is not None:
        training.load_average(network, path)
    return network


class Study:
    def __init__(self, args):
        self.args = args
        self.folder = args.work / "study"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.drawings = Drawings(args.work)
        self.base = text.trained(args.work, args.base)
        self.decoder = autoencoder.trained(args.work, args.base)
        self.tokenizer = load_tokenizer(args.base)
        self.empty = tokenize(self.tokenizer, [""])
        self._keep_settings()
        self.weights = tuple(int(size == SIZE) for size in SIZES)
        self.minutes = args.minutes

    def _keep_settings(self) -> None:
        """One folder is one study: trainings of another budget or seed are not mixed in."""
        path = self.folder / "settings.json"
        settings = {
            "budget": self.args.budget, "seed": self.args.seed, "rate": self.args.rate,
            "text": training.digest_of(self.base.text.parameters()),
        }
        if not path.is_file():
            path.write_text(json.dumps(settings) + "\n")
        elif json.loads(path.read_text()) != settings:
            raise SystemExit(
                f"{path}: begun with {path.read_text().strip()}, now asked for"
                f" {json.dumps(settings)}: move {self.folder} away to begin anew"
            )

    def network(self, name: str | None) -> Network:
        """The same first weights for all."""
        torch.manual_seed(self.args.seed)
        return small_network(
            self.tokenizer, self.base, name and self.folder / f"{name}.pt"
        )

    def batches(self, objective: str):
        if objective in ("flow", "diffusion"):
            latents = Latents(self.drawings, self.decoder)
            return objectives.DrawingBatches(latents, self.tokenizer, self.weights)
        made = pairs.Pairs(
            self.args.work, self.network("half").eval(), self.tokenizer, 1.0, self.weights
        )
        self.minutes -= made.make(PAIRS, self.minutes)
        return self._pair_batches(made) if made.count >= PAIRS else None

    @staticmethod
    def _pair_batches(made: pairs.Pairs) -> objectives.PairBatches:
        """As large as the drawings' batches."""
        return objectives.PairBatches(made, objectives.batch_size(SIZE))

    def train(self, name: str) -> bool:
        """Whether the training is complete."""
        objective, start, share = STAGES[name]
        wanted = int(self.args.budget * share)
        if start == "half":
            wanted -= PAIRS * pairs.STEPS // 3
        if objective == "consist":
            wanted = wanted * 9 // 10  # its own steps: a third of an evaluation a sample
        path = self.folder / f"{name}.pt"
        if path.is_file() and torch.load(path, weights_only=True)["samples"] >= wanted:
            return True
        if start is not None and not self.train(start):
            return False
        batches = self.batches(objective)
        if batches is None or self.minutes <= 0:
            return False
        learner = training.Training(
            self._compiled(self.network(start)), objectives.OBJECTIVES[objective], path,
            self.args.rate,
        )
        random.seed(f"{self.args.seed} {learner.step}")
        torch.manual_seed(1_000_003 * (1 + self.args.seed) + learner.step)
        run = Run(name, self.minutes, learner.save)
        for _ in run.steps():
            done = learner.samples / wanted
            warm = min(1.0, (learner.samples + 1) / (WARMING * wanted))
            cool = min(1.0, max(0.01, (1 - done) / training.COOLING))
            run.show(loss=learner.learn(batches.draw(), warm * cool), done=f"{done:.1%}")
            run.stopped |= learner.samples >= wanted
        self.minutes -= run.used / 60
        return learner.samples >= wanted

    def _compiled(self, network: Network) -> Network:
        if self.args.compile:
            network.compile_transformer(len(ARMS) + len(STAGES))
        return network

    def field(self, arm: str):
        network = self._compiled(self.network(arm).eval())
        return FromNoise(network) if arm == "diffusion" else network

    @torch.no_grad()
    def pictures(self, field, solver, grid, prompts, noise) -> torch.Tensor:
        solve, _ = sampler.SOLVERS[solver]
        made = []
        for i in range(0, len(prompts), evaluate.BATCH):
            tokens = tokenize(self.tokenizer, prompts[i : i + evaluate.BATCH])
            with autocast():
                velocity = sampler.Guided(
                    field, (*tokens, *self.empty), 1.0, grid_of(SIZE)
                )
                start = at_start(noise[i : i + evaluate.BATCH], grid)
                x = solve(velocity, start, grid)
                pixels = self.decoder.decode(x, grid_of(SIZE))
            made.append(shrink(pixels.float().clamp(-1, 1)))
        return torch.cat(made)


def native(arm: str) -> tuple[str, str, float]:
    """The consistent arm is trained on the grid of a shift, at which it is sampled."""
    ways = {
        "diffusion": ("euler", "cosine", 1.0),
        "consistent": ("euler", "shift", sampler.SHIFT),
    }
    return ways.get(arm, ("euler", "shift", 1.0))


def candidates(arm: str, evaluations: int) -> list[tuple[str, str, float]]:
    """Solvers on each grid, with as many evaluations, or one less (Heun's are odd). A single
    step is Euler's with all of them, and knows no grid but its beginning."""
    is_single = evaluations == 1
    solvers = ["euler"] if is_single else [n for n in sampler.SOLVERS if steps_for(n, evaluations)]
    grids = [("shift", shift) for shift in SHIFTS[: 1 if is_single else None]]
    if arm == "diffusion":
        grids.append(("cosine", 1.0))
    return [(solver, *grid) for solver in solvers for grid in grids]


def steps_for(solver: str, evaluations: int) -> int:
    """The most steps that cost no more; 0 where that would be Euler's one."""
    _, cost = sampler.SOLVERS[solver]
    steps = evaluations
    while steps > 0 and cost(steps) > evaluations:
        steps -= 1
    return steps if steps > 1 or solver != "heun" else 0


def times_of(kind: str, steps: int, shift: float) -> list[float]:
    return cosine_times(steps) if kind == "cosine" else sampler.times(steps, shift)


class Measurement:
    """The rows of results.json: arm, way of sampling, evaluations, seed."""

    def __init__(self, study: Study):
        self.study = study
        classifier = Classifier(study.drawings)
        classifier.load(study.args.classifier_minutes)
        self.features = f"{classifier.digest()} n{study.args.count}"
        self.judge = evaluate.Judge(study.drawings, classifier, study.args.count)
        self.records = evaluate.Records(study.folder / "results.json")
        self.fields = {}

    def row(self, arm: str, way, evaluations: int, seed: int, share: int = 1) -> dict:
        """By one picture of `share`."""
        solver, kind, shift = way

        def compute():
            if arm not in self.fields:
                self.fields = {arm: self.study.field(arm)}
            count = self.judge.count // share
            prompts = evaluate.prompts_of(self.study.drawings, count, seed)
            noise = sampler.noise(len(prompts), SIZE, seed)
            grid = times_of(kind, steps_for(solver, evaluations), shift)
            return self.judge.measure(
                self.study.pictures(self.fields[arm], solver, grid, prompts, noise)
            )

        key = (
            f"{self.features} {arm} {solver} {kind} {shift:g} calls {evaluations} seed {seed}"
            f" share {share}"
        )
        return self.records.get(key, compute)

    def best(self, arm: str, evaluations: int):
        """By FD-own on a seed that is not reported, of fewer pictures where they cost more."""
        share = SIMPLER if evaluations >= SIMPLER_FROM else 1

        def distance(way) -> float:
            return self.row(arm, way, evaluations, CHOOSING_SEED, share)["fd_own"]

        return min(candidates(arm, evaluations), key=distance)

    def ways(self, arm: str, evaluations: int) -> dict:
        return {"native": native(arm), "best": self.best(arm, evaluations)}

    def floor(self) -> dict:
        rows = [
            self.records.get(
                f"{self.features} floor seed {seed}", lambda s=seed: self.judge.floor(s)
            )
            for seed in SEEDS
        ]
        return evaluate.summary(rows)

    def table(self) -> list[dict]:
        return [
            {
                "arm": arm, "way": name, "evaluations": calls,
                "sampler": " ".join(str(part) for part in way),
                **evaluate.summary([self.row(arm, way, calls, seed) for seed in SEEDS]),
            }
            for arm in ARMS
            for calls in EVALUATIONS
            for name, way in self.ways(arm, calls).items()
        ]


def markdown(rows: list[dict], floor: dict) -> str:
    cell = measures.spelled
    lines = [
        "| training | sampler | evaluations | FD-own | KID-own | FD random 1 | FD random 2 |",
        "|---|---|---|---|---|---|---|",
        f"| (floor) | | | {cell(floor['fd_own'])} | {cell(floor['kid_own'])}"
        f" | {cell(floor['fd_random1'])} | {cell(floor['fd_random2'])} |",
    ]
    for row in rows:
        cells = " | ".join(
            cell(row[name]) for name in ("fd_own", "kid_own", "fd_random1", "fd_random2")
        )
        lines.append(
            f"| {row['arm']} | {row['way']}: {row['sampler']} | {row['evaluations']} | {cells} |"
        )
    return "\n".join(lines)


def report(rows: list[dict], floor: dict, document: Path) -> None:
    """Puts the table between the marks of the document, and the plots beside it."""
    before, rest = document.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    plots = {
        way: document.with_name(f"{document.stem}-{way}.svg") for way in ("native", "best")
    }
    shown = "\n\n".join(
        f"![FD-own over evaluations, {way} samplers]({path.name})"
        for way, path in plots.items()
    )
    document.write_text(
        f"{before}{BEGIN}\n\n{markdown(rows, floor)}\n\n{shown}\n\n{END}{after}",
        encoding="utf-8",
    )
    for way, path in plots.items():
        series = [
            plot.Series(arm, [
                (row["evaluations"], row["fd_own"]["mean"], row["fd_own"]["half"])
                for row in rows if (row["arm"], row["way"]) == (arm, way)
            ])
            for arm in ARMS
        ]
        plot.write(path, f"FD-own, {way} sampler", ("evaluations", "FD-own"), series)


def study(args) -> None:
    work = Study(args)
    if not all(work.train(arm) for arm in ARMS):
        print("the box ended before the trainings: run `study` again")
        return
    measurement = Measurement(work)
    floor, rows = measurement.floor(), measurement.table()
    (work.folder / "table.json").write_text(json.dumps(rows, indent=1))
    if args.report:
        report(rows, floor, args.report)
    print(markdown(rows, floor))
