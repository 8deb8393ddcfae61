"""What happens to a fleet, and what must come of it: each scenario asserts what must hold
on any machine and in any build, and returns the figures for the table of docs/fleet.md.
"""

import hashlib
import http.client
import json
import signal
import time

from fleet import Traffic, in_parallel, load, wait_until

NOTICED = 1.5  # seconds until nothing new goes to a replica that is stopped
STOPPED = 5.0  # seconds for which it is
LATEST = 6.0  # seconds that an answer from there may be late


def expect(condition, message):
    if not condition:
        raise AssertionError(message)


def expect_pictures(report, what):
    """Every request got its picture."""
    expect(report.sent > 0, f"{what}: nothing was sent")
    bad = [entry for entry in report.entries if entry[3] != "200"]
    expect(
        not bad,
        f"{what}: {report.sent} sent, {dict(report.statuses)}, lost {dict(report.lost)}, "
        f"such as {bad[:3]}",
    )


def capacity(balancer, seconds):
    """Pictures a second of the whole fleet, from clients that ask as soon as answered."""
    clients = 4 * len(balancer.fleet.replicas)
    report = load(balancer, "--closed", clients, "--seconds", seconds)
    expect_pictures(report, "capacity")
    return {"pictures a second": round(report.goodput, 1)}


def since(balancer, before):
    """The images that each replica has made beyond those."""
    return [after - first for after, first in zip(balancer.fleet.images(), before)]


def same_request(balancer, times=100):
    """One digest, whoever answers; and all replicas do."""
    before = balancer.fleet.images()
    fields = {"prompt": "grinning face", "seed": 7, "steps": 2, "guidance": 1}
    answers = in_parallel(lambda _: balancer.post(fields), range(times), 6)
    expect({answer[0] for answer in answers} == {200}, "a status is not 200")
    digests = {hashlib.sha256(answer[2]).hexdigest() for answer in answers}
    shares = since(balancer, before)
    expect(len(digests) == 1, f"{len(digests)} digests")
    expect(sum(shares) == times and min(shares) > 0, f"replicas answered {shares}")
    return {"requests": times, "digests": 1, "by replica": shares}


def kill_in_turn(balancer, rate, times):
    """kill -9 of one replica in turn, while it works: no request is lost."""
    fleet = balancer.fleet
    with Traffic(balancer, rate) as traffic:
        for kill in range(times):
            number = kill % len(fleet.replicas)
            wait_until(
                lambda number=number: fleet.replicas[number].metrics()("sluice_running"),
                "it works on something",
            )
            fleet.kill(number)
            time.sleep(0.3)  # traffic while it is gone
            fleet.start(number)
            balancer.wait_until_whole()
    expect_pictures(traffic.report, f"kill -9, {balancer.name}")
    return {
        "kills": times,
        "requests": traffic.report.sent,
        "lost": sum(traffic.report.lost.values()),
        "p99 ms": round(traffic.report.quantile(0.99)),
    }


def rolling_restarts(balancer, rate, times):
    """SIGTERM and start of each replica in turn, under load: no request is lost."""
    with Traffic(balancer, rate) as traffic:
        for _ in range(times):
            for number in range(len(balancer.fleet.replicas)):
                balancer.fleet.restart(number)
                balancer.wait_until_whole()
    expect_pictures(traffic.report, f"restarts, {balancer.name}")
    return {
        "rolling restarts": times,
        "requests": traffic.report.sent,
        "lost": sum(traffic.report.lost.values()),
        "p99 ms": round(traffic.report.quantile(0.99)),
    }


def steady(balancer, rate, seconds):
    """The same load without any trouble, to compare with."""
    report = load(balancer, "--rate", rate, "--seconds", seconds)
    expect_pictures(report, f"steady, {balancer.name}")
    return {
        "requests": report.sent,
        "p50 ms": round(report.quantile(0.5)),
        "p99 ms": round(report.quantile(0.99)),
    }


