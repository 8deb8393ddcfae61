"""The measuring part of tests/bench/compare, run by the peers' environment."""

import argparse
import io
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

import numpy
from PIL import Image

import report
from contenders import Peer, Sluice, Unfit

PROMPTS = ["grinning cat with smiling eyes, blob style", "red apple, noto style",
           "rocket, twemoji style", "sun behind rain cloud", "house with garden",
           "flag with star", "green tree", "blue fish, noto style"]
MOST_PASSES = 11


class Setting:
    """Where things are, and what is measured."""

    def __init__(self, arguments):
        self.binary, self.model = arguments.binary, pathlib.Path(arguments.model).resolve()
        self.cache, self.output = pathlib.Path(arguments.cache), pathlib.Path(arguments.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.quick = arguments.quick
        self.kinds = arguments.peers.split(",")
        self.seconds = 60 * (arguments.minutes or (1.5 if self.quick else 12))
        self.processors = len(os.sched_getaffinity(0))
        self.own_environment = {
            k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")
        }
        # Peers get their own defaults, not what is set for another library's sake.
        self.environment = {
            k: v for k, v in self.own_environment.items()
            if not k.startswith(("OPENBLAS_", "OMP_", "MKL_"))
        }
        self.side = self.default_side()
        self.sides = [self.side, 2 * self.side] if self.quick else [
            self.side, 2 * self.side, 4 * self.side]
        self.steps = [1, 4, 20] if self.quick else [1, 4, 8, 20]
        self.many_steps = 4 if self.quick else 8
        self.batches = [4] if self.quick else [1, 4, 8, 16]
        self.served = self.raise_limit()

    def default_side(self):
        settings = self.model / "sluice.json"
        found = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
        return found.get("width", 1024)

    def raise_limit(self):
        """The same folder by links, but that its largest picture is what is measured."""
        folder = self.output / "served"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for entry in self.model.iterdir():
            if entry.name != "sluice.json":
                (folder / entry.name).symlink_to(entry)
        settings = self.model / "sluice.json"
        found = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
        found["max_pixels"] = max(found.get("max_pixels", 0), max(self.sides) ** 2)
        (folder / "sluice.json").write_text(json.dumps(found), encoding="utf-8")
        return folder


def machine():
    """What the numbers belong to."""
    name, flags = platform.processor() or platform.machine(), set()
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            if key.strip() == "flags":
                flags = set(value.split())
    except OSError:
        pass
    sets = [flag for flag in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return {
        "processor": name,
        "processors": len(os.sched_getaffinity(0)),
        "instruction_sets": sets,
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
    }


def versions():
    import importlib.metadata

    found = {}
    for name in ("torch", "diffusers", "transformers", "onnxruntime", "openvino",
                 "stable-diffusion-cpp-python"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def bench(setting, threads, seconds):
    """`sluice bench` for the same model."""
    command = [setting.binary, "bench", "--model", setting.served, "--json", "--seconds",
               str(seconds), "--threads", str(threads)]
    found = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                           check=False, env=setting.own_environment)
    if found.returncode != 0:
        sys.exit(f"compare: sluice bench: {found.stderr}")
    return json.loads(found.stdout)


class Cell:
    """One thing that is measured of all contenders that can do it, again and again."""

    def __init__(self, what, contenders, steps, side, batch=1):
        self.what, self.contenders = what, list(contenders)
        self.steps, self.side, self.batch = steps, side, batch
        self.ms = {contender.name: [] for contender in self.contenders}
        self.pngs, self.first = {}, {}
        self.errors = {}
        self.cost = 0.0  # seconds of one pass

    def prompts(self, count, turn):
        """Every turn has prompts of its own: Sluice keeps encoded ones, peers do not."""
        prompts = [f"{turn * 100 + i} {PROMPTS[i % len(PROMPTS)]}" for i in range(count)]
        return prompts, [7 + i for i in range(count)]

    def count(self, contender):
        """How many pictures one measurement makes."""
        if self.what == "lone":
            return 1
        if isinstance(contender, Sluice):
            return 48 if self.batch > 1 else 1
        return self.batch * contender.processes

    def run(self, contender, turn):
        count = self.count(contender)
        ms, pngs = contender.pictures(*self.prompts(count, turn), self.steps, self.side)
        return ms / count, pngs

    def warm_up(self):
        """Once each: compiles, fetches, and says what a pass costs."""
        for contender in self.contenders[:]:
            start = time.perf_counter()
            try:
                self.run(contender, 0)
                self.first[contender.name] = (time.perf_counter() - start) * 1000
                start = time.perf_counter()
                _, pngs = self.run(contender, 1)
                self.pngs[contender.name] = pngs[0]
            except Unfit as error:
                self.errors[contender.name] = str(error)
                self.contenders.remove(contender)
            self.cost += time.perf_counter() - start

    def measure(self, turn):
        """One measurement of each, beginning with another one every time."""
        n = len(self.contenders)
        for i in range(n):
            contender = self.contenders[(turn + i) % n]
            try:
                self.ms[contender.name].append(self.run(contender, turn)[0])
            except Unfit as error:
                self.errors[contender.name] = str(error)

    def differences(self, reference):
        """{name: (largest, mean) difference of pixels, of 255}"""
        if reference not in self.pngs:
            return {}
        images = {
            name: numpy.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
            for name, png in self.pngs.items()
        }
        found = {}
        for name, image in images.items():
            apart = numpy.abs(image - images[reference])
            found[name] = (int(apart.max()), float(apart.mean()))
        return found

    def result(self):
        return {
            "what": self.what,
            "steps": self.steps,
            "side": self.side,
            "batch": self.batch,
            "median_ms": {k: statistics.median(v) for k, v in self.ms.items() if v},
            "ms": self.ms,
            "first_ms": self.first,
            "pixels": self.differences("diffusers"),
            "errors": self.errors,
        }


def say(text):
    print(text, file=sys.stderr, flush=True)


def start_contenders(setting, absent):
    """Sluice with all workers and with one, then the peers; who cannot start is absent."""
    makers = [lambda: Sluice(setting, 0)]
    if setting.processors > 1:
        makers.append(lambda: Sluice(setting, 1))
    for kind in setting.kinds:
        makers.append(lambda kind=kind: Peer(kind, setting, setting.processors))
    engines = [kind for kind in setting.kinds if kind in ("onnxruntime", "openvino")]
    if setting.processors > 1:
        for kind in engines:
            makers.append(lambda kind=kind: Peer(kind, setting, 1, setting.processors))
    started = []
    labels = ["sluice", "sluice, one worker"][: 1 + (setting.processors > 1)]
    labels += setting.kinds + [f"{kind}, a process a core" for kind in engines]
    for label, make in zip(labels, makers):
        begin = time.monotonic()
        try:
            started.append(make())
            say(f"  {started[-1].name}: started in {time.monotonic() - begin:.1f} s")
        except (Unfit, OSError) as error:
            absent[label] = str(error)
            say(f"  {label}: absent: {error}")
    return started


def plan_cells(setting, started):
    whole = [one for one in started if isinstance(one, Sluice) or one.processes == 1]
    cells = []
    for side in setting.sides:
        compiled = side == setting.side or not setting.quick
        fit = [one for one in whole if compiled or getattr(one, "kind", "") != "compile"]
        steps = setting.steps if side == setting.side or not setting.quick else [4]
        cells += [Cell("lone", fit, n, side) for n in steps]
    for batch in setting.batches:
        fit = [one for one in started if not isinstance(one, Sluice) or batch == max(setting.batches)]
        if setting.quick:
            fit = [one for one in fit if getattr(one, "kind", "") != "compile"]
        cells.append(Cell("many", fit, setting.many_steps, setting.side, batch))
    return sorted(cells, key=lambda cell: cell.what == "lone" and cell.side > setting.side)


def measure_cells(setting, cells, end):
    """Passes over all cells until the time is up; a cell that no longer fits is skipped."""
    for cell in cells:
        cell.warm_up()
        say(f"  {cell.what}, {cell.side} pixels, {cell.steps} steps, batch {cell.batch}: "
            f"{cell.cost:.1f} s a pass with preparation")
    # Preparing may have used up the time, when torch.compile starts from nothing.
    begin = time.monotonic()
    end = max(end, begin + 0.4 * setting.seconds)
    for turn in range(MOST_PASSES):
        for cell in cells:
            cost = cell.cost
            if turn == 0 or time.monotonic() + cost < end:
                start = time.monotonic()
                cell.measure(turn + 2)
                cell.cost = time.monotonic() - start
        if time.monotonic() > end:
            break
    say(f"  {turn + 1} passes in {time.monotonic() - begin:.0f} s")


def measure_velocity(setting, started, absent):
    """{threads: {batch: {name: ms a picture}}}, peers one after the other; Sluice is in the
    benches before and behind them."""
    found = {}
    for threads in sorted({1, setting.processors}):
        own = threads == setting.processors
        peers, extra = [one for one in started
                        if isinstance(one, Peer) and one.processes == 1 and own], []
        if not own:
            for kind in setting.kinds:
                if setting.quick and kind == "compile":
                    continue
                try:
                    extra.append(Peer(kind, setting, threads))
                except (Unfit, OSError) as error:
                    absent[f"{kind}, {threads} thread"] = str(error)
        rows = found[threads] = {}
        for batch in (1, 8):
            rows[batch] = {}
            for turn in range(2):
                for peer in (peers + extra)[:: 1 if turn == 0 else -1]:
                    try:
                        times = peer.velocity(batch, setting.side, 0.5 if setting.quick else 2)
                        rows[batch].setdefault(peer.name.split(", one")[0], []).extend(
                            ms / batch for ms in times)
                    except Unfit as error:
                        absent[f"{peer.name}, velocity of {batch}"] = str(error)
        for peer in extra:
            peer.close()
    return {
        threads: {batch: {name: statistics.median(times) for name, times in row.items()}
                  for batch, row in rows.items()}
        for threads, rows in found.items()
    }


def parse_arguments():
    parser = argparse.ArgumentParser()
    for name in ("output", "binary", "model", "cache"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--peers", default="eager,compile,onnxruntime,openvino,sdcpp")
    return parser.parse_args()


def main():
    setting = Setting(parse_arguments())
    result = {"machine": machine(), "versions": versions(), "quick": setting.quick,
              "sides": setting.sides, "absent": {}}
    begin = time.monotonic()
    seconds = 5 if setting.quick else 25
    counts = sorted({1, setting.processors})
    result["bench"] = {str(n): [bench(setting, n, seconds)] for n in counts}
    say("contenders:")
    started = start_contenders(setting, result["absent"])
    try:
        say("velocity alone")
        result["velocity"] = measure_velocity(setting, started, result["absent"])
        say("pictures")
        cells = plan_cells(setting, started)
        measure_cells(setting, cells, begin + setting.seconds)
        result["cells"] = [cell.result() for cell in cells]
        result["parts"] = started[0].parts if isinstance(started[0], Sluice) else []
    finally:
        for contender in started:
            contender.close()
    for n in counts:
        result["bench"][str(n)].append(bench(setting, n, seconds))
    shutil.rmtree(setting.served)
    result["machine"]["load_after"] = os.getloadavg()[0]
    result["seconds"] = time.monotonic() - begin
    (setting.output / "comparison.json").write_text(json.dumps(result, indent=1) + "\n",
                                                    encoding="utf-8")
    text = report.markdown(result)
    (setting.output / "comparison.md").write_text(text, encoding="utf-8")
    print(text)
    report.plot(result, setting.output / "comparison.png")
    say(f"{setting.output}: comparison.md, comparison.json, comparison.png")


if __name__ == "__main__":
    main()
