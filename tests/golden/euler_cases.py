"""Writes euler/cases.txt: FlowMatchEulerDiscreteScheduler.step over guided velocities,
guided as Flux2KleinPipeline does it (pipeline_flux2_klein.py, step 7).

One case: a line with steps, n and guidance; the steps + 1 sigmas; the n start values;
then for each step n velocities of the prompt, n of the negative prompt, and the n
values after the step.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

CASES = [(4, 24, 4.0), (7, 5, 1.7)]


def case(steps, n, guidance_scale):
    def row(values):
        return " ".join(f"{value:.9g}" for value in values.tolist())

    generator = torch.Generator("cpu").manual_seed(11)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
    scheduler.set_begin_index(0)
    latents = torch.randn(n, generator=generator)
    lines = [f"{steps} {n} {guidance_scale:g}", row(scheduler.sigmas), row(latents)]
    for t in scheduler.timesteps:
        noise_pred = torch.randn(n, generator=generator)
        neg_noise_pred = torch.randn(n, generator=generator)
        lines += [row(noise_pred), row(neg_noise_pred)]
        noise_pred = neg_noise_pred + guidance_scale * (noise_pred - neg_noise_pred)
        latents = scheduler.step(noise_pred, t, latents, return_dict=False)[0]
        lines.append(row(latents))
    return "\n".join(lines)


def main():
    path = Path(__file__).parent / "euler" / "cases.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(case(*values) for values in CASES) + "\n")


if __name__ == "__main__":
    main()
