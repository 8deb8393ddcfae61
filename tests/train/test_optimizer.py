#!/usr/bin/env python3
"""Which optimiser has which parameter, and that a saved one goes on as if never stopped."""

import copy
import unittest

import needs

needs.packages("torch", "diffusers", "transformers")

import torch

from model.train.network import Network
from model.train.optimizer import Optimizer


def small_network() -> Network:
    torch.manual_seed(0)
    return Network.fresh(64, 0, num_layers=1, num_single_layers=1, num_attention_heads=1)


def gradients(network: Network, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in network.trained():
        parameter.grad = torch.randn_like(parameter)


class Parts(unittest.TestCase):
    def setUp(self):
        self.network = small_network()
        self.optimizer = Optimizer(self.network, 1e-3)
        names = {id(p): name for name, p in self.network.named_parameters()}
        self.names = {
            part: {names[id(p)] for group in value.param_groups for p in group["params"]}
            for part, value in self.optimizer.parts.items()
        }

    def test_every_trained_parameter_has_one(self):
        trained = {n for n, p in self.network.named_parameters() if p.requires_grad}
        self.assertEqual(self.names["muon"] | self.names["adamw"], trained)
        self.assertFalse(self.names["muon"] & self.names["adamw"])

    def test_ends_and_vectors_are_not_muons(self):
        for name in ("text.model.embed_tokens.weight", "dit.x_embedder.weight",
                     "dit.proj_out.weight", "text.model.layers.0.input_layernorm.weight"):
            self.assertIn(name, self.names["adamw"])
        for name in ("dit.context_embedder.weight", "text.model.layers.0.mlp.up_proj.weight",
                     "dit.single_transformer_blocks.0.attn.to_out.weight"):
            self.assertIn(name, self.names["muon"])


class Steps(unittest.TestCase):
    def test_a_saved_one_goes_on(self):
        network = small_network()
        optimizer = Optimizer(network, 1e-3)
        for seed in (1, 2):
            gradients(network, seed)
            optimizer.step(1.0)
        other = copy.deepcopy(network)
        resumed = Optimizer(other, 1e-3)
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for each, stepper in ((network, optimizer), (other, resumed)):
            gradients(each, 3)
            stepper.step(0.5)
        for a, b in zip(network.trained(), other.trained(), strict=True):
            self.assertTrue(torch.equal(a, b))

    def test_the_factor_scales_a_step(self):
        moved = []
        for factor in (1.0, 0.5):
            network = small_network()
            before = [p.detach().clone() for p in network.trained()]
            gradients(network, 1)
            Optimizer(network, 1e-3).step(factor)
            moved.append(torch.stack([
                (p.detach() - q).square().mean().sqrt()
                for p, q in zip(network.trained(), before)
            ]))
        torch.testing.assert_close(moved[0], 2 * moved[1], rtol=1e-2, atol=1e-7)

    def test_both_move_their_matrices_alike(self):
        """A step has AdamW's root mean square, about the rate's: one rate serves both."""
        network = small_network()
        before = {n: p.detach().clone() for n, p in network.named_parameters()}
        gradients(network, 1)
        Optimizer(network, 1e-3).step(1.0)
        for name, parameter in network.named_parameters():
            if parameter.requires_grad and parameter.ndim == 2:
                step = (parameter.detach() - before[name]).square().mean().sqrt().item()
                self.assertLess(abs(step / 1e-3 - 0.6), 0.45, name)


if __name__ == "__main__":
    unittest.main()
