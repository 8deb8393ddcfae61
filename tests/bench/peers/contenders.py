"""What is compared: Sluice as a server, and the peers, each in processes of its own.

All have the same face: pictures(prompts, seeds, steps, side) gives the milliseconds and the
PNGs, and may raise Unfit when that is not run.
"""

import base64
import concurrent.futures
import http.client
import json
import pathlib
import queue
import re
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
CLIENTS = 16
PATIENCE = 900  # seconds that one answer may take: torch.compile takes minutes


class Unfit(Exception):
    """This contender does not do that, and says why."""


class Process:
    """A process that answers lines of JSON."""

    def __init__(self, command, environment, log):
        self.log = log
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(log, "w", encoding="utf-8"),
            text=True,
            env=environment,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def receive(self):
        try:
            line = self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            self.process.kill()
            raise Unfit(f"no answer within {PATIENCE} s") from None
        if line is None:
            raise Unfit(f"ended with status {self.process.wait()}; see {self.log}")
        found = json.loads(line)
        if "error" in found:
            raise Unfit(found["error"])
        return found

    def send(self, **command):
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise Unfit(f"ended; see {self.log}") from None

    def ask(self, **command):
        self.send(**command)
        return self.receive()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Peer:
    """A peer that uses all threads in one process, or one thread in each of several."""

    def __init__(self, kind, setting, threads, processes=1):
        self.kind, self.threads, self.processes = kind, threads, processes
        names = {"eager": "diffusers", "compile": "diffusers, torch.compile",
                 "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO",
                 "sdcpp": "stable-diffusion.cpp"}
        self.name = names[kind]
        if processes > 1:
            self.name += f", {processes} processes"
        elif threads == 1 and setting.processors > 1:
            self.name += ", one thread"
        command = [sys.executable, "-B", HERE / "peer.py", kind, setting.model, setting.cache,
                   threads]
        log = setting.output / f"{kind}-{threads}-{processes}"
        self.workers = []
        try:
            for i in range(processes):
                self.workers.append(
                    Process(command, setting.environment, f"{log}-{i}.log")
                )
                if i == 0:  # what it prepares on disk the others find
                    self.workers[0].receive()
            for worker in self.workers[1:]:
                worker.receive()
        except Unfit:
            self.close()
            raise

    def pictures(self, prompts, seeds, steps, side):
        """Of `processes` equal parts, each by one of the processes at the same time."""
        share = len(prompts) // self.processes
        start = time.perf_counter()
        for i, worker in enumerate(self.workers):
            part = slice(i * share, (i + 1) * share)
            worker.send(do="pictures", prompts=prompts[part], seeds=seeds[part], steps=steps,
                        side=side)
        found = [worker.receive() for worker in self.workers]
        ms = found[0]["ms"]
        if self.processes > 1:
            ms = (time.perf_counter() - start) * 1000
        return ms, [base64.b64decode(png) for one in found for png in one["pngs"]]

    def velocity(self, batch, side, seconds):
        """Milliseconds of some evaluations."""
        return self.workers[0].ask(do="velocity", batch=batch, side=side, seconds=seconds)["ms"]

    def close(self):
        for worker in self.workers:
            worker.close()


class Sluice:
    """`sluice serve` on free ports."""

    TIMING = re.compile(r"(\w+);dur=([\d.]+)")

    def __init__(self, setting, workers):
        self.name = "Sluice" if workers == 0 else "Sluice, one worker"
        self.parts = []  # of lone pictures: {"queue": ms, ...}
        log = open(setting.output / f"sluice-{workers}.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [setting.binary, "serve", "--model", setting.served, "--port", "0",
             "--admin-port", "0", "--drain-delay", "0", "--workers", str(workers)],
            stdout=subprocess.PIPE, stderr=log, text=True, env=setting.own_environment,
        )
        self.port = None
        for line in self.process.stdout:
            entry = json.loads(line)
            if entry["event"] == "ready":
                self.port = entry["port"]
                break
        if self.port is None:
            raise Unfit(f"ended with status {self.process.wait()}; see {log.name}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.connections = []

    def connection(self, i):
        while len(self.connections) <= i:
            self.connections.append(
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            )
        return self.connections[i]

    def picture(self, prompt, seed, steps, side, client=0):
        """From the request sent to the whole PNG received; connections are kept."""
        connection = self.connection(client)
        fields = {"prompt": prompt, "seed": seed, "steps": steps, "width": side,
                  "height": side, "guidance": 1}
        body = json.dumps(fields).encode()
        for is_last in (False, True):
            try:
                if connection.sock is None:
                    connection.connect()
                start = time.perf_counter()
                connection.request("POST", "/v1/generate", body,
                                   {"Content-Type": "application/json"})
                response = connection.getresponse()
                png = response.read()
                ms = (time.perf_counter() - start) * 1000
                break
            except (OSError, http.client.HTTPException) as error:
                # The server closes connections that were idle while others were measured.
                connection.close()
                if is_last:
                    raise Unfit(f"{type(error).__name__}: {error}") from None
        if response.status != 200:
            raise Unfit(f"status {response.status}: {png[:300]!r}")
        parts = {key: float(value)
                 for key, value in self.TIMING.findall(response.headers["Server-Timing"])}
        return ms, png, parts

    def pictures(self, prompts, seeds, steps, side):
        """One is alone; many come from CLIENTS clients, each asking for the next picture
        when it has one."""
        if len(prompts) == 1:
            ms, png, parts = self.picture(prompts[0], seeds[0], steps, side)
            self.parts.append({**parts, "total": ms, "steps_asked": steps, "side": side})
            return ms, [png]
        clients = queue.Queue()
        for i in range(CLIENTS):
            self.connection(i)
            clients.put(i)

        def ask(i):
            client = clients.get()
            try:
                return self.picture(prompts[i], seeds[i], steps, side, client)[1]
            finally:
                clients.put(client)

        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            start = time.perf_counter()
            pngs = list(pool.map(ask, range(len(prompts))))
            return (time.perf_counter() - start) * 1000, pngs

    def close(self):
        for connection in self.connections:
            connection.close()
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
