"""The drawings: SVG files of a folder, rendered once to arrays.

The folder is laid out by a person (README.md): noto/, blob/, twemoji/, and captions.json
where the names are not to be Unicode's. The arrays lie in the work folder:
entries.json, and pictures/SIDE.npy, uint8 [n, SIDE, SIDE, 3] on white. Every sixteenth
drawing, chosen by the digest of its file name, is held out of all training.
"""

import hashlib
import io
import json
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from . import captions, names

SIDES = (64, 96, 128, 192)
# Height and width; where they differ the drawing stands in the middle of white.
SIZES = (
    (128, 128), (64, 64), (96, 96), (192, 192), (96, 128), (128, 96), (128, 192), (192, 128),
)
HELD_OUT = 16
WHITE = 255


def is_held_out(entry: dict) -> bool:
    return hashlib.sha256(entry["file"].encode()).digest()[0] % HELD_OUT == 0


def render(path: Path, side: int) -> np.ndarray:
    """The drawing on white, [side, side, 3]; one that is not square stands in the middle."""
    import resvg_py

    png = resvg_py.svg_to_bytes(
        svg_path=str(path), width=side, height=side, background="#ffffff",
        skip_system_fonts=True,
    )
    image = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    if image.size != (side, side):
        square = Image.new("RGB", (side, side), (WHITE,) * 3)
        image.thumbnail((side, side))
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        image = square
    return np.asarray(image)


def _render_all(path: Path) -> list[np.ndarray] | str:
    try:
        return [render(path, side) for side in SIDES]
    except Exception as error:  # a broken drawing is reported, not fatal
        return f"{path.name}: {error}"


def named(folder: Path, unicode: Path) -> list[dict]:
    """The entries of captions.json where there is one, else by Unicode's names."""
    path = folder / "captions.json"
    if not path.is_file():
        return names.entries(folder, unicode)
    entries = json.loads(path.read_text(encoding="utf-8"))
    return [entry for entry in entries if (folder / entry["file"]).is_file()]


def prepare(folder: Path, work: Path, unicode: Path) -> None:
    """Renders the drawings of `folder` that have a name into `work`."""
    entries = named(folder, unicode)
    if not entries:
        raise SystemExit(
            f"{folder}: no drawing with a name in " + ", ".join(captions.STYLES)
        )
    target = work / "pictures"
    target.mkdir(parents=True, exist_ok=True)
    arrays = [
        np.lib.format.open_memmap(
            target / f"{side}.npy", "w+", np.uint8, (len(entries), side, side, 3)
        )
        for side in SIDES
    ]
    kept = []
    with Pool() as pool:
        paths = [folder / entry["file"] for entry in entries]
        results = tqdm(pool.imap(_render_all, paths, 32), "render", len(paths), disable=None)
        for entry, result in zip(entries, results):
            if isinstance(result, str):
                print(result)
                continue
            for array, picture in zip(arrays, result):
                array[len(kept)] = picture
            kept.append(entry)
    for array in arrays:
        array.flush()
    # The arrays keep a row for each broken drawing at their end; entries.json rules.
    (work / "entries.json").write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


class Drawings:
    """The rendered drawings; index i counts all, held out or not."""

    def __init__(self, work: Path):
        path = work / "entries.json"
        if not path.is_file():
            raise SystemExit(f"{path} is not there: run `data` first")
        self.work = work
        self.entries = json.loads(path.read_text(encoding="utf-8"))
        held = np.array([is_held_out(entry) for entry in self.entries])
        self.train = np.flatnonzero(~held)
        self.held_out = np.flatnonzero(held)
        weights = np.array([captions.weight(entry) for entry in self.entries])
        self.weights = torch.from_numpy(np.where(held, 0.0, weights))
        self.held_out_weights = torch.from_numpy(np.where(held, weights, 0.0))
        self.mirrored = torch.tensor([captions.may_mirror(e) for e in self.entries])
        self._arrays: dict[int, np.ndarray] = {}

    def pictures(self, indices, size: tuple[int, int], mirror=None) -> torch.Tensor:
        """[B, 3, height, width] in -1..1; `mirror` says which are turned left to right."""
        height, width = size
        side = min(size)
        if side not in self._arrays:
            self._arrays[side] = np.load(self.work / f"pictures/{side}.npy", mmap_mode="r")
        out = np.full((len(indices), height, width, 3), WHITE, np.uint8)
        top, left = (height - side) // 2, (width - side) // 2
        for row, index in enumerate(indices):
            picture = self._arrays[side][index]
            if mirror is not None and mirror[row]:
                picture = picture[:, ::-1]
            out[row, top : top + side, left : left + side] = picture
        return torch.from_numpy(out).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def draw(self, count: int, generator=None) -> torch.Tensor:
        """Indices of training drawings, by weight."""
        return torch.multinomial(self.weights, count, True, generator=generator)

    def draw_held_out(self, count: int, generator=None) -> torch.Tensor:
        """Of the others in the same way, so that the two differ in nothing else."""
        return torch.multinomial(self.held_out_weights, count, True, generator=generator)


def picture_sheet(rows: list[torch.Tensor], path: Path) -> None:
    """Rows of pictures [B, 3, H, W] in -1..1, one under the other."""
    lines = [torch.cat(list(row.float().clamp(-1, 1)), 2) for row in rows]
    sheet = torch.cat(lines, 1).add(1).mul(127.5).round().byte().permute(1, 2, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.numpy()).save(path)
