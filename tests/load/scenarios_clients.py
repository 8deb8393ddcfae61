"""Scenarios about clients: those that leave, and those that hold on without need."""

import json
import subprocess
import sys
import time

from load_tools import (
    HERE,
    Goal,
    Load,
    Scenario,
    Server,
    capacity,
    check_nothing_lost,
    find_option,
    generate,
    optional_options,
    usage,
    wait_until,
)

LIMIT = 3  # seconds that a slow client is given
LEAVING = 24  # clients with long requests, whose work lasts longer than:
STOPPED = 1.5  # seconds
COMPARED = 40  # answers that are asked for again, alone


def long_request(seed):
    """Seconds of work, also on a tiny checkpoint."""
    return {
        "prompt": "a cat",
        "seed": seed,
        "steps": 1000,
        "guidance": 20,
        "solver": "heun",
        "width": 128,
        "height": 128,
    }


def waiting_or_running(server):
    metrics = server.metrics()
    return metrics("sluice_running") + metrics("sluice_queue_length")


def wait_until_idle(server, patience):
    """Seconds until nothing runs or waits; None when patience ends before."""
    begin = time.monotonic()
    while time.monotonic() - begin < patience:
        if waiting_or_running(server) == 0:
            return time.monotonic() - begin
        time.sleep(0.002)
    return None


def stop_of_work(run):
    """All clients leave at once, each with a long request: after how many rounds does
    the server have nothing left to do?"""
    patient = optional_options(max_wait="3600")
    with Server(run.model, "--max-steps", "1000", *patient) as server:
        server.picture({**long_request(0), "steps": 2})
        before = server.metrics()
        clients = [server.send(long_request(seed)) for seed in range(LEAVING)]
        wait_until(lambda: waiting_or_running(server) == len(clients), "all are there")
        time.sleep(run.pick(2, 0.3))
        after = server.metrics()
        for client in clients:
            client.close()
        took = wait_until_idle(server, STOPPED)
        if took is None:
            raise AssertionError("the server goes on for clients that have left")
    seconds, rounds = (
        after(f"sluice_round_seconds_{what}", work="step")
        - before(f"sluice_round_seconds_{what}", work="step")
        for what in ("sum", "count")
    )
    return took / (seconds / rounds), took * 1000


def compare_alone(server, run, entries):
    """The answers given beside those who left, asked for again when nobody else is there:
    how many there are, how many differ."""
    kept = sorted(seed for seed, entry in entries.items() if entry.status == 200)
    kept = kept[:: max(1, len(kept) // COMPARED)]
    differing = 0
    for seed in kept:
        alone = Load(
            server.port,
            *("--closed", 1, "--count", 1, "--first-seed", seed, "--mix", f"1:{run.mix}"),
            entries=True,
        )
        alone.report()
        differing += alone.entries[seed].digest != entries[seed].digest
    return len(kept), differing


def leaving(run):
    rounds, milliseconds = stop_of_work(run)
    with Server(run.model) as server:
        rate = 0.8 * capacity(run, server, run.mix)
        load = Load(
            server.port,
            *("--rate", f"{rate:.3f}", "--seconds", run.duration(20, 2)),
            *("--mix", f"1:{run.mix}", "--leave", f"0.5:{run.pick(0.05, 0.003)}"),
            entries=True,
        )
        report = load.report()
        check_nothing_lost(report)
        if report["aborted"] == 0:
            raise AssertionError("nobody left in time")
        compared, differing = compare_alone(server, run, load.entries)
        if compared == 0 or differing > 0:
            raise AssertionError(f"{differing} of {compared} answers differ from those alone")
    return {
        "left": report["aborted"] / report["sent"],
        "rounds until idle": rounds,
        "idle after (ms)": milliseconds,
        "other answers that differ": differing,
    }


def slow_clients(server, kind, count, renew, patience):
    """The horde, in a process of its own (slow_clients.py)."""
    return subprocess.Popen(
        [sys.executable, "-B", HERE / "slow_clients.py", kind, f"127.0.0.1:{server.port}",
         "--count", str(count), "--renew", str(renew), "--patience", str(patience)],
        stdout=subprocess.PIPE,
        text=True,
    )


def usual_traffic(run, server, rate):
    """The p90 of clients at equal distances: the same each time, so that it compares."""
    report = generate(
        server.port,
        *("--rate", f"{rate:.3f}", "--constant", "--seconds", run.duration(12, 1.5)),
        *("--mix", f"1:{run.mix}"),
    )
    check_nothing_lost(report)
    return report["latency_ms"]["ok"]["p90"]


def slow(kind, option):
    """A scenario of 200 clients of that kind; the option is a pattern of serve's."""

    def measure(run):
        count = run.pick(200, 50)
        limit = run.pick(LIMIT, 1)
        options = (find_option(option), str(limit))
        with Server(run.model, *options) as server:
            rate = 0.5 * capacity(run, server, run.mix)
            alone = usual_traffic(run, server, rate)
            before = usage(server.process.pid).descriptors
            horde = slow_clients(server, kind, count, run.duration(12, 1.5), 60)
            beside = usual_traffic(run, server, rate)
            report = json.loads(horde.communicate()[0])
            after = usage(server.process.pid).descriptors
        if report["left"] > 0 or report["cut"] != report["connected"] or not report["cut"]:
            raise AssertionError(f"not all were cut: {report}")
        if after > before + 10:
            raise AssertionError(f"descriptors: {before} before, {after} after")
        return {
            "connected": report["connected"],
            "last cut, beyond the limit (s)": report["last_cut"] - limit,
            "p90 beside / alone": beside / alone,
            "p90 alone (ms)": alone,
        }

    return Scenario(
        f"slow-{kind}",
        f"200 clients: slow {kind}",
        measure,
        [
            Goal("last cut, beyond the limit (s)", "<= 1", most=1),
            Goal("p90 beside / alone", "<= 1.15", most=1.15),
        ],
    )


def idle(run):
    """Connections that were opened and say nothing: more than there are places."""
    count = run.pick(1000, 300)
    with Server(run.model) as server:
        rate = 0.5 * capacity(run, server, run.mix)
        alone = usual_traffic(run, server, rate)
        horde = slow_clients(server, "idle", count, 0, run.duration(12, 1.5) + 2)
        time.sleep(1)
        beside = usual_traffic(run, server, rate)
        report = json.loads(horde.communicate()[0])
    return {
        "connected": report["connected"],
        "p90 beside / alone": beside / alone,
        "p90 alone (ms)": alone,
    }


SCENARIOS = [
    Scenario(
        "leaving",
        "half of the clients leave",
        leaving,
        [
            Goal("rounds until idle", "<= 1.5", most=1.5),
            Goal("other answers that differ", "0", most=0),
        ],
    ),
    Scenario(
        "idle",
        "1,000 connections that say nothing",
        idle,
        [Goal("p90 beside / alone", "<= 1.15", most=1.15)],
    ),
    slow("header", r"--header-\w*timeout"),
    slow("body", r"--body-\w*timeout"),
    slow("reader", r"--(answer|response|write|send|read)-\w*timeout"),
]
