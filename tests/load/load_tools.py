"""What the load scenarios share: the generator, readings from /proc, features, figures.

Environment: LOAD_GENERATOR is the program; SLUICE_BINARY and SLUICE_SOURCE_DIR as in
tests/http/sluice_server.py.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "http"))

from sluice_server import HOUSE, Server, run_sluice, tiny, wait_until  # noqa: E402

GENERATOR = os.environ["LOAD_GENERATOR"]
TINY = tiny("two-taps")
PROBES_A_SECOND = 20


class Skipped(Exception):
    """The server under test lacks what the scenario is about."""


@dataclass
class Goal:
    """What a figure must reach; asserted only in whole runs."""

    figure: str
    text: str  # for the table
    least: float = -float("inf")
    most: float = float("inf")

    def holds(self, value):
        return self.least <= value <= self.most


@dataclass
class Scenario:
    """A row of the issue's table: measure(run) returns figures by name, and asserts its
    ledgers in any case."""

    name: str
    text: str
    measure: object
    goals: list = field(default_factory=list)
    repetitions: int = 3


@dataclass
class Run:
    """How long and on what a scenario runs."""

    short: bool
    seconds: float | None = None  # of each load, in place of the scenario's own

    def duration(self, whole, short):
        return self.seconds or (short if self.short else whole)

    def pick(self, whole, short):
        return short if self.short else whole

    @property
    def model(self):
        return TINY if self.short else HOUSE

    @property
    def mix(self):
        """The usual request: a quick one of the model's."""
        return "steps=2,guidance=1" if self.short else "steps=4,guidance=1"


class Load:
    """A generator that runs beside this program."""

    def __init__(self, port, *options, entries=False):
        self._file = tempfile.NamedTemporaryFile("r") if entries else None
        if entries:
            options = (*options, "--entries", self._file.name)
        command = (GENERATOR, *options, f"127.0.0.1:{port}")
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.command = command
        self.entries = {}

    def report(self, timeout=1200):
        """The JSON, when it has ended; its ledger sums up."""
        out, errors = self.process.communicate(timeout=timeout)
        if self.process.returncode != 0:
            raise AssertionError(f"{shlex.join(map(str, self.command))}: {errors}")
        report = json.loads(out)
        if self._file:
            self._read_entries()
        check_ledger(report)
        return report

    def _read_entries(self):
        for line in self._file:
            seed, _, outcome, status, due, latency, steps, digest = line.rstrip("\n").split("\t")
            self.entries[int(seed)] = Entry(
                outcome, int(status), float(due), float(latency), int(steps), digest
            )
        self._file.close()


@dataclass
class Entry:
    outcome: str
    status: int
    due: float  # milliseconds from the beginning
    latency: float  # milliseconds
    steps: int
    digest: str


def generate(port, *options):
    return Load(port, *options).report()


def lost(report):
    return sum(report["lost"].values())


def check_ledger(report):
    """sent = answered + refused + aborted + lost."""
    ends = sum(report["answered"].values()) + sum(report["refused"].values())
    total = ends + report["aborted"] + lost(report)
    if total != report["sent"] or not report["balanced"]:
        raise AssertionError(f"the ledger does not sum up: {report}")


def check_nothing_lost(report):
    """Besides, every request that did not leave has an answer, and none is a 5xx."""
    if lost(report) > 0 or any(status >= "500" for status in report["answered"]):
        raise AssertionError(f"lost or failed: {report['lost']} {report['answered']}")


class Probes:
    """GET /livez on the operator's port at equal distances, beside a load."""

    def __init__(self, server, seconds):
        self._load = Load(
            server.admin_port,
            *("--get", "/livez", "--constant", "--rate", PROBES_A_SECOND),
            *("--seconds", seconds),
        )

    def report(self):
        report = self._load.report()
        check_nothing_lost(report)
        return report["latency_ms"]["ok"]


def capacity(run, server, mix):
    """Answers a second when there are always more clients than places."""
    seconds = run.duration(8, 1.5)
    report = generate(
        server.port, "--closed", 32, "--seconds", seconds, "--mix", f"1:{mix}",
        "--first-seed", 1_000_000,
    )
    check_nothing_lost(report)
    return report["goodput"]


def options_of_serve():
    """The flags that `sluice serve --help` lists."""
    return set(re.findall(r"^  (--[a-z-]+)", run_sluice("serve", "--help").stdout, re.MULTILINE))


def find_option(pattern):
    """The flag that the pattern fits; the scenario is skipped without one."""
    for flag in sorted(options_of_serve()):
        if re.fullmatch(pattern, flag):
            return flag
    raise Skipped(f"sluice serve has no option {pattern}")


def optional_options(**values):
    """--flag value for each that this build knows: max_wait=10 is --max-wait 10."""
    known = options_of_serve()
    named = {"--" + name.replace("_", "-"): value for name, value in values.items()}
    return [word for flag, value in named.items() if flag in known for word in (flag, value)]


@dataclass
class Usage:
    """What a process holds now."""

    resident: int  # bytes
    descriptors: int
    threads: int


def usage(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    fields = dict(re.findall(r"^(\w+):\s*(\d+)", status, re.MULTILINE))
    return Usage(
        resident=int(fields["VmRSS"]) * 1024,
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(fields["Threads"]),
    )


__all__ = [name for name in dir() if not name.startswith("_")]
