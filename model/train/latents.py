"""The drawings as the transformer sees them: encoded when a size is first asked for, mirrored too.

latents/HxW-ENCODER.npy in the work folder, float16 [2, n, h*w, 32]; row 0 as drawn, row 1
mirrored. ENCODER is a digest of the encoder's weights: another encoder, other files.
"""

import hashlib

import numpy as np
import torch
from tqdm import tqdm

from .drawings import Drawings
from .network import CHANNELS, Autoencoder, grid_of
from .run import autocast

BATCH = 64


def encoder_digest(autoencoder: Autoencoder) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(autoencoder.model.state_dict().items()):
        if name.startswith(("encoder", "quant_conv", "bn")):
            digest.update(name.encode())
            digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:12]


class Latents:
    def __init__(self, drawings: Drawings, autoencoder: Autoencoder):
        self.drawings = drawings
        self.autoencoder = autoencoder
        self.digest = encoder_digest(autoencoder)
        self._arrays: dict[tuple[int, int], np.ndarray] = {}

    def _array(self, size) -> np.ndarray:
        if size not in self._arrays:
            path = self._path(size)
            if not path.is_file():
                self._encode(size, path)
            self._arrays[size] = np.load(path, mmap_mode="r")
        return self._arrays[size]

    def _path(self, size):
        name = f"{size[0]}x{size[1]}-{self.digest}.npy"
        return self.drawings.work / "latents" / name

    @torch.no_grad()
    def _encode(self, size, path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        count = len(self.drawings.entries)
        height, width = grid_of(size)
        partial = path.with_suffix(".partial")
        out = np.lib.format.open_memmap(
            partial, "w+", np.float16, (2, count, height * width, CHANNELS)
        )
        model = self.autoencoder.model.eval()
        model.to(memory_format=torch.channels_last)
        for start in tqdm(range(0, count, BATCH), f"encode {size[0]}x{size[1]}", disable=None):
            indices = range(start, min(start + BATCH, count))
            pictures = self.drawings.pictures(indices, size)
            with autocast():
                for row, turned in enumerate((pictures, pictures.flip(3))):
                    turned = turned.contiguous(memory_format=torch.channels_last)
                    out[row, start : indices.stop] = self.autoencoder.encode(turned).numpy()
        out.flush()
        partial.rename(path)

    def tokens(self, indices: torch.Tensor, size, mirror: torch.Tensor) -> torch.Tensor:
        """[B, h*w, 32] float32."""
        rows = self._array(size)[mirror.long().numpy(), indices.numpy()]
        return torch.from_numpy(rows.astype(np.float32))
