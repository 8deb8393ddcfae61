"""Scenarios about the process: its end, a change of model, and a long life."""

import os
import pathlib
import signal
import tempfile
import time

from load_tools import (
    TINY,
    Goal,
    Load,
    Scenario,
    Server,
    Skipped,
    capacity,
    check_nothing_lost,
    generate,
    lost,
    optional_options,
    tiny,
    usage,
)

MEBIBYTE = 1 << 20
OTHER = tiny("f32")
TINY_MIX = "steps=2,guidance=1,width=48,height=80"
ENDED = ("connect", "stale")  # nothing was accepted from them


def accepted_and_lost(server, entries):
    """Requests for which the server's log has an answer that their client did not get."""
    logged = {e["seed"]: e["status"] for e in server.events("request") if "seed" in e}
    missing = [
        seed for seed, status in logged.items()
        if seed in entries and entries[seed].status != status
    ]
    return len(logged), len(missing)


def terminate(run):
    """SIGTERM in the middle of a load that goes on until nobody listens any more."""
    seconds = run.duration(12, 2)
    with Server(run.model, "--drain-delay", "2") as server:
        rate = 0.8 * capacity(run, server, run.mix)
        load = Load(
            server.port,
            *("--rate", f"{rate:.3f}", "--seconds", seconds, "--mix", f"1:{run.mix}"),
            entries=True,
        )
        time.sleep(seconds / 2)
        server.signal(signal.SIGTERM)
        if server.wait() != 0:
            raise AssertionError(f"exit status {server.process.returncode}")
        report = load.report()
        logged, missing = accepted_and_lost(server, load.entries)
    if missing > 0 or logged == 0:
        raise AssertionError(f"{missing} of {logged} accepted requests were lost")
    cut = sum(n for reason, n in report["lost"].items() if reason not in ENDED)
    return {
        "accepted": sum(report["answered"].values()),
        "accepted and lost": missing,
        "cut while being sent": cut,
        "turned away": lost(report) - cut + sum(report["refused"].values()),
    }


class Link:
    """The folder a server opens: a link that can be turned to another one."""

    def __init__(self, folder, model):
        self.path, self.next = folder / "model", folder / "next"
        self.turn(model)

    def turn(self, model):
        self.next.symlink_to(model)
        os.replace(self.next, self.path)


def broken_copy(folder, model):
    """The model's folder with one file cut short."""
    copy = folder / "broken"
    copy.mkdir()
    for part in model.iterdir():
        if part.name != "vae":
            (copy / part.name).symlink_to(part)
    (copy / "vae").mkdir()
    for file in (model / "vae").iterdir():
        data = file.read_bytes()
        cut = len(data) // 2 if file.suffix == ".safetensors" else len(data)
        (copy / "vae" / file.name).write_bytes(data[:cut])
    return copy


def served_model(server):
    answer = server.post({"prompt": "a cat", "seed": 1, "steps": 1, "guidance": 1})
    return answer.headers["Sluice-Model"]


def wait_for_model(server, before, patience=10):
    """The model served, when it is another one; what it is when patience ends."""
    end = time.monotonic() + patience
    while (now := served_model(server)) == before and time.monotonic() < end:
        time.sleep(0.05)
    return now


def probe_reload():
    with Server(TINY) as server:
        server.signal(signal.SIGHUP)
        end = time.monotonic() + 1
        while server.process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if server.process.poll() is not None:
            raise Skipped("SIGHUP ends this server")


def reload(run):
    """SIGHUP under load: another model, a broken one, and back."""
    probe_reload()
    seconds = run.duration(12, 4)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        link, broken = Link(folder, TINY), broken_copy(folder, OTHER)
        with Server(link.path) as server:
            rate = 0.5 * capacity(run, server, TINY_MIX)
            load = Load(
                server.port,
                *("--rate", f"{rate:.3f}", "--seconds", seconds, "--mix", f"1:{TINY_MIX}"),
            )
            first = served_model(server)
            served = [first]
            for model, patience in ((OTHER, 10), (broken, seconds / 6), (TINY, 10)):
                link.turn(model)
                server.signal(signal.SIGHUP)
                served.append(wait_for_model(server, served[-1], patience))
            report = load.report()
            check_nothing_lost(report)
            if served[1] == first or served[2] != served[1] or served[3] != first:
                raise AssertionError(f"served in turn: {served}")
    return {
        "sent": report["sent"],
        "lost": lost(report),
        "refused": sum(report["refused"].values()),
        "max (ms)": report["latency_ms"]["ok"]["max"],
    }


def settled_usage(pid):
    """When the connections of clients that have left are closed, too."""
    last, now = None, usage(pid)
    while last is None or now.descriptors < last.descriptors:
        time.sleep(0.5)
        last, now = now, usage(pid)
    return now


def soak(run):
    """Many requests of all kinds; the process may not grow."""
    warm, count = run.pick(10_000, 400), run.pick(90_000, 1_600)
    if run.seconds:
        count = warm
    kinds = ("6:steps=1,width=16,height=16", "3:steps=2", "1:steps=0")
    mixes = [word for kind in kinds for word in ("--mix", kind)]
    with Server(TINY, *optional_options(context_cache="1M")) as server:
        def send(first, n):
            report = generate(
                server.port,
                *("--closed", 8, "--count", n, "--first-seed", first, *mixes),
                *("--leave", "0.02:0.001", "--prompts", 500),
            )
            check_nothing_lost(report)
            server.wait_for_gauges(running=0, queued=0)
            return settled_usage(server.process.pid)

        before = send(1, warm)
        begin = time.monotonic()
        after = send(1 + warm, count)
        took = time.monotonic() - begin
    if after.threads != before.threads:
        raise AssertionError(f"threads: {before.threads} before, {after.threads} after")
    return {
        "requests": warm + count,
        "requests a second": count / took,
        "resident memory grew (MiB)": (after.resident - before.resident) / MEBIBYTE,
        "resident memory (MiB)": after.resident / MEBIBYTE,
        "descriptors more": after.descriptors - before.descriptors,
        "threads more": after.threads - before.threads,
    }


SCENARIOS = [
    Scenario(
        "sigterm",
        "SIGTERM under load",
        terminate,
        [Goal("accepted and lost", "0", most=0), Goal("cut while being sent", "0", most=0)],
    ),
    Scenario(
        "sighup",
        "SIGHUP under load: another model, a broken one, and back",
        reload,
        [Goal("lost", "0", most=0)],
    ),
    Scenario(
        "soak",
        "100,000 requests on a tiny random checkpoint",
        soak,
        [
            Goal("resident memory grew (MiB)", "< 1", most=0.999),
            Goal("descriptors more", "<= 0", most=0),
            Goal("threads more", "0", least=0, most=0),
        ],
        repetitions=1,
    ),
]
