"""`sheet`: sixty prompts as the service draws them, on one picture, and a blind test.

prompts.json has prompts that a person might type, few of them captions of the training,
each with its subgroup of emoji. The blind test is for a reader who has not seen the
prompts: each picture with ten captions, its own and nine of other subgroups.
"""

import json
import random
import subprocess
import tempfile
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PROMPTS = Path(__file__).with_name("prompts.json")
SIDE, GAP, COLUMNS, TEXT_LINES, LINE = 128, 8, 10, 3, 12
CAPTIONS = 10


def prompts() -> list[tuple[str, str]]:
    """(subgroup, prompt)."""
    return [tuple(row) for row in json.loads(PROMPTS.read_text(encoding="utf-8"))]


def draw(args, prompt: str, steps: int, path: Path) -> Image.Image:
    subprocess.run(
        [
            args.binary, "generate", "--model", args.model, "--prompt", prompt,
            "--seed", str(args.seed), "--steps", str(steps), "-o", path,
        ],
        check=True, capture_output=True,
    )
    return Image.open(path).convert("RGB")


def compose(rows: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    """Each prompt with its pictures side by side, the fewest steps first."""
    wide = len(rows[0][1]) * SIDE + GAP
    high = SIDE + TEXT_LINES * LINE + GAP
    columns = max(1, COLUMNS // len(rows[0][1]))
    lines = (len(rows) + columns - 1) // columns
    page = Image.new("RGB", (columns * wide + GAP, lines * high + GAP), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=LINE - 1)
    for i, (prompt, pictures) in enumerate(rows):
        x, y = GAP + i % columns * wide, GAP + i // columns * high
        for k, picture in enumerate(pictures):
            page.paste(picture, (x + k * SIDE, y))
        text = "\n".join(textwrap.wrap(prompt, wide // 6)[:TEXT_LINES])
        pen.multiline_text((x, y + SIDE + 2), text, fill="black", font=font, spacing=1)
    return page


def choices(rng: random.Random, index: int) -> list[str]:
    """The prompt and nine of other subgroups, each of another one, shuffled."""
    rows = prompts()
    subgroup, prompt = rows[index]
    others = [row for row in rows if row[0] != subgroup]
    rng.shuffle(others)
    chosen = {row[0]: row[1] for row in others}
    captions = [prompt, *rng.sample(sorted(chosen.values()), CAPTIONS - 1)]
    rng.shuffle(captions)
    return captions


def write_blind(folder: Path, pictures: list[Image.Image]) -> None:
    """NN.png and questions.json for the reader; answers.json for whoever counts."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    questions, answers = {}, {}
    order = list(range(len(pictures)))
    rng.shuffle(order)
    for number, index in enumerate(order, 1):
        captions = choices(rng, index)
        name = f"{number:02}.png"
        pictures[index].save(folder / name)
        questions[name] = {str(i): text for i, text in enumerate(captions)}
        answers[name] = captions.index(prompts()[index][1])
    (folder / "questions.json").write_text(json.dumps(questions, indent=1) + "\n")
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")


def sheet(args) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        rows = [
            (prompt, [draw(args, prompt, steps, path) for steps in args.steps])
            for _, prompt in prompts()
        ]
    if args.out is not None:
        compose(rows).quantize(256, dither=Image.Dither.NONE).save(args.out, optimize=True)
    if args.blind is not None:
        write_blind(args.blind, [pictures[-1] for _, pictures in rows])
