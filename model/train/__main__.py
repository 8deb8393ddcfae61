"""The one entry: `python -m model.train COMMAND [--work DIR] [--minutes M] ...`."""

import argparse
from pathlib import Path

import torch

from .names import UNICODE
from .network import HOUSE
from .run import default_work
from .sampler import SOLVERS


def run_data(args) -> None:
    from . import drawings

    drawings.prepare(args.drawings, args.work, args.unicode)


def run_autoencoder(args) -> None:
    from . import autoencoder

    autoencoder.train(args.work, args.base, args.minutes, args.from_nothing, args.rate)


def run_text(args) -> None:
    from . import text

    text.train(args)


def run_flow(args) -> None:
    from . import flow

    flow.train(args.name, args)


def run_classifier(args) -> None:
    from . import drawings, features

    features.Classifier(drawings.Drawings(args.work)).train(args.minutes)


def run_evaluate(args) -> None:
    from . import evaluate

    evaluate.evaluate(args)


def run_errors(args) -> None:
    from . import errors

    errors.errors(args)


def run_plot(args) -> None:
    from . import curve

    curve.draw(args)


def run_study(args) -> None:
    from . import study

    study.study(args)


def run_export(args) -> None:
    from . import export

    export.export(args)


def run_sheet(args) -> None:
    from . import sheet

    sheet.sheet(args)


def add_compile(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--compile", action="store_true",
                     help="by torch.compile, with g++: a fifth faster, after some minutes")


def add_classifier(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--classifier-minutes", type=float, default=15,
                     help="for drawings that are not the project's (%(default)s)")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m model.train", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name, run, text, minutes=None, rate=None, has_base=False):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--work", type=Path, default=default_work(), metavar="DIR",
                         help="where everything is kept (%(default)s)")
        if has_base:
            sub.add_argument("--base", type=Path, default=HOUSE, metavar="DIR",
                             help="the model to start from (model/house)")
        sub.add_argument("--threads", type=int, default=0, help="0: as many as processors")
        if minutes is not None:
            sub.add_argument("--minutes", type=float, default=minutes,
                             help="the time box (%(default)s)")
        if rate is not None:
            sub.add_argument("--rate", type=float, default=rate,
                             help="learning rate (%(default)s)")
        return sub

    sub = command("data", run_data, "render the drawings")
    sub.add_argument("--drawings", type=Path, required=True, metavar="DIR",
                     help="folders noto, blob and twemoji of SVG files")
    sub.add_argument("--unicode", type=Path, default=UNICODE, metavar="DIR",
                     help="Unicode's names, as Debian lays them out (%(default)s)")
    sub = command("autoencoder", run_autoencoder, "train the decoder", 60, 1e-3, True)
    sub.add_argument("--from-nothing", action="store_true", help="and a new encoder")
    command("text", run_text, "train the text encoder to tell pictures from captions", 45, 1e-3,
            True)
    for name, text, minutes, rate in (
        ("flow", "train the flow on drawings", 480, 3e-4),
        ("rectify", "straighten its paths: pairs of its own making", 240, 2e-4),
        ("consist", "push the rectified model to one and two steps", 120, 1e-4),
    ):
        sub = command(name, run_flow, text, minutes, rate, True)
        sub.set_defaults(name=name)
        sub.add_argument("--guidance", type=float, default=3.0,
                         help="of flow's sheet, and of the pairs (%(default)s)")
        sub.add_argument("--cooldown", action="store_true",
                         help="let the learning rate fall to nothing by the end of the box")
        add_compile(sub)
        if name == "flow":
            sub.add_argument("--from-nothing", action="store_true")
        else:
            sub.add_argument("--pairs", type=int, default=12000,
                             help="made first, within the box (%(default)s)")
    command("classifier", run_classifier, "train what measures pictures", 6)
    sub = command("evaluate", run_evaluate, "measure a model folder", 120)
    sub.add_argument("--model", type=Path, default=HOUSE, metavar="DIR",
                     help="the model to measure (model/house)")
    sub.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8, 10, 20, 50])
    sub.add_argument("--solvers", nargs="+", default=["euler"], choices=sorted(SOLVERS))
    sub.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    sub.add_argument("--count", type=int, default=1024, help="pictures a row (%(default)s)")
    sub.add_argument("--guidance", type=float, default=3.0)
    add_classifier(sub)
    sub.add_argument("--curve", type=Path, metavar="FILE", help="write curve.json there")
    sub = command("errors", run_errors, "measure a model's velocity, by time and caption", 30)
    sub.add_argument("--model", type=Path, default=HOUSE, metavar="DIR",
                     help="the model to measure (model/house)")
    sub.add_argument("--count", type=int, default=96, help="drawings a seed (%(default)s)")
    sub = command("plot", run_plot, "draw the curves of model folders")
    sub.add_argument("--model", type=Path, nargs="+", default=[HOUSE], metavar="DIR",
                     help="folders with curve.json and sluice.json (model/house)")
    sub.add_argument("--milliseconds", type=float, nargs=2, required=True,
                     metavar=("FIXED", "EACH"),
                     help="of a picture, and of an evaluation, as tests/bench/steps has them")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE", help="the SVG")
    sub = command("study", run_study, "four trainings of one small network", 480, 1e-3, True)
    sub.add_argument("--budget", type=int, default=150000,
                     help="samples a training (%(default)s)")
    sub.add_argument("--count", type=int, default=512, help="pictures a row (%(default)s)")
    add_compile(sub)
    sub.add_argument("--seed", type=int, default=0, help="of first weights and batches")
    add_classifier(sub)
    sub.add_argument("--report", type=Path, metavar="FILE",
                     help="the document whose table and plots are written")
    sub = command("sheet", run_sheet, "sixty prompts as the program draws them")
    sub.add_argument("--binary", type=Path, default=Path("build/serve/server/sluice"),
                     metavar="FILE", help="the program (%(default)s)")
    sub.add_argument("--model", type=Path, default=HOUSE, metavar="DIR",
                     help="the model to draw with (model/house)")
    sub.add_argument("--seed", type=int, default=7)
    sub.add_argument("--steps", type=int, nargs="+", default=[4, 20],
                     help="of each prompt's pictures; the last also of the blind test's")
    sub.add_argument("--out", type=Path, metavar="FILE", help="all of them on one picture")
    sub.add_argument("--blind", type=Path, metavar="DIR",
                     help="one picture a prompt and ten captions each, for a blind test")
    sub = command("export", run_export, "write a folder in diffusers layout", has_base=True)
    sub.add_argument("--stage", default="flow",
                     choices=["flow", "rectify", "consist", "diffusion"],
                     help="diffusion is the study's (%(default)s)")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    sub.add_argument("--share", action="store_true",
                     help="parts that are equal to the base's become links to them")
    return top


def main(arguments: list[str] | None = None) -> None:
    args = parser().parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.run(args)


if __name__ == "__main__":
    main()
