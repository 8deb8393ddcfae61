"""Scenarios about more requests than the server can answer."""

import time

from load_tools import (
    Goal,
    Load,
    Probes,
    Scenario,
    Server,
    Skipped,
    capacity,
    check_nothing_lost,
    generate,
    lost,
    optional_options,
)

LOADS = (0.5, 1, 2, 10)
SEED = 1  # of the arrivals: each load is the same in all repetitions
SHORT_RATE = 500  # at most, in short runs: their model answers thousands a second


def offer(server, rate, seconds, mix, first_seed):
    """An open loop at that rate, without waiting for its end."""
    return Load(
        server.port,
        *("--rate", f"{rate:.3f}", "--seconds", seconds, "--mix", f"1:{mix}"),
        *("--first-seed", first_seed, "--random-seed", SEED, "--prompts", 50),
        entries=True,
    )


def median_after(load, seconds):
    """The median latency of what was due after so many seconds."""
    latencies = sorted(
        entry.latency
        for entry in load.entries.values()
        if entry.due >= seconds * 1000 and entry.status == 200
    )
    return latencies[len(latencies) // 2] if latencies else None


def offer_multiple(run, server, peak, multiple, figures):
    """A multiple of the capacity, probes beside it and, from the moment an overload ends,
    half of the capacity: the wait that is left then is part of what is measured."""
    name, seconds = f"{multiple:g}x", run.duration(60, 1.5)
    probes = Probes(server, seconds)
    load = offer(server, peak * multiple, seconds, run.mix, int(100_000 * multiple))
    if multiple > 1:
        time.sleep(seconds)
        wait = run.pick(30, 0)
        after = offer(server, peak / 2, wait + run.duration(15, 1), run.mix, 2_000_000)
        check_nothing_lost(after.report())
        figures[f"p50 after {name} (ms)"] = median_after(after, wait)
    report = load.report()
    check_nothing_lost(report)
    figures[f"p50 {name} (ms)"] = report["latency_ms"]["ok"]["p50"]
    figures[f"p99 {name} (ms)"] = report["latency_ms"]["ok"]["p99"]
    figures[f"livez p99 {name} (ms)"] = probes.report()["p99"]
    if multiple > 1:
        figures[f"refusal p99 {name} (ms)"] = report["latency_ms"]["refused"]["p99"]
        figures[f"refused {name}"] = sum(report["refused"].values()) / report["sent"]
    return report["goodput"]


def overload(run):
    figures = {}
    with Server(run.model, *optional_options(max_wait="10")) as server:
        peak = figures["capacity (1/s)"] = capacity(run, server, run.mix)
        if run.short:
            peak = min(peak, SHORT_RATE / max(LOADS))
        goodput = {
            multiple: offer_multiple(run, server, peak, multiple, figures)
            for multiple in LOADS
        }
    peak = max(peak, *goodput.values())
    for multiple, value in goodput.items():
        figures[f"goodput {multiple:g}x / peak"] = value / peak
    for name in ("2x", "10x"):
        after = figures[f"p50 after {name} (ms)"]
        if after is not None:
            figures[f"p50 after {name} / before"] = after / figures["p50 0.5x (ms)"]
    return figures


def probe_deadlines(server):
    answer = server.post({"prompt": "a cat", "seed": 1, "steps": 1, "deadline_ms": 60000})
    if answer.status == 422:
        raise Skipped("this server knows no deadline_ms")


def deadlines(run):
    steps = run.pick(12, 6)
    plain = f"steps={steps},guidance=1"
    with Server(run.model) as server:
        probe_deadlines(server)
        rate = 1.5 * capacity(run, server, plain)
        deadline = run.pick(2000, 500)
        mix = f"{plain},deadline_ms={deadline},min_steps=2"
        report = offer(server, rate, run.duration(40, 2), mix, 1).report()
        if lost(report) > 0 or report["answered"].keys() - {"200", "504"}:
            raise AssertionError(report)
    counts = report["deadlines"]
    accepted = counts["met"] + counts["late"] + counts["passed"]
    return {
        "accepted in time": counts["met"] / accepted if accepted else 0.0,
        "accepted": accepted / report["sent"],
        "fewer steps": counts["lowered"] / accepted if accepted else 0.0,
        "p99 (ms)": report["latency_ms"]["ok"]["p99"],
    }


def burst(run):
    """Many at the same instant: each gets an answer, and the server is idle afterwards."""
    count = run.pick(500, 200)
    with Server(run.model) as server:
        report = generate(
            server.port,
            *("--rate", 1_000_000, "--count", count, "--mix", f"1:{run.mix}"),
        )
        check_nothing_lost(report)
        server.wait_for_gauges(running=0, queued=0)
        begin = time.monotonic()
        server.picture({"prompt": "a cat", "seed": 1, "steps": 2, "guidance": 1})
        after = (time.monotonic() - begin) * 1000
    return {
        "refused": sum(report["refused"].values()) / report["sent"],
        "a picture afterwards (ms)": after,
    }


SCENARIOS = [
    Scenario(
        "overload",
        "0.5, 1, 2 and 10 times the capacity, 60 s each",
        overload,
        [
            Goal("goodput 2x / peak", ">= 0.95", least=0.95),
            Goal("goodput 10x / peak", ">= 0.95", least=0.95),
            Goal("refusal p99 2x (ms)", "<= 10", most=10),
            Goal("refusal p99 10x (ms)", "<= 10", most=10),
            Goal("p50 after 2x / before", "<= 1.2", most=1.2),
            Goal("p50 after 10x / before", "<= 1.2", most=1.2),
            *(Goal(f"livez p99 {load:g}x (ms)", "<= 5", most=5) for load in LOADS),
        ],
    ),
    Scenario(
        "deadlines",
        "1.5 times the capacity; deadline_ms with min_steps",
        deadlines,
        [Goal("accepted in time", ">= 0.99", least=0.99)],
    ),
    Scenario("burst", "500 requests at the same instant", burst, repetitions=1),
]
