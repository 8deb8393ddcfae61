"""The load generator against servers that answer, freeze, refuse, lie and die.

Environment: LOAD_GENERATOR is the program.
"""

import json
import os
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time
import unittest

GENERATOR = os.environ["LOAD_GENERATOR"]
BODY = b"0123456789"
DIGEST = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"  # of BODY


def answer(status=200, extra="", body=BODY):
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


class Handler(socketserver.StreamRequestHandler):
    """Reads requests; what becomes of each is for the server's `behave`."""

    def read_request(self):
        length, line = 0, self.rfile.readline()
        while line not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            line = self.rfile.readline()
        return json.loads(self.rfile.read(length)) if length else None

    def handle(self):
        try:
            while (request := self.read_request()) is not None:
                self.server.requests.append(request)
                if not self.server.behave(self, request):
                    return
        except (OSError, ValueError):
            pass

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class Fake(socketserver.ThreadingTCPServer):
    """behave(handler, request) answers, and says whether the connection is kept."""

    daemon_threads = True
    request_queue_size = 4096

    def __init__(self, behave):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.requests, self.connections = behave, [], 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    @property
    def target(self):
        return f"127.0.0.1:{self.server_address[1]}"


def answering(status=200, extra=""):
    def behave(handler, _):
        handler.wfile.write(answer(status, extra))
        return True

    return behave


