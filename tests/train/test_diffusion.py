#!/usr/bin/env python3
"""A diffusion checkpoint is served: the program's picture against DDIMScheduler's.

The network is the study's, of drawn weights, in a folder as `export --stage diffusion`
writes it. Environment: SLUICE_BINARY is the program.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import needs

needs.packages("torch", "diffusers", "transformers", "PIL")

import numpy as np
import torch
from diffusers import DDIMScheduler
from PIL import Image

from model.train import export, network, study

BINARY = os.environ["SLUICE_BINARY"]
PROMPT, SEED, STEPS, SIZE = "red apple, noto style", 7, 8, (96, 128)


def drawn_network() -> network.Network:
    """What starts at zero is drawn too, so that all of the network has a part."""
    torch.manual_seed(1)
    made = study.small_network(
        network.load_tokenizer(network.HOUSE), network.Network.load(network.HOUSE)
    )
    with torch.no_grad():
        for parameter in made.dit.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.02)
    return made


class Diffusion(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name) / "diffusion"
        network.write_bundle(
            self.folder, network.HOUSE, drawn_network(),
            network.Autoencoder.load(network.HOUSE), False, export.diffusion_scheduler(),
        )

    def served(self) -> np.ndarray:
        path = self.folder / "served.png"
        subprocess.run(
            [
                BINARY, "generate", "--model", self.folder, "--prompt", PROMPT,
                "--seed", str(SEED), "--steps", str(STEPS), "--guidance", "1",
                "--height", str(SIZE[0]), "--width", str(SIZE[1]), "-o", path,
            ],
            check=True, capture_output=True, timeout=600,
        )
        return np.asarray(Image.open(path).convert("RGB")).astype(int)

    @torch.no_grad()
    def expected(self) -> np.ndarray:
        """In float32, from what the folder holds."""
        folder = self.folder
        made = network.Network.load(folder).eval()
        decoder = network.Autoencoder.load(folder)
        decoder.model.eval()
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        scheduler.set_timesteps(STEPS)
        grid = network.grid_of(SIZE)
        tokenizer = network.load_tokenizer(folder)
        context = made.context(*network.tokenize(tokenizer, [PROMPT]))
        generator = torch.Generator().manual_seed(SEED)
        z = torch.randn(1, network.CHANNELS, *grid, generator=generator)
        z = z.flatten(2).transpose(1, 2)
        for k in scheduler.timesteps:
            noise = made.velocity(z, k.float().view(1) / 1000, context, grid)
            z = scheduler.step(noise, k, z).prev_sample
        pixels = decoder.decode(z, grid)[0].permute(1, 2, 0)
        return pixels.clamp(-1, 1).add(1).mul(127.5).round().int().numpy()

    def test_picture_is_that_of_ddim(self):
        difference = np.abs(self.served() - self.expected())
        self.assertLessEqual(difference.max(), 1)
        self.assertLessEqual((difference > 0).mean(), 0.01)


if __name__ == "__main__":
    unittest.main()