def stopped_replica(balancer, rate):
    """SIGSTOP for five seconds: what is inside comes late, and nothing new goes there once
    a balancer that checks its replicas has noticed."""
    replica = balancer.fleet.replicas[0]
    sent = sent_later = 0
    with Traffic(balancer, rate) as traffic:
        wait_until(lambda: replica.metrics()("sluice_running"), "it works on something")
        stopped = time.monotonic()
        replica.signal(signal.SIGSTOP)
        try:
            if balancer.checks_replicas:
                time.sleep(NOTICED)
                row = balancer.server(replica)
                expect(row["status"] == "DOWN", f"{row['status']} after {NOTICED} s")
                sent = int(row["stot"])
            time.sleep(max(0, stopped + STOPPED - time.monotonic()))
            if balancer.checks_replicas:
                sent_later = int(balancer.server(replica)["stot"]) - sent
        finally:
            replica.signal(signal.SIGCONT)
        balancer.wait_until_whole()
    expect_pictures(traffic.report, f"SIGSTOP, {balancer.name}")
    expect(sent_later == 0, f"{sent_later} requests went to it after {NOTICED} s")
    slowest, median = traffic.report.quantile(1), traffic.report.quantile(0.5)
    expect(slowest > 1000 * STOPPED / 2, "no request was inside the stopped replica")
    expect(slowest - median <= 1000 * LATEST, f"{slowest - median} ms late")
    return {
        "requests": traffic.report.sent,
        "lost": sum(traffic.report.lost.values()),
        f"sent there after {NOTICED} s": sent_later if balancer.checks_replicas else "-",
        "late": sum(latency > 2000 for latency in traffic.report.latencies()),
        "slowest ms": round(slowest),
        "p50 ms": round(median),
    }


def shares(balancer, rate, seconds):
    """How evenly the replicas share a load that they can carry."""
    before = balancer.fleet.images()
    report = load(balancer, "--rate", rate, "--seconds", seconds)
    expect_pictures(report, f"shares, {balancer.name}")
    done = since(balancer, before)
    mean = sum(done) / len(done)
    return {
        "requests": report.sent,
        "by replica": done,
        "furthest from the mean %": round(100 * max(abs(n - mean) for n in done) / mean, 1),
        "p99 ms": round(report.quantile(0.99)),
    }


def overload(balancer, rate, seconds):
    """More than the fleet can do: what is refused is refused with 429 and Retry-After."""
    report = load(balancer, "--rate", rate, "--seconds", seconds)
    expect(not report.lost, f"lost {dict(report.lost)}")
    expect(set(report.statuses) == {"200", "429"}, f"statuses {dict(report.statuses)}")
    expect(report.refusals_without_time == 0, "a refusal has no Retry-After")
    return {
        "requests": report.sent,
        "pictures": report.statuses["200"],
        "429": report.statuses["429"],
        "5xx": 0,
        "pictures a second": round(report.goodput, 1),
    }


def one_more(balancer):
    """A replica is added to the DNS name: nothing else is touched, and it gets work."""
    start = time.monotonic()
    balancer.fleet.add()
    balancer.wait_until_whole()
    seconds = time.monotonic() - start
    same_request(balancer)
    return {"seconds until it is in use": round(seconds, 1)}


def cut_stream(balancer):
    """An event stream whose replica dies ends visibly: no end of the chunks, and counted."""
    before = balancer.metrics()
    connection = balancer.connect()
    fields = {"prompt": "a cat", "seed": 1, "steps": 100, "preview_every": 5}
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    connection.request("POST", "/v1/generate", json.dumps(fields), headers)
    response = connection.getresponse()
    expect(response.status == 200, f"status {response.status}")
    begun = response.read1(1)
    expect(begun != b"", "the stream has begun")
    (number,) = [
        number
        for number, replica in enumerate(balancer.fleet.replicas)
        if replica.metrics()("sluice_running")
    ]
    balancer.fleet.kill(number)
    try:
        response.read()
        raise AssertionError("the stream ended as if it were complete")
    except (http.client.IncompleteRead, ConnectionError):
        pass
    finally:
        connection.close()
    balancer.fleet.start(number)
    balancer.wait_until_whole()
    name = "haproxy_backend_server_aborts_total"
    counted = balancer.metrics()(name, proxy="replicas") - before(name, proxy="replicas")
    expect(counted == 1, f"{name} rose by {counted}")
    return {"streams cut": 1, "counted": int(counted)}


def closed_to_the_outside(balancer):
    """The operator's paths are not served to clients."""
    for path in ("/metrics", "/livez", "/readyz", "/METRICS", "/%6detrics", "/metrics/"):
        connection = balancer.connect()
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        expect(status == 404, f"{path}: {status}")
    return {"paths": "404"}
