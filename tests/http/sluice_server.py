"""Starts `sluice serve` for the tests that know it only from outside.

    with Server(HOUSE, "--workers", "1") as server:
        answer = server.post({"prompt": "a cat", "seed": 1})

Ports are free ones that the server names in its "ready" log line. Leaving the block sends
SIGTERM and fails when the server does not end with 0, as it does not after a report of a
sanitizer.

Environment: SLUICE_BINARY is the program, SLUICE_SOURCE_DIR the tree with the models;
SLUICE_SLOW=1 says that the build is slow (a sanitizer's), and gives it more time.
"""

import http.client
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

BINARY = os.environ["SLUICE_BINARY"]
SOURCE = pathlib.Path(os.environ["SLUICE_SOURCE_DIR"])
SLOW = os.environ.get("SLUICE_SLOW") == "1"
PATIENCE = 240 if SLOW else 60  # seconds until something that must come is given up

HOUSE = SOURCE / "model" / "house"
GENERATE = "/v1/generate"
PROBLEM_TYPE = "application/problem+json"
SOLVERS = ("euler", "midpoint", "heun", "ab2", "dpmpp_2m")


def tiny(name):
    """A random checkpoint: a step of it takes a millisecond."""
    return SOURCE / "tests" / "golden" / name / "model"


def clean_environment():
    """This process's environment without what would change the server's options."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}


def run_sluice(*arguments, timeout=PATIENCE):
    """Another subcommand, or a server that is expected not to start."""
    return subprocess.run(
        [BINARY, *map(str, arguments)],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def wait_until(condition, what, timeout=PATIENCE):
    """Asks until the condition holds, and returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.005)


def in_parallel(call, arguments, threads=16):
    """call(argument) for each, `threads` at a time; the results in order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, arguments))


class Answer:
    """A status, headers and the whole body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


def read_events(response):
    """The events of a text/event-stream as (name, data) while they come; a comment is
    (None, None)."""
    name = None
    for line in response:
        line = line.decode().rstrip("\n")
        key, _, value = line.partition(": ")
        if line.startswith(":"):
            yield None, None
        elif key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value) if value != "[DONE]" else value


