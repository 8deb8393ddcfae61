"""Writes noise/cases.txt: what torch.randn draws for a float32 tensor, by seed and size.

One case a line: seed, n, stride, then every stride-th of the n values.
"""

from pathlib import Path

import torch

SEEDS = [0, 1, 7, 4294967295, 123456789]
SIZES = [1, 2, 3, 15, 16, 17, 31, 32, 40, 100, 2048]


def main():
    lines = []
    for seed in SEEDS:
        for n in SIZES:
            # 17 is coprime to the block of 16, so every place in a block is seen.
            stride = 17 if n > 100 else 1
            generator = torch.Generator("cpu").manual_seed(seed)
            values = torch.randn(n, generator=generator, dtype=torch.float32)
            fields = [str(seed), str(n), str(stride)]
            fields += [f"{value:.9g}" for value in values[::stride].tolist()]
            lines.append(" ".join(fields))
    path = Path(__file__).parent / "noise" / "cases.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
