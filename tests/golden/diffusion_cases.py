"""Writes diffusion/cases.txt: DDIMScheduler (eta 0) drawing with networks of a formula.

One case: a line with prediction_type, beta_schedule, beta_start, beta_end,
timestep_spacing, steps_offset, rescale_betas_zero_snr, steps, seed, channels, height and
width; the training times and their alphas_cumprod; the state after the last step, token by
token.

The network answers o = (0.5 + 0.4 u) tanh(z) + 0.1 at u = k/1000, whatever it is said to
predict. Numbers of steps divide 1000: between others DDIMScheduler's own previous time is
not the next of its list.
"""

from pathlib import Path

import torch
from diffusers import DDIMScheduler

SHAPE = (3, 2, 4)  # channels, height, width
LINEAR = ("linear", 0.0001, 0.02)
SCALED = ("scaled_linear", 0.00085, 0.012)
COSINE = ("squaredcos_cap_v2", 0.0001, 0.02)
# prediction, betas, spacing, offset, zero terminal SNR, steps, seed
CASES = [
    ("epsilon", SCALED, "leading", 1, False, 4, 1),
    ("epsilon", SCALED, "trailing", 0, False, 10, 2),
    ("epsilon", LINEAR, "leading", 0, False, 20, 3),
    ("epsilon", COSINE, "leading", 0, False, 8, 4),
    ("v_prediction", COSINE, "trailing", 0, False, 5, 5),
    ("v_prediction", SCALED, "trailing", 0, True, 20, 6),
    ("v_prediction", LINEAR, "leading", 1, False, 50, 7),
    ("sample", LINEAR, "trailing", 0, False, 4, 8),
    ("sample", COSINE, "trailing", 0, False, 8, 9),
    ("sample", SCALED, "leading", 1, True, 2, 10),
]
# linspace is not DDIM's to walk evenly: its times alone.
TIMES_ONLY = [
    ("epsilon", SCALED, "linspace", 0, False, 7, 0),
    ("epsilon", LINEAR, "trailing", 0, False, 7, 0),
    ("epsilon", COSINE, "leading", 3, False, 30, 0),
    ("v_prediction", COSINE, "linspace", 0, True, 16, 0),
]


def network(z, k):
    return (0.5 + 0.4 * k / 1000) * torch.tanh(z) + 0.1


def row(values):
    return " ".join(f"{value:.9g}" for value in values.tolist())


def case(prediction, betas, spacing, offset, zero_snr, steps, seed):
    schedule, start, end = betas
    scheduler = DDIMScheduler(
        prediction_type=prediction, beta_schedule=schedule, beta_start=start, beta_end=end,
        timestep_spacing=spacing, steps_offset=offset, rescale_betas_zero_snr=zero_snr,
        clip_sample=False, set_alpha_to_one=True,
    )
    scheduler.set_timesteps(steps)
    head = f"{prediction} {schedule} {start:g} {end:g} {spacing} {offset} {int(zero_snr)}"
    lines = [
        f"{head} {steps} {seed} {' '.join(map(str, SHAPE))}",
        row(scheduler.timesteps),
        row(scheduler.alphas_cumprod[scheduler.timesteps]),
    ]
    if seed:
        z = torch.randn(SHAPE, generator=torch.Generator("cpu").manual_seed(seed))
        for k in scheduler.timesteps:
            z = scheduler.step(network(z, k), k, z).prev_sample
        lines.append(row(z.flatten(1).T.flatten()))
    return "\n".join(lines)


def main():
    path = Path(__file__).parent / "diffusion" / "cases.txt"
    path.parent.mkdir(exist_ok=True)
    rows = [case(*values) for values in [*CASES, *TIMES_ONLY]]
    path.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
