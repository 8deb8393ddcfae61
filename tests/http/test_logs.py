"""The log: one JSON line a request, whatever a client sends, and never a prompt's text."""

import hashlib
import json
import socket
import subprocess
import unittest

from sluice_server import BINARY, GENERATE, PATIENCE, Server, clean_environment, tiny

TINY = tiny("two-taps")
SECRET = "xylophone secret"
HOSTILE = '"}\n{"event": "request", "forged": true, "x": "\\ \x7f\r\x1b[31m'


class LogsTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(TINY))

    def entry(self, request_id, method="POST"):
        """The one line of a request."""
        self.server.get("/nothing", headers={"X-Request-Id": f"after-{request_id}"})
        while not self.find(f"after-{request_id}"):
            self.server.wait_for_event("request", len(self.server.events("request")) + 1)
        found = self.find(request_id)
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0]["method"], method)
        return found[0]

    def find(self, request_id):
        entries = self.server.events("request")
        return [entry for entry in entries if entry["request_id"] == request_id]

    def check_lines(self):
        """Every line is one JSON object of plain values, and none tells the prompt."""
        self.assertEqual(self.server.stop(), 0)
        for line in self.server.lines:
            entry = json.loads(line.decode("utf-8"))
            self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(entry["level"], ("info", "warning", "error"))
            self.assertTrue(entry["event"])
            self.assertNotIn("forged", entry)
            for value in entry.values():
                self.assertIsInstance(value, (str, int, float))
            self.assertNotIn(b"\x1b", line)
        everything = b"".join(self.server.lines) + self.server.errors().encode()
        for word in SECRET.split():
            self.assertNotIn(word.encode(), everything)

    def test_picture(self):
        prompt = f"{SECRET} żółty 🐈"
        answer = self.server.post(
            {
                "prompt": prompt,
                "negative_prompt": SECRET,
                "seed": 9,
                "steps": 2,
                "guidance": 2.5,
                "solver": "ab2",
            },
            {"X-Request-Id": "picture-1"},
        )
        entry = self.entry("picture-1")
        expected = {
            "event": "request",
            "level": "info",
            "route": GENERATE,
            "status": 200,
            "bytes": len(answer.body),
            "prompt_bytes": len(prompt.encode()),
            "prompt_digest": hashlib.sha256(prompt.encode()).hexdigest()[:16],
            "seed": 9,
            "steps": 2,
            "evaluations": 4,
            "width": 48,
            "height": 80,
            "solver": "ab2",
            "guidance": 2.5,
        }
        self.assertLessEqual(expected.items(), entry.items())
        work = sum(entry[f"{part}_ms"] for part in ("queue", "encode", "steps", "decode"))
        self.assertTrue(0 < work <= entry["milliseconds"] + 0.1, entry)
        self.check_lines()

    def test_refusals(self):
        cases = (
            ({"prompt": SECRET, "steps": 0}, {}, 422, "invalid-request", "steps"),
            ({"prompt": SECRET * 1000}, {}, 422, "invalid-request", "prompt"),
            ({"prompt": [SECRET]}, {}, 422, "invalid-request", "prompt"),
            (b'{"prompt": "%s}' % SECRET.encode(), {}, 400, "malformed-request", ""),
            (SECRET.encode(), {}, 400, "malformed-request", ""),
            (SECRET.encode() * 10000, {}, 413, "body-too-large", ""),
            ({"prompt": SECRET}, {"Accept": "text/html"}, 406, "not-acceptable", ""),
            ({"prompt": SECRET}, {"Content-Type": "a/b"}, 415, "unsupported-media-type", ""),
            ({SECRET: "a cat"}, {}, 422, "invalid-request", ""),
        )
        for i, (fields, headers, status, problem, field) in enumerate(cases):
            with self.subTest(i):
                self.server.post(fields, {**headers, "X-Request-Id": f"refused-{i}"})
                entry = self.entry(f"refused-{i}")
                self.assertEqual(entry["status"], status)
                self.assertEqual(entry["problem"], problem)
                self.assertEqual(entry.get("field", ""), field)
        self.check_lines()

    def test_hostile_values(self):
        texts = (HOSTILE, "\\", "\\u00zz", "\0", "\ud800", "a" * 60000, "\x85\u2028\ufeff", "%s%n%d")
        for text in texts:
            self.server.post({"prompt": text[:2000]})
            self.server.post({text[:300]: 1})
            self.server.post({"solver": text[:300]})
        for text in ('"}{"', "\\", "\xff\xfe", "a" * 5000, "%s%n", "\t"):
            self.server.post({}, {"X-Request-Id": text, "User-Agent": text})
            self.server.post({}, {"Accept": text})
            self.server.post({}, {"Content-Type": text})
        self.check_lines()

    def test_hostile_request_lines(self):
        for line in (
            b'GET /"}{"forged":true} HTTP/1.1',
            b"GET /\x1b[31m\xff HTTP/1.1",
            b"GET /%22%0a%7b%22forged%22:true%7d HTTP/1.1",
            b'"\\\x01\xff /livez HTTP/1.1',
            b"POST /v1/generate?" + SECRET.split()[0].encode() + b" HTTP/1.1",
            b'GET / HTTP/"\\',
            b"GET /" + b'"' * 100000 + b" HTTP/1.1",
            b'GET / HTTP/1.1\r\n"\\\x01\xff: "\\\x01\xff',
            b"POST /v1/generate HTTP/1.1\r\nContent-Length: " + b'"\\\x01\xff',
        ):
            address = ("127.0.0.1", self.server.port)
            with socket.create_connection(address, PATIENCE) as client:
                try:
                    client.sendall(line + b"\r\nHost: a\r\n\r\n")
                    client.settimeout(0.1)
                    client.recv(1000)
                except (TimeoutError, ConnectionError):
                    pass
        self.check_lines()

    def test_heads_that_are_refused_unread(self):
        """By libmicrohttpd itself: too many bytes, a line without a colon, no number."""
        head = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
        for lines, status in (
            (b"X: " + SECRET.encode() * 3000, "431"),
            (b"X: a\r\n" * 7000, "431"),
            (SECRET.encode(), "400"),
            (b"Content-Length: 99999999999999999999", "413"),
        ):
            before = self.server.metrics()("sluice_http_requests_total", status=status)
            count = len(self.server.events("request"))
            address = ("127.0.0.1", self.server.port)
            with socket.create_connection(address, PATIENCE) as client:
                try:
                    client.sendall(head + lines + b"\r\n\r\n")
                    client.recv(1000)
                except ConnectionError:  # it did not read all
                    pass
            entry = self.server.wait_for_event("request", count + 1)
            expected = {"status": int(status), "route": "none", "level": "info"}
            self.assertLessEqual(expected.items(), entry.items())
            self.assertNotIn("outcome", entry)
            self.assertRegex(entry["request_id"], "^[0-9a-f]{32}$")
            after = self.server.metrics()("sluice_http_requests_total", status=status)
            self.assertEqual(after - before, 1)
        self.check_lines()

    def test_prompts_that_are_worked_on(self):
        for fields in (
            {"prompt": SECRET},
            {"prompt": f"{HOSTILE} {SECRET}"},
            {"prompt": SECRET * 100},
            {"prompt": SECRET, "negative_prompt": SECRET, "guidance": 20},
        ):
            self.assertEqual(self.server.post(fields).status, 200)
        self.check_lines()

    def test_probes_are_not_logged_while_all_is_well(self):
        for path in ("/livez", "/readyz", "/healthz", "/metrics"):
            for port in (self.server.port, self.server.admin_port):
                self.server.get(path, port)
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.server.events("request"), [])

    def test_each_request_once(self):
        ids = [f"id-{i}" for i in range(30)]
        connection = self.server.connect()
        for i, name in enumerate(ids):
            fields = {"steps": 1} if i % 3 else {"steps": 0}
            self.server.post(fields, {"X-Request-Id": name}, connection)
        connection.close()
        self.assertEqual(self.server.stop(), 0)
        logged = [entry["request_id"] for entry in self.server.events("request")]
        self.assertEqual(sorted(logged), sorted(ids))

    def test_log_whose_reader_hangs(self):
        """Twice what a pipe takes: requests are answered, and no line is lost."""
        arguments = (BINARY, "serve", "--model", TINY, "--port=0", "--admin-port=0")
        count = 2 * 65536 // 150
        with subprocess.Popen(
            (*arguments, "--drain-delay=0"),
            env=clean_environment(),
            stdout=subprocess.PIPE,
            bufsize=0,
        ) as server:
            self.addCleanup(server.kill)
            ready = b""
            while not ready.endswith(b"\n"):
                ready += server.stdout.read(1)
            connection = self.server.connect(json.loads(ready)["port"])
            for _ in range(count):
                answer = self.server.post({"steps": 0}, connection=connection)
                self.assertEqual(answer.status, 422)
            connection.close()
            server.terminate()
            lines = b"".join(iter(lambda: server.stdout.read(65536), b"")).splitlines()
            self.assertEqual(server.wait(PATIENCE), 0)
        events = [json.loads(line)["event"] for line in lines]
        self.assertEqual(events.count("request"), count)
        self.assertEqual(events[-1], "stopped")

    def test_log_that_nobody_reads(self):
        """One that was closed costs only the log."""
        arguments = (BINARY, "serve", "--model", TINY, "--port=0", "--admin-port=0")
        server = subprocess.Popen(
            (*arguments, "--drain-delay=0"), env=clean_environment(), stdout=subprocess.PIPE
        )
        self.addCleanup(server.kill)
        port = json.loads(server.stdout.readline())["port"]
        server.stdout.close()
        for _ in range(3):
            connection = self.server.connect(port)
            self.assertEqual(self.server.post({}, connection=connection).status, 200)
            connection.close()
        server.terminate()
        self.assertEqual(server.wait(PATIENCE), 0)


if __name__ == "__main__":
    unittest.main()
