"""A fleet on this machine's loopback: real replicas, a real balancer with the configuration
of deploy/, and the open-loop load generator.

    with Fleet(3) as fleet, HAProxy(fleet) as balancer:
        report = load(balancer, rate=20, seconds=5)

Every fleet has a network 127.x.y.0/24 of its own, so that all replicas listen on the same
ports, as containers do, and one DNS name (Dns) holds their addresses. Adding a replica is
adding its address there.

Environment: as sluice_server.py's, and LOAD_GENERATOR, the program tests/load/open_loop.
"""

import csv
import http.client
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import Counter

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "http"))

from sluice_server import (  # noqa: E402
    HOUSE,
    PATIENCE,
    SOURCE,
    Metrics,
    Server,
    in_parallel,
    wait_until,
)

DEPLOY = SOURCE / "deploy"
LOAD_GENERATOR = os.environ["LOAD_GENERATOR"]
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
SERVICE_PORT, ADMIN_PORT, DNS_PORT, OPERATOR_PORT = 18080, 18081, 15353, 18404
NAME = "replicas.fleet.test"
MIX = "1:steps=4,guidance=1"  # of every load here
REPLICA_OPTIONS = ("--workers", "1", "--max-batch", "4", "--metrics-on-service", "off")
# The balancer has noticed after 1.2 s at most.
DRAIN_OPTIONS = ("--drain-delay", "2", "--drain-timeout", "60")


