#!/usr/bin/env python3
"""The package computes what the pipeline of diffusers computed for the golden files."""

import json
import os
import unittest
from pathlib import Path

import needs

needs.packages("torch", "diffusers", "transformers", "safetensors")

import torch
from safetensors.torch import load_file

from model.train import network, sampler

GOLDEN = Path(os.environ["SLUICE_SOURCE_DIR"]) / "tests/golden/house"


class House(unittest.TestCase):
    @torch.no_grad()
    def test_first_run_of_golden_files(self):
        expected = json.loads((GOLDEN / "expected.json").read_text())
        run = expected["runs"][0]
        prompt = expected["prompts"][run["prompt"]]
        house = network.Network.load(network.HOUSE).eval()
        decoder = network.Autoencoder.load(network.HOUSE)
        decoder.model.eval()
        tokenizer = network.load_tokenizer(network.HOUSE)
        grid = sampler.grid_of((run["height"], run["width"]))
        generator = torch.Generator().manual_seed(run["seed"])
        noise = torch.randn(1, network.CHANNELS, *grid, generator=generator)
        tokens = (
            *network.tokenize(tokenizer, [prompt]), *network.tokenize(tokenizer, [""])
        )
        x = sampler.euler(
            sampler.Guided(house, tokens, run["guidance"], grid),
            noise.flatten(2).transpose(1, 2), sampler.times(run["steps"]),
        )
        pixels = decoder.decode(x, grid)[0].permute(1, 2, 0).clamp(-1, 1).add(1).mul(127.5)
        wanted = load_file(GOLDEN / "expected.safetensors")["run.0.pixels"]
        self.assertLessEqual((pixels.round() - wanted.float()).abs().max().item(), 1)

    def test_packing_is_undone(self):
        latents = torch.randn(2, 8, 6, 4)
        self.assertTrue(torch.equal(network.unpack(network.pack(latents), (3, 2)), latents))

    def test_encoder_and_decoder_fit(self):
        """A flat picture comes back: the normalisation is undone as it was done."""
        decoder = network.Autoencoder.load(network.HOUSE)
        decoder.model.eval()
        with torch.no_grad():
            picture = torch.ones(1, 3, 64, 96)
            back = decoder.decode(decoder.encode(picture), (4, 6))
        self.assertLess((back - picture).abs().mean().item(), 0.05)


if __name__ == "__main__":
    unittest.main()
