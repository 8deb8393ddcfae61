"""One run of a long command: its time box, its progress bar, its checkpoint.

The minutes are those of the processors: as many as the clock's on an idle machine, while
a pause (SIGSTOP) or a crowded machine uses up fewer, so that a learning rate that falls
with the box falls with the work done. SIGTERM and SIGINT end a run as the end of the box
does, with everything saved, and then the command.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

SAVE_EVERY = 300.0
BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}


def default_work() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sluice-train"


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; elsewhere it is slower than float32."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return bool(BFLOAT16_FLAGS & set(flags.split()))


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bfloat16())


def save_atomically(value, path: Path) -> None:
    """A reader, or a run that is killed here, finds the old file or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(value, partial)
    os.replace(partial, path)


class Run:
    """The loop of a command: `for _ in run.steps(): ...`, with `run.show(loss=...)`.

    `save` is called every five minutes and at the end. `share` is the part of the box that
    is used up, 0 to 1.
    """

    def __init__(self, name: str, minutes: float, save=lambda: None):
        self.name = name
        self.box = 60.0 * minutes
        self.save = save
        self.used = 0.0
        self.stopped = self.signalled = False
        self.averages: dict[str, float] = {}

    @property
    def share(self) -> float:
        return min(1.0, self.used / self.box) if self.box > 0 else 1.0

    def steps(self, limit: int | None = None):
        previous = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}
        steady = sys.stderr.isatty()
        self.bar = tqdm(
            total=round(self.box / 60, 2), desc=self.name, unit="min", mininterval=0.5,
            bar_format="{desc} {percentage:3.0f}% |{bar:20}| {n:.1f}/{total:.1f} min {postfix}",
            disable=None if steady else True,
        )
        saved = told = 0.0
        start = self._worked()
        count = 0
        try:
            while self.used < self.box and not self.stopped and count != limit:
                yield count
                count += 1
                self.used = self._worked() - start
                self.bar.n = self.used / 60
                self.bar.update(0)
                if not steady and self.used - told > 60:
                    told = self.used
                    print(self._line(), file=sys.stderr, flush=True)
                if self.used - saved > SAVE_EVERY:
                    saved = self.used
                    self.save()
        finally:
            self.bar.close()
            for number, handler in previous.items():
                signal.signal(number, handler)
        print(self._line(), file=sys.stderr, flush=True)
        if count > 0:
            self.save()
        if self.signalled:
            raise SystemExit(0)

    @staticmethod
    def _worked() -> float:
        return time.process_time() / torch.get_num_threads()

    def show(self, **values) -> None:
        """Averages over some hundred steps, beside the bar; text as it is."""
        for key, value in values.items():
            if isinstance(value, float):
                old = self.averages.get(key, value)
                value = old + 0.01 * (value - old)
            self.averages[key] = value
        self.bar.set_postfix_str(self._values(), refresh=False)

    def _values(self) -> str:
        return " ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in self.averages.items()
        )

    def _line(self) -> str:
        return f"{self.name} {self.used / 60:.1f} of {self.box / 60:.1f} min  {self._values()}"

    def _stop(self, number, frame) -> None:
        self.stopped = self.signalled = True


class Average:
    """An exponential moving average of parameters; faster at the start of a training."""

    def __init__(self, parameters, decay: float):
        self.parameters = list(parameters)
        self.shadow = [p.detach().clone() for p in self.parameters]
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (100 + step) / (110 + step))
        torch._foreach_lerp_(self.shadow, self.parameters, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the average with the live weights; twice is nothing."""
        for average, live in zip(self.shadow, self.parameters):
            keep = average.clone()
            average.copy_(live)
            live.copy_(keep)