class DnsHandler(socketserver.BaseRequestHandler):
    def handle(self):
        query, sender = self.request
        end = query.index(b"\0", 12) + 5
        records = b""
        if query[end - 4 : end] == b"\0\1\0\1":  # type A, class IN
            for address in self.server.addresses:
                records += struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4)
                records += socket.inet_aton(address)
        head = struct.pack(">2sHHHHH", query[:2], 0x8580, 1, len(records) // 16, 0, 0)
        sender.sendto(head + query[12:end] + records, self.client_address)


class Dns(socketserver.UDPServer):
    """Answers every question about an A record with the fleet's addresses (RFC 1035)."""

    def __init__(self, address):
        super().__init__((address, DNS_PORT), DnsHandler)
        self.addresses = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Replica(Server):
    """A server on an address of its own."""

    def __init__(self, address, options):
        self.address = address
        ports = ("--port", str(SERVICE_PORT), "--admin-port", str(ADMIN_PORT))
        super().__init__(HOUSE, "--host", address, *ports, *options)

    def connect(self, port=None):
        return http.client.HTTPConnection(
            self.address, self.port if port is None else port, timeout=PATIENCE
        )

    def close(self):
        """Ends it at once, however it fares."""
        if not self.process.stdout.closed:
            self.__exit__(SystemExit, None, None)


class Fleet:
    def __init__(self, count, *options):
        pid = os.getpid()
        self.network = f"127.{1 + (pid >> 8) % 254}.{pid % 256}"
        self.options = (*REPLICA_OPTIONS, *DRAIN_OPTIONS, *options)
        self.dns = Dns(f"{self.network}.53")
        self.replicas = [self._start(number) for number in range(count)]
        self._tell()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        ended = [r.address for r in self.replicas if r.process.poll() is not None]
        for replica in self.replicas:
            replica.close()
        self.dns.close()
        if ended and kind is None:
            raise AssertionError(f"replicas have ended by themselves: {ended}")

    def _start(self, number):
        return Replica(f"{self.network}.{11 + number}", self.options)

    def _tell(self):
        self.dns.addresses = [replica.address for replica in self.replicas]

    def add(self):
        """One more, whose address is then found under the name."""
        self.replicas.append(self._start(len(self.replicas)))
        self._tell()

    def kill(self, number):
        self.replicas[number].signal(signal.SIGKILL)
        self.replicas[number].wait()

    def start(self, number):
        """In the place of one that has ended."""
        self.replicas[number].close()
        self.replicas[number] = self._start(number)

    def restart(self, number):
        """As an orchestrator does: SIGTERM, wait for the end, start."""
        status = self.replicas[number].stop()
        if status != 0:
            raise AssertionError(f"exit status {status} after SIGTERM")
        self.start(number)

    def images(self):
        """Finished pictures of each replica."""
        return [int(r.metrics()("sluice_images_total")) for r in self.replicas]


def get(url):
    """The text of a 200 answer."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return response.read().decode()


class Balancer:
    """The process of one, in a folder of its own; subclasses say how it is started."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = f"{fleet.network}.1"
        self.target = f"{self.host}:{SERVICE_PORT}"
        self._folder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._folder.name)
        self.folder.chmod(0o755)  # nginx's workers are nobody
        self._log = open(self.folder / "log.txt", "wb+")
        command, environment = self.prepare()
        program = shutil.which(command[0], path=PATH)
        if program is None:
            raise FileNotFoundError(f"{command[0]} (deploy/packages/test.txt)")
        self.process = subprocess.Popen(
            [program, *command[1:]],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self):
        try:
            wait_until(self.is_whole, f"all replicas are known: {self.log()[-2000:]}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self._log.close()
        self._folder.cleanup()

    def log(self):
        return (self.folder / "log.txt").read_text(errors="replace")

    def is_whole(self):
        """Whether it would send a request to any of the replicas."""
        if self.process.poll() is not None:
            raise AssertionError(f"it has ended: {self.log()}")
        return self.ready_count() == len(self.fleet.replicas)

    def wait_until_whole(self):
        wait_until(self.is_whole, "all replicas are ready again")

    def connect(self):
        return http.client.HTTPConnection(self.host, SERVICE_PORT, timeout=PATIENCE)

    def post(self, fields, accept="image/png"):
        """(status, headers, body), through the balancer."""
        connection = self.connect()
        headers = {"Content-Type": "application/json", "Accept": accept}
        try:
            connection.request("POST", "/v1/generate", json.dumps(fields), headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()


class HAProxy(Balancer):
    """deploy/haproxy/haproxy.cfg as it is, but for the name server's address."""

    name = "HAProxy"
    checks_replicas = True

    def prepare(self):
        text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
        server = f"nameserver fleet {self.fleet.network}.53:{DNS_PORT}"
        text, replaced = re.subn(r"\bparse-resolv-conf\b", server, text)
        if replaced != 1:
            raise AssertionError("haproxy.cfg has no parse-resolv-conf")
        path = self.folder / "haproxy.cfg"
        path.write_text(text)
        return ["haproxy", "-db", "-f", str(path)], {
            "SLUICE_REPLICAS": NAME,
            "SLUICE_SERVICE_PORT": str(SERVICE_PORT),
            "SLUICE_ADMIN_PORT": str(ADMIN_PORT),
            "HAPROXY_BIND": self.target,
            "HAPROXY_OPERATOR_BIND": f"{self.host}:{OPERATOR_PORT}",
        }

    def rows(self):
        """HAProxy's own table: one row a server of the backend, and the backend's."""
        try:
            text = get(f"http://{self.host}:{OPERATOR_PORT}/;csv")
        except OSError:
            return []
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        return [row for row in rows if row["pxname"] == "replicas"]

    def ready_count(self):
        return sum(
            row["status"] == "UP" for row in self.rows() if row["svname"] != "BACKEND"
        )

    def server(self, replica):
        """The row of that replica."""
        (row,) = [
            row
            for row in self.rows()
            if row["addr"] == f"{replica.address}:{SERVICE_PORT}"
            and row["status"] != "MAINT"
        ]
        return row

    def backend(self):
        return self.rows()[-1]

    def metrics(self):
        return Metrics(get(f"http://{self.host}:{OPERATOR_PORT}/metrics"))


class Nginx(Balancer):
    """deploy/nginx/nginx.conf with this fleet's addresses and a folder of this test."""

    name = "nginx"
    checks_replicas = False

    def prepare(self):
        text = (DEPLOY / "nginx" / "nginx.conf").read_text()
        servers = re.findall(r"^ +server sluice-\d:8080 .*\n", text, re.M)
        line = servers[0].replace("sluice-1:8080", "{}")
        lines = [line.format(f"{r.address}:{SERVICE_PORT}") for r in self.fleet.replicas]
        text = text.replace("".join(servers), "".join(lines))
        text = text.replace("listen 8080;", f"listen {self.target};")
        text = text.replace("/var/cache/nginx", str(self.folder))
        text = text.replace("/run/", f"{self.folder}/")
        path = self.folder / "nginx.conf"
        path.write_text(text)
        return ["nginx", "-c", str(path), "-g", "daemon off;"], {}

    def ready_count(self):
        """nginx asks nobody; it is there when it answers."""
        try:
            self.post({})
        except OSError:
            return 0
        return len(self.fleet.replicas)


class Report:
    """What the load generator says of one run, or of several that make one load."""

    def __init__(self, runs):
        self.sent = 0
        self.statuses, self.lost = Counter(), Counter()
        self.refusals_without_time = 0
        self.goodput = runs[0][0]["goodput"]  # pictures a second of the first
        self.entries = []  # [seed, mix, outcome, status, due and latency in ms, steps, digest]
        for summary, lines in runs:
            if not summary["balanced"]:
                raise AssertionError(f"the ledger does not sum up: {summary}")
            self.sent += summary["sent"]
            self.statuses.update(summary["answered"])
            self.statuses.update(summary["refused"])
            self.lost.update(summary["lost"])
            self.refusals_without_time += summary["retry_after"]["missing"]
            self.entries.extend(line.split("\t") for line in lines)

    def latencies(self):
        """Milliseconds from when each picture was due, ascending."""
        return sorted(float(entry[5]) for entry in self.entries if entry[3] == "200")

    def quantile(self, share):
        values = self.latencies()
        return values[max(0, math.ceil(share * len(values)) - 1)]


class Load:
    """The generator at work; result() waits for its end."""

    def __init__(self, balancer, *options):
        self._entries = tempfile.NamedTemporaryFile("r")
        command = [LOAD_GENERATOR, "--mix", MIX, "--entries", self._entries.name]
        self._process = subprocess.Popen(
            [*command, *map(str, options), balancer.target],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self):
        output, errors = self._process.communicate(timeout=PATIENCE + 120)
        with self._entries as file:
            lines = file.read().splitlines()
        if self._process.returncode != 0:
            raise AssertionError(errors)
        return json.loads(output), lines


def load(balancer, *options):
    return Report([Load(balancer, *options).result()])


class Traffic:
    """Load for as long as the block lasts; `report` is there when it has been left.

    The generator is told how long to send, so runs follow each other without a gap.
    """

    SECONDS = 2

    def __init__(self, balancer, rate):
        self._balancer, self._rate = balancer, rate
        self._runs = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.report = None

    def _send(self):
        while True:
            seed = 1 + 100000 * len(self._runs)
            options = ("--rate", self._rate, "--seconds", self.SECONDS)
            random = ("--first-seed", seed, "--random-seed", seed)
            self._runs.append(Load(self._balancer, *options, *random))
            if self._is_over.wait(self.SECONDS):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        self.report = Report([run.result() for run in self._runs])
