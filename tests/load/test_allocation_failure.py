"""Every allocation in a request's life fails once, in the program and in the libraries
that work for it: the client gets an answer, a problem, or at worst a closed connection;
the server lives on, nothing stays behind, and its next answer is the usual one.

Allocations of libmicrohttpd and libuv for themselves are left alone
(failing_allocations.c: by the library that asks).

Environment: FAILING_LIBRARY is the library to preload; the rest as in sluice_server.py.
"""

import http.client
import json
import mmap
import os
import pathlib
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "http"))

import sluice_server  # noqa: E402
from sluice_server import GENERATE, PROBLEM_TYPE, Answer, Server, tiny, wait_until  # noqa: E402

NEVER = -1
SIZE = {"width": 32, "height": 32}

# name, a function of n that gives (method, path, fields, headers); the prompt differs
# each time, so that it is never found in the cache.
REQUESTS = {
    "png": lambda n: ("POST", GENERATE, {"prompt": f"a cat {n}", "steps": 2, **SIZE}, {}),
    "guided": lambda n: (
        "POST",
        GENERATE,
        {"prompt": f"two {n}", "negative_prompt": f"a dog {n}", "guidance": 2, "steps": 2,
         "solver": "ab2", "seed": 5, **SIZE},
        {},
    ),
    "json": lambda n: (
        "POST",
        GENERATE,
        {"prompt": f"b {n}", "n": 2, "steps": 1, "seed": 3, **SIZE},
        {"Accept": "application/json"},
    ),
    "events": lambda n: (
        "POST",
        GENERATE,
        {"prompt": f"c {n}", "steps": 3, "seed": 3, "preview_every": 1, **SIZE},
        {"Accept": "text/event-stream"},
    ),
    "deadline": lambda n: (
        "POST",
        GENERATE,
        {"prompt": f"d {n}", "steps": 4, "min_steps": 1, "deadline_ms": 60000, **SIZE},
        {},
    ),
    "query": lambda n: (
        "GET", f"{GENERATE}?prompt=e+{n}&seed=1&steps=1&width=32&height=32", None, {}
    ),
    "malformed": lambda n: ("POST", GENERATE, b'{"prompt": "' + b"x" * 3000 + b"\n", {}),
    "wrong": lambda n: ("POST", GENERATE, {"prompt": "a", "steps": "many"}, {}),
    "metrics": lambda n: ("GET", "/metrics", None, {}),
    "nothing": lambda n: ("GET", "/nothing", None, {}),
}


class Control:
    """The file that the preloaded library reads."""

    def __init__(self):
        self._file = tempfile.NamedTemporaryFile()
        self._file.write(struct.pack("qq", NEVER, 0))
        self._file.flush()
        self.name = self._file.name
        self._map = mmap.mmap(self._file.fileno(), 16)

    def fail(self, n):
        """The n-th allocation from now, counted from 0."""
        self._map[0:8] = struct.pack("q", n)

    @property
    def failed(self):
        """How many have failed."""
        return struct.unpack("q", self._map[8:16])[0]


class AllocationFailureTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.control = Control()
        environment = sluice_server.clean_environment
        added = {
            "LD_PRELOAD": os.environ["FAILING_LIBRARY"],
            "FAILING_ALLOCATIONS": cls.control.name,
            # Without gcc's sanitizer this says nothing; with it this library comes first.
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        }
        sluice_server.clean_environment = lambda: {**environment(), **added}
        try:
            cls.server = Server(tiny("two-taps"), "--workers", "2")
        finally:
            sluice_server.clean_environment = environment

    @classmethod
    def tearDownClass(cls):
        status = cls.server.stop()
        cls.server.__exit__(None, None, None)
        if status != 0:
            raise AssertionError(f"the server ended with {status}")

    def ask(self, request):
        """The answer, or None when the connection was closed without one."""
        method, path, fields, headers = request
        body = json.dumps(fields).encode() if isinstance(fields, dict) else fields
        kind = {"Content-Type": "application/json"} if body is not None else {}
        connection = self.server.connect()
        try:
            connection.request(method, path, body, {**kind, **headers})
            return Answer(connection.getresponse())
        except (http.client.HTTPException, ConnectionError):
            return None
        finally:
            connection.close()

    def fields_of_refusal(self, answer):
        """The fields of a problem that says so itself."""
        self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
        return answer.json()

    def check_answer(self, answer, usual, n):
        """An answer under a failing allocation: the usual status, or a clean refusal."""
        if answer is None or answer.status == usual.status:
            return
        self.assertIn(answer.status, (500, 503), (n, answer.body))
        self.assertEqual(self.fields_of_refusal(answer)["status"], answer.status)

    def check_still_well(self, expected, request, n):
        self.assertIsNone(self.server.process.poll(), f"ended at allocation {n}")
        answer = self.ask(request)
        self.assertIsNotNone(answer, n)
        self.assertEqual((answer.status, answer.body), (200, expected), n)

    def check_request(self, make):
        usual = self.ask(make("x"))
        reference = REQUESTS["guided"]("reference")
        expected = self.ask(reference).body
        failures, n = 0, 0
        while True:
            before = self.control.failed
            self.control.fail(n)
            answer = self.ask(make(n))
            self.control.fail(NEVER)
            if self.control.failed == before:
                break
            failures += 1
            self.check_answer(answer, usual, n)
            self.check_still_well(expected, reference, n)
            n += 1
        self.assertEqual(answer.status, usual.status)
        self.assertGreater(failures, 0)
        wait_until(self.is_idle, "nothing runs or waits")
        return failures

    def is_idle(self):
        metrics = self.server.metrics()
        return metrics("sluice_running") == 0 and metrics("sluice_queue_length") == 0


def add_test(name, make):
    def test(self):
        print(f"{name}: {self.check_request(make)} allocations failed", file=sys.stderr)

    setattr(AllocationFailureTest, f"test_{name}", test)


for _name, _make in REQUESTS.items():
    add_test(_name, _make)


if __name__ == "__main__":
    unittest.main()
