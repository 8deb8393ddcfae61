#!/usr/bin/env python3
"""Which optimiser has which parameter, and that a saved one goes on as if never stopped."""

import copy
import unittest

import needs

needs.packages("torch", "diffusers", "transformers")

import torch

from model.train.network import Network
from model.train.optimizer import Optimizer
from model.train.text import Reader


def small_network() -> Network:
    torch.manual_seed(0)
    return Network.fresh(64, 0, num_layers=1, num_single_layers=1, num_attention_heads=1)


def gradients(network: Network, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in network.trained():
        parameter.grad = torch.randn_like(parameter)


def named_parts(network) -> dict[str, set[str]]:
    names = {id(p): name for name, p in network.named_parameters()}
    return {
        part: {names[id(p)] for group in value.param_groups for p in group["params"]}
        for part, value in Optimizer(network, 1e-3).parts.items()
    }


class Parts(unittest.TestCase):
    def test_every_trained_parameter_has_one(self):
        for network in (small_network(), Reader(small_network(), 0)):
            parts = named_parts(network)
            trained = {n for n, p in network.named_parameters() if p.requires_grad}
            self.assertEqual(parts["muon"] | parts["adamw"], trained)
            self.assertFalse(parts["muon"] & parts["adamw"])

    def test_ends_and_vectors_are_not_muons(self):
        network = small_network()
        parts = named_parts(network)
        self.assertLessEqual({"dit.x_embedder.weight", "dit.proj_out.weight"}, parts["adamw"])
        self.assertLessEqual(
            {"dit.context_embedder.weight", "dit.single_transformer_blocks.0.attn.to_out.weight"},
            parts["muon"],
        )
        parts = named_parts(Reader(network, 0))
        self.assertLessEqual(
            {"text.model.embed_tokens.weight", "head.weight",
             "text.model.layers.0.input_layernorm.weight"}, parts["adamw"],
        )
        self.assertIn("text.model.layers.0.mlp.up_proj.weight", parts["muon"])


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