def generate(*arguments):
    out = subprocess.run(
        [GENERATOR, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if out.returncode != 0:
        raise AssertionError(out.stderr)
    return json.loads(out.stdout)


def lost(report):
    return sum(report["lost"].values())


class OpenLoopTest(unittest.TestCase):
    def check_sum(self, report):
        ends = [*report["answered"].values(), *report["refused"].values(), lost(report)]
        self.assertEqual(sum(ends) + report["aborted"], report["sent"])
        self.assertTrue(report["balanced"])

    def test_bodies_and_seeds(self):
        options = ("--mix", "3:steps=4,width=32", "--mix", "1:steps=8,deadline_ms=1000")
        with Fake(answering()) as fake:
            report = generate(
                fake.target, "--rate", 2000, "--count", 400, "--first-seed", 7, *options
            )
        self.check_sum(report)
        self.assertEqual(report["answered"], {"200": 400})
        self.assertEqual({r["seed"] for r in fake.requests}, set(range(7, 407)))
        self.assertEqual({r["prompt"] for r in fake.requests}, {"a cat"})
        short = [r for r in fake.requests if r["steps"] == 4]
        self.assertTrue(all(r["width"] == 32 for r in short))
        self.assertTrue(250 < len(short) < 350, len(short))
        self.assertEqual(report["deadlines"]["asked"], 400 - len(short))
        self.assertEqual(report["deadlines"]["met"], 400 - len(short))

    def test_waiting_is_not_hidden(self):
        """A server that freezes for a second: a closed loop would see one slow answer."""
        begin = time.monotonic()

        def behave(handler, _):
            time.sleep(max(0, begin + 1 - time.monotonic()))
            handler.wfile.write(answer())
            return True

        with Fake(behave) as fake:
            begin = time.monotonic()
            report = generate(fake.target, "--rate", 200, "--constant", "--seconds", 1)
        self.check_sum(report)
        self.assertGreaterEqual(report["sent"], 199)
        self.assertGreater(report["latency_ms"]["ok"]["p50"], 300)

    def test_one_stuck_server_does_not_delay_another(self):
        stuck = threading.Event()

        def wait(handler, _):
            stuck.wait(30)
            return False

        with Fake(wait) as bad, Fake(answering()) as good:
            report = generate(
                bad.target, good.target, "--rate", 100, "--seconds", 1, "--patience", 2
            )
            stuck.set()
        self.check_sum(report)
        self.assertEqual(report["answered"]["200"], report["sent"] // 2)
        self.assertEqual(report["lost"]["timeout"], report["sent"] - report["sent"] // 2)

    def test_refusals(self):
        def behave(handler, request):
            status = (200, 429, 503, 500)[request["seed"] % 4]
            extra = "Retry-After: %d\r\n" % request["seed"] if status == 429 else ""
            handler.wfile.write(answer(status, extra))
            return True

        with Fake(behave) as fake:
            report = generate(fake.target, "--rate", 1000, "--count", 40, "--first-seed", 0)
        self.check_sum(report)
        self.assertEqual(report["answered"], {"200": 10, "500": 10})
        self.assertEqual(report["refused"], {"429": 10, "503": 10})
        self.assertEqual(
            report["retry_after"], {"count": 10, "missing": 10, "least": 1, "most": 37}
        )

    def test_losses(self):
        def stale(handler, request):
            if request["seed"] == 1:
                handler.wfile.write(answer())
            return request["seed"] == 1

        cases = (
            ("closed", lambda handler, _: False),
            ("reset", lambda handler, _: handler.reset()),
            ("malformed", lambda handler, _: handler.wfile.write(b"HTTP/2 200\r\n\r\n")),
            ("closed", lambda handler, _: handler.wfile.write(answer()[:-1]) and False),
            ("malformed", lambda handler, _: handler.wfile.write(answer() + b"x")),
        )
        for reason, behave in cases:
            with self.subTest(reason), Fake(behave) as fake:
                report = generate(fake.target, "--rate", 1000, "--count", 5)
                self.check_sum(report)
                self.assertEqual(report["lost"], {reason: 5})
        with Fake(stale) as fake:
            report = generate(fake.target, "--closed", 1, "--count", 2)
            self.assertEqual(report["lost"], {"stale": 1})
        report = generate(fake.target, "--rate", 1000, "--count", 5)
        self.check_sum(report)
        self.assertEqual(report["lost"], {"connect": 5})

    def test_clients_that_leave(self):
        gone = threading.Semaphore(0)

        def behave(handler, _):
            if handler.rfile.read(1) == b"":
                gone.release()
            return False

        with Fake(behave) as fake:
            report = generate(
                fake.target, "--rate", 1000, "--count", 50, "--leave", "1:0.05"
            )
            self.check_sum(report)
            self.assertEqual(report["aborted"], 50)
            for _ in range(50):
                self.assertTrue(gone.acquire(timeout=10))
        with Fake(answering()) as fake:
            report = generate(
                fake.target, "--rate", 1000, "--count", 50, "--leave", "0.5:30"
            )
        self.assertEqual(report["answered"], {"200": 50})

    def test_deadlines(self):
        def behave(handler, request):
            time.sleep(0.2 if request["seed"] % 2 else 0)
            handler.wfile.write(answer(200, "Sluice-Steps: 3\r\n"))
            return True

        with Fake(behave) as fake:
            report = generate(
                fake.target, "--rate", 1000, "--count", 20, "--mix", "1:steps=4,deadline_ms=150"
            )
        expected = {"asked": 20, "met": 10, "late": 10, "passed": 0, "lowered": 20}
        self.assertEqual(report["deadlines"], expected)

    def test_connections(self):
        with Fake(answering()) as fake:
            generate(fake.target, "--closed", 3, "--count", 60)
            self.assertEqual(fake.connections, 3)
        with Fake(answering()) as fake:
            generate(fake.target, "--closed", 3, "--count", 60, "--new-connections")
            self.assertEqual(fake.connections, 60)
        with Fake(answering(200, "Connection: close\r\n")) as fake:
            generate(fake.target, "--closed", 3, "--count", 60)
            self.assertEqual(fake.connections, 60)

    def test_entries(self):
        with Fake(answering()) as fake, tempfile.NamedTemporaryFile("r") as file:
            generate(fake.target, "--rate", 1000, "--count", 3, "--entries", file.name)
            rows = [line.rstrip("\n").split("\t") for line in file]
        self.assertEqual([row[:4] for row in rows],
                         [[str(seed), "0", "answered", "200"] for seed in (1, 2, 3)])
        self.assertEqual([row[7] for row in rows], [DIGEST] * 3)

    def test_two_thousand_connections(self):
        """A server that reads nothing: every request stays open until it is given up."""
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
            report = generate(
                f"127.0.0.1:{listener.getsockname()[1]}",
                *("--rate", 4000, "--count", 2000, "--patience", 1.5),
            )
        self.check_sum(report)
        self.assertEqual(report["lost"], {"timeout": 2000})

    def test_wrong_options(self):
        for arguments in (
            (),
            ("127.0.0.1:1",),
            ("127.0.0.1:1", "--rate", "x"),
            ("127.0.0.1:1", "--rate", "1"),
            ("127.0.0.1:1", "--rate", "1", "--closed", "1", "--count", "1"),
            ("127.0.0.1:1", "--rate", "1", "--count", "1", "--mix", "1"),
            ("127.0.0.1:1", "--rate", "1", "--count", "1", "--mix", "1:steps"),
            ("127.0.0.1", "--rate", "1", "--count", "1"),
        ):
            out = subprocess.run(
                [GENERATOR, *arguments], capture_output=True, text=True, check=False
            )
            self.assertEqual(out.returncode, 2, arguments)
            self.assertIn("open_loop: ", out.stderr)


if __name__ == "__main__":
    unittest.main()