class Picture:
    """A PNG file taken apart: its chunks' checksums hold and its pixels unpack."""

    SIGNATURE = b"\x89PNG\r\n\x1a\n"

    def __init__(self, data):
        if not data.startswith(self.SIGNATURE):
            raise AssertionError(f"not a PNG: {data[:40]!r}")
        self.texts, packed, at = {}, b"", len(self.SIGNATURE)
        kind = b""
        while at < len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            content = data[at + 8 : at + 8 + length]
            (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
            if checksum != zlib.crc32(kind + content):
                raise AssertionError(f"the checksum of chunk {kind!r} is wrong")
            if kind == b"IHDR":
                self.width, self.height, *self.form = struct.unpack(">IIBBBBB", content)
            elif kind == b"IDAT":
                packed += content
            elif kind in (b"tEXt", b"iTXt"):
                self._add_text(kind, content)
            at += 12 + length
        if kind != b"IEND":
            raise AssertionError("no IEND at the end")
        self.rows = zlib.decompress(packed)
        if len(self.rows) != self.height * (1 + 3 * self.width):
            raise AssertionError(f"{len(self.rows)} bytes of rows")

    def _add_text(self, kind, content):
        keyword, _, rest = content.partition(b"\0")
        if kind == b"tEXt":
            self.texts[keyword.decode("latin-1")] = rest.decode("latin-1")
            return
        is_packed, text = rest[0], rest[2:].split(b"\0", 2)[2]
        self.texts[keyword.decode("latin-1")] = (
            zlib.decompress(text) if is_packed else text
        ).decode("utf-8")


SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parse_sample(line):
    """One line of the Prometheus text format: (name, {label: value}, number)."""
    found = SAMPLE.fullmatch(line)
    if not found:
        raise ValueError(f"no sample: {line!r}")
    name, labels, number = found.groups("")
    if LABEL.sub("", labels):
        raise ValueError(f"no labels: {line!r}")
    return name, dict(LABEL.findall(labels)), float(number)


class Metrics:
    """The samples of one /metrics answer."""

    def __init__(self, text):
        self.samples = [
            parse_sample(line) for line in text.splitlines() if not line.startswith("#")
        ]

    def __call__(self, name, **labels):
        """The sum of the samples that have these labels; 0 without any."""
        return sum(
            value
            for sample, has, value in self.samples
            if sample == name and labels.items() <= has.items()
        )


class Server:
    """A process of `sluice serve`, and its log."""

    def __init__(self, model, *options, until_ready=True):
        self._errors = tempfile.TemporaryFile()
        self.lines = []  # of the log, as they came
        self._changed = threading.Condition()
        self._ended = False
        defaults = ("--port", "0", "--admin-port", "0", "--drain-delay", "0")
        if SLOW and "--max-wait" not in options:
            # By forecast most of what tests let wait would be refused.
            defaults += ("--max-wait", "86400")
        arguments = (BINARY, "serve", "--model", model, *defaults, *options)
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if until_ready:
            try:
                ready = self.wait_for_event("ready")
            except BaseException:
                self.process.kill()
                raise
            self.port, self.admin_port = ready["port"], ready["admin_port"]

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None and kind is None:
            status = self.stop()
            if status != 0:
                raise AssertionError(f"exit status {status}: {self.errors()}")
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        if kind is not None and self.errors():
            print(self.errors())
        self._errors.close()

    def _read_log(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def errors(self):
        """What the server wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")

    def events(self, name):
        """The log's entries of that event."""
        with self._changed:
            entries = [json.loads(line) for line in self.lines]
        return [entry for entry in entries if entry["event"] == name]

    def wait_for_event(self, name, count=1):
        """The count-th entry of that event, when it is there."""
        end = time.monotonic() + PATIENCE
        while True:
            with self._changed:
                ended, known = self._ended, len(self.lines)
            entries = self.events(name)
            if len(entries) >= count:
                return entries[count - 1]
            if ended or time.monotonic() > end:
                raise AssertionError(
                    f"{len(entries)} of {count} log lines {name!r}; "
                    f"stderr: {self.errors()}; log: {self.lines[-5:]}"
                )
            with self._changed:
                self._changed.wait_for(
                    lambda known=known: self._ended or len(self.lines) > known, 1
                )

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        """The exit status, when the process has ended and its log is read."""
        status = self.process.wait(PATIENCE)
        self._reader.join()
        return status

    def stop(self):
        self.signal()
        return self.wait()

    def cancel(self):
        """Ends without waiting for the requests that run."""
        self.signal()
        self.wait_for_event("draining")
        self.signal()
        return self.wait()

    def connect(self, port=None):
        return http.client.HTTPConnection(
            "127.0.0.1", self.port if port is None else port, timeout=PATIENCE
        )

    def send(self, fields, headers=None, connection=None):
        """Sends a request for a picture and returns its connection: getresponse() waits."""
        connection = connection or self.connect()
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request("POST", GENERATE, body, sent)
        return connection

    def post(self, fields, headers=None, connection=None):
        own = connection is None
        connection = self.send(fields, headers, connection)
        try:
            return Answer(connection.getresponse())
        finally:
            if own:
                connection.close()

    def picture(self, fields, headers=None):
        """The bytes of a picture that must come."""
        answer = self.post(fields, headers)
        if answer.status != 200:
            raise AssertionError(f"{answer.status} for {fields}: {answer.body!r}")
        return answer.body

    def get(self, path, port=None, method="GET", headers=None):
        connection = self.connect(port)
        try:
            connection.request(method, path, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def metrics(self):
        return Metrics(self.get("/metrics", self.admin_port).body.decode())

    def wait_for_gauges(self, running, queued):
        """Until so many requests run and wait."""

        def reached():
            metrics = self.metrics()
            return (
                metrics("sluice_running") == running
                and metrics("sluice_queue_length") == queued
            )

        wait_until(reached, f"{running} requests run and {queued} wait")
