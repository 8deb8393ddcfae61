"""Writes schedule/cases.txt: the sigmas of FlowMatchEulerDiscreteScheduler, called as
Flux2KleinPipeline calls it (pipeline_flux2_klein.py, step 6).

One case a line: kind (static, exponential, linear), shift, steps, tokens, mu, then the
steps + 1 sigmas.
"""

from pathlib import Path

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux2.pipeline_flux2_klein import (
    compute_empirical_mu,
    retrieve_timesteps,
)

STEPS = [1, 2, 3, 4, 5, 8, 20, 50, 100]
TOKENS = [1, 15, 64, 256, 1024, 4096, 4300, 4301]
# kind, shift, tokens (a static shift does not depend on them)
KINDS = [
    ("static", 3.0, [64]),
    ("static", 1.0, [64]),
    ("exponential", 3.0, TOKENS),
    ("linear", 3.0, TOKENS),
]


def case(kind, shift, steps, tokens):
    config = {"shift": shift}
    if kind != "static":
        config |= {"use_dynamic_shifting": True, "time_shift_type": kind}
    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    mu = compute_empirical_mu(image_seq_len=tokens, num_steps=steps)
    sigmas = np.linspace(1.0, 1 / steps, steps)
    retrieve_timesteps(scheduler, steps, "cpu", sigmas=sigmas, mu=mu)
    fields = [kind, f"{shift:g}", str(steps), str(tokens), f"{mu:.17g}"]
    fields += [f"{sigma:.9g}" for sigma in scheduler.sigmas.tolist()]
    return " ".join(fields)


def main():
    lines = [
        case(kind, shift, steps, tokens)
        for kind, shift, sizes in KINDS
        for steps in STEPS
        for tokens in sizes
    ]
    path = Path(__file__).parent / "schedule" / "cases.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
