"""Muon for the matrices between the ends of the networks, AdamW for all else.

Muon (Jordan, kellerjordan.github.io/posts/muon) makes each matrix's momentum nearly
orthogonal, so that no direction is learned slower than the others. Its steps are scaled to
AdamW's root mean square (arXiv 2502.16982), so one rate serves both. Embeddings and the
projections at the ends of the networks are AdamW's, as Muon's author advises.
"""

import torch
from torch import nn

ENDS = ("text.model.embed_tokens", "head", "dit.x_embedder", "dit.proj_out")
WEIGHT_DECAY = 0.01


def is_hidden_matrix(name: str, parameter: torch.Tensor) -> bool:
    return parameter.ndim == 2 and not name.startswith(ENDS)


class Optimizer:
    """Both optimisers of a network, as one."""

    def __init__(self, network: nn.Module, rate: float):
        named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
        hidden = [p for n, p in named if is_hidden_matrix(n, p)]
        others = [p for n, p in named if not is_hidden_matrix(n, p)]
        self.rate = rate
        self.parts = {
            "muon": torch.optim.Muon(
                hidden, lr=rate, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
            ),
            "adamw": torch.optim.AdamW(
                others, lr=rate, betas=(0.9, 0.97), weight_decay=0.0, fused=True
            ),
        }

    def step(self, factor: float) -> None:
        """One step at `factor` of the rate; the gradients are cleared."""
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = self.rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, saved: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        for group in self.parts["adamw"].param_groups:
            group["fused"] = True
