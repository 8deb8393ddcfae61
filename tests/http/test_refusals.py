"""What a bad request gets: a problem that names what is wrong. And no input ends the
process, or keeps it from answering others."""

import json
import socket
import time
import unittest

from sluice_server import (
    GENERATE,
    HOUSE,
    PATIENCE,
    PROBLEM_TYPE,
    Answer,
    Server,
    in_parallel,
    tiny,
    wait_until,
)

TINY = tiny("two-taps")
CAT = {"prompt": "a cat", "seed": 1, "steps": 2}
MAX_BODY = 64 * 1024
IDLE_SECONDS = 15  # after which a silent client is closed: between two requests,
SLOW_SECONDS = 10  # and within one

BAD_FIELDS = (
    # JSON text, status, field, words of the detail
    ('{"prompt": "a"', 400, None, ""),
    ('{"prompt": "a",}', 400, None, ""),
    ("{'prompt': 'a'}", 400, None, ""),
    ("", 400, None, ""),
    ("[" * 30000, 400, None, ""),
    ('{"seed": 1e999}', 400, None, ""),
    ('{"guidance": NaN}', 400, None, ""),
    ('{"steps": 1, "steps": 2}', 400, None, "steps"),
    ('{"prompt": "\\u0000"}', 400, None, ""),
    ('{"prompt": "\\ud800"}', 400, None, ""),
    ("[]", 400, None, "object"),
    ("3", 400, None, "object"),
    ('{"promt": "a"}', 422, "promt", "prompt"),
    ('{"prompt": 3}', 422, "prompt", "string"),
    ('{"prompt": "%s"}' % ("a" * 2001), 422, "prompt", "2000"),
    ('{"negative_prompt": null}', 422, "negative_prompt", "null"),
    ('{"seed": -1}', 422, "seed", "4294967295"),
    ('{"seed": 4294967296}', 422, "seed", "4294967295"),
    ('{"seed": "1"}', 422, "seed", "string"),
    ('{"steps": 0}', 422, "steps", "from 1 to 100"),
    ('{"steps": 101}', 422, "steps", "from 1 to 100"),
    ('{"steps": 1.5}', 422, "steps", "1.5"),
    ('{"steps": true}', 422, "steps", "true"),
    ('{"width": 17}', 422, "width", "multiple of 16"),
    ('{"height": 0}', 422, "height", "multiple of 16"),
    ('{"width": 256, "height": 256}', 422, "width", "16384"),
    ('{"guidance": 0.5}', 422, "guidance", "from 1 to 20"),
    ('{"guidance": 21}', 422, "guidance", "from 1 to 20"),
    ('{"solver": "rk4"}', 422, "solver", "dpmpp_2m"),
    ('{"deadline_ms": 0}', 422, "deadline_ms", "from 1 to 600000"),
    ('{"min_steps": 1}', 422, "min_steps", "deadline_ms"),
    ('{"preview_every": 1}', 422, "preview_every", "event stream"),
)

HOST = b"Host: sluice\r\n"
POST = b"POST /v1/generate HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GARBAGE = (
    bytes(range(256)) * 100,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 500,  # begins as TLS does
    b"\r\n" * 1000,
    b"GET\r\n\r\n",
    b"GET /livez\r\n\r\n",
    b"GET /livez HTTP/0.9\r\n\r\n",
    b"GET /livez HTTP/9.9\r\n" + HOST + b"\r\n",
    b"GET /livez HTTP/1.1\r\n\r\n",
    b"GET /%00%ff/../\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"A" * 100000,
    b"BREW" * 100 + b" /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /livez HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100000 + b"\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 20000 + b"\r\n",
    b"GET /livez HTTP/1.1\r\n" + HOST + b": \r\n\0\r\n:\r\n\r\n",
    POST + b"Content-Length: -1\r\n\r\n{}",
    POST + b"Content-Length: 2x\r\n\r\n{}",
    POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    POST + b"Content-Length: 18446744073709551615\r\n\r\n{}",
    POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2\r\n{}xx",
    POST + b"Content-Length: 100\r\n\r\n{}",
    POST[:-2],
    b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n" + b"\0" * 5000,
)


class RefusalsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(TINY))
        cls.expected = cls.server.picture(CAT)

    def tearDown(self):
        """Whatever was sent: the process answers, and with the same bytes."""
        self.assertIsNone(self.server.process.poll(), "the process has ended")
        self.assertEqual(self.server.picture(CAT), self.expected)

    def open(self, data=b""):
        connection = socket.create_connection(("127.0.0.1", self.server.port), PATIENCE)
        self.addCleanup(connection.close)
        connection.sendall(data)
        return connection

    def check(self, answer, status, kind=None, field=None, words=""):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
        problem = answer.json()
        self.assertEqual(problem["status"], status)
        self.assertTrue(problem["type"].startswith("/problems/"), problem)
        if kind is not None:
            self.assertEqual(problem["type"], f"/problems/{kind}")
        self.assertTrue(problem["title"])
        self.assertIn(words, problem["detail"])
        self.assertTrue(problem["detail"])
        self.assertEqual(problem["instance"], answer.headers["X-Request-Id"])
        self.assertEqual(problem.get("field"), field)
        return problem

    def test_fields(self):
        for text, status, field, words in BAD_FIELDS:
            with self.subTest(text[:60]):
                answer = self.server.post(text.encode())
                self.check(answer, status, None, field, words)

    def test_line_and_column(self):
        problem = self.check(self.server.post(b'{"steps": 3,\n "seed": }'), 400)
        self.assertEqual(problem["line"], 2)
        self.assertGreater(problem["column"], 1)

    def test_bytes_that_are_not_utf8(self):
        for body in (b'{"prompt": "\xff"}', b"\xff\xfe{}", b'{"\xe4": 1}', b"\0" * 100):
            self.check(self.server.post(body), 400, "malformed-request")

    def test_limits_of_the_operator(self):
        with Server(TINY, "--max-steps", "5", "--max-pixels", "4096") as server:
            self.check(server.post({"steps": 6}), 422, None, "steps", "from 1 to 5")
            answer = server.post({"width": 80, "height": 64})
            self.assertIn("4096", answer.json()["detail"])
            self.assertEqual(answer.status, 422)
            self.assertEqual(server.post({"width": 64, "height": 64, "steps": 5}).status, 200)

    def test_steps_that_the_model_does_not_tell_apart(self):
        """Of one-head's few tokens, 300 linearly shifted times run backwards."""
        with Server(tiny("one-head"), "--max-steps", "1000") as server:
            answer = server.post({**CAT, "steps": 300})
            self.check(answer, 422, "invalid-request", "steps", "64 x 64")
            self.assertEqual(server.post({**CAT, "steps": 200}).status, 200)

    def test_body_too_large(self):
        fits = json.dumps(CAT).encode().ljust(MAX_BODY)
        self.assertEqual(self.server.picture(fits), self.expected)
        for size in (MAX_BODY + 1, 100000):
            self.check(self.server.post(fits.ljust(size)), 413, "body-too-large")

    def test_body_too_large_in_chunks(self):
        for size in (MAX_BODY + 1, 5000000):
            connection = self.server.connect()
            pieces = [b" " * 5000] * (size // 5000) + [b" " * (size % 5000 or 1)]
            headers = {"Content-Type": "application/json"}
            connection.request(
                "POST", GENERATE, iter(pieces), headers, encode_chunked=True
            )
            self.check(Answer(connection.getresponse()), 413, "body-too-large")
            connection.close()

    def test_expectation(self):
        client = self.open(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        self.assertIn(b" 100 ", client.recv(25))
        client.sendall(b"{}")
        self.assertIn(b" 200 ", client.recv(1000))
        client = self.open(POST + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n")
        self.assertIn(b" 413 ", client.recv(1000), "refused before the body is sent")

    def test_content_type(self):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "/", "\xff"):
            answer = self.server.post(CAT, {"Content-Type": kind})
            self.check(answer, 415, "unsupported-media-type")
        connection = self.server.connect()
        connection.request("POST", GENERATE, b"{}")
        self.check(Answer(connection.getresponse()), 415, words="application/json")
        connection.close()

    def test_accept(self):
        for accept in (
            "application/xml",
            "image/jpeg, text/html",
            "image/png;q=0, text/html",
            "image/png;q=0, image/*",
        ):
            answer = self.server.post(CAT, {"Accept": accept})
            self.check(answer, 406, "not-acceptable", words="image/png")

    def test_path_and_method(self):
        for path in ("/v1", "/v1/generate/", "/V1/generate", "/favicon.ico", "//"):
            self.check(self.server.get(path), 404, "not-found")
        self.check(self.server.get("/nothing", self.server.admin_port), 404)
        self.check(self.server.get(GENERATE, self.server.admin_port), 404)
        for path, allow in ((GENERATE, "GET, HEAD, POST"), ("/v1/verify", "POST")):
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
                answer = self.server.get(path, method=method)
                self.check(answer, 405, "method-not-allowed")
                self.assertEqual(answer.headers["Allow"], allow)
        answer = self.server.get("/readyz", method="POST")
        self.check(answer, 405)
        self.assertEqual(answer.headers["Allow"], "GET, HEAD")
        answer = self.server.get("/v1/verify", method="HEAD")
        self.assertEqual((answer.status, answer.body), (405, b""))

    def test_request_id(self):
        for sane in ("a", "AZaz09._-", "x" * 64):
            for fields in (CAT, {"steps": 0}):
                answer = self.server.post(fields, {"X-Request-Id": sane})
                self.assertEqual(answer.headers["X-Request-Id"], sane)
        self.assertEqual(answer.json()["instance"], sane)
        for hostile in ("", "x" * 65, "a b", "a\tb", '"', "<script>", "\xe9", "a,b", "\\n"):
            answer = self.server.post({"steps": 0}, {"X-Request-Id": hostile})
            self.assertRegex(answer.headers["X-Request-Id"], "^[0-9a-f]{32}$")
            self.check(answer, 422, field="steps")

    def test_queue_is_full(self):
        one = ("--workers", "1", "--max-batch", "1", "--queue", "1", "--max-steps", "1000")
        with Server(HOUSE, *one, "--max-wait", "86400") as server:
            long = {"prompt": "a long one", "steps": 1000}
            first = server.send(long)
            server.wait_for_gauges(running=1, queued=0)
            second = server.send(long)
            server.wait_for_gauges(running=1, queued=1)
            for _ in range(3):
                answer = server.post({**CAT, "seed": 2})
                problem = self.check(answer, 429, "overloaded")
                self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
                self.assertEqual(int(answer.headers["Retry-After"]), problem["retry_after"])
            self.check(server.post({"steps": 0}), 422, field="steps")
            self.assertEqual(server.get("/readyz").status, 200)
            self.assertEqual(server.get("/readyz", server.admin_port).status, 200)
            self.assertEqual(server.cancel(), 0)
            for connection in (first, second):
                self.check(Answer(connection.getresponse()), 503, "unavailable")
                connection.close()

    def test_overload_is_over_when_the_queue_is_empty(self):
        with Server(TINY, "--workers", "1", "--max-batch", "1", "--queue", "1") as server:
            answers = in_parallel(server.post, [{**CAT, "steps": 50}] * 60, 12)
            statuses = [answer.status for answer in answers]
            self.assertEqual(set(statuses) - {200, 429}, set())
            self.assertGreaterEqual(statuses.count(200), 2)
            for answer in answers:
                if answer.status == 429:
                    self.check(answer, 429, "overloaded")
            server.wait_for_gauges(running=0, queued=0)
            self.assertEqual(server.picture(CAT), self.expected)
            self.assertEqual(server.metrics()("sluice_images_total"), statuses.count(200) + 1)

    def test_bodies_whose_end_is_ambiguous(self):
        """Behind a proxy, the rest could become the next client's request."""
        length, chunked = b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"
        for headers in (
            length + b"Content-Length: 37\r\n",
            length + length,
            length + chunked,
            chunked + length,
            chunked + chunked,
            b"Content-Length : 2\r\n",
            b"Transfer-Encoding : chunked\r\n" + length,
            b"Transfer-Encoding: gzip\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
            b"Transfer-Encoding: xchunked\r\n" + length,
            b"Content-Length: 2, 2\r\n",
            b"Content-Length: +2\r\n",
        ):
            for head in (POST, b"GET /livez HTTP/1.1\r\n" + HOST):
                with self.subTest(headers, head=head[:10]):
                    hidden = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
                    client = self.open(head + headers + b"\r\n{}" + hidden)
                    answer = b""
                    try:
                        while piece := client.recv(65536):
                            answer += piece
                    except ConnectionResetError:  # after the answer: not all was read
                        pass
                    self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer[:300])
                    self.assertNotIn(b"/hidden", answer, "closed, and no 404 for that")

    def test_garbage(self):
        for data in GARBAGE:
            with self.subTest(data[:60]):
                try:
                    client = self.open(data)
                    client.settimeout(0.1)
                    client.recv(1)
                except (TimeoutError, ConnectionError):
                    pass
                client.close()
                self.assertEqual(self.server.get("/livez").status, 200)

    def test_clients_that_leave(self):
        request = POST + b"Content-Length: %d\r\n\r\n" % len(json.dumps(CAT))
        whole = request + json.dumps(CAT).encode()
        for at in (1, 20, len(POST), len(request), len(request) + 5, len(whole) - 1):
            self.open(whole[:at]).close()
        for _ in range(50):  # and some whose request runs
            self.open(whole).close()
        self.server.wait_for_gauges(running=0, queued=0)

    def test_client_that_leaves_while_its_request_runs(self):
        body = json.dumps({**CAT, "steps": 100, "solver": "midpoint", "guidance": 4})
        head = POST + b"Content-Length: %d\r\n\r\n" % len(body)
        before = self.server.metrics()("sluice_evaluations_total")
        clients = [self.open(head + body.encode()) for _ in range(20)]
        wait_until(
            lambda: self.server.metrics()("sluice_evaluations_total") > before,
            "the requests run",
        )
        for client in clients:
            client.close()
        self.assertEqual(self.server.picture(CAT), self.expected)
        self.server.wait_for_gauges(running=0, queued=0)

    def test_slow_body(self):
        body = json.dumps(CAT).encode()
        client = self.open(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        for byte in body:
            client.sendall(bytes([byte]))
            self.assertEqual(self.server.get("/livez").status, 200)
            time.sleep(0.01)
        answer = b""
        while self.expected not in answer:
            piece = client.recv(65536)
            self.assertTrue(piece, "closed before the picture was whole")
            answer += piece
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "))

    def test_silent_clients_are_closed(self):
        """By the defaults; test_hostile.py has the rest."""
        start = time.monotonic()
        silent = [self.open(data) for data in (b"", b"GET /li", POST, CHUNKED + b"5\r\n{")]
        idle = self.open(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        for clients, seconds in ((silent, SLOW_SECONDS), ([idle], IDLE_SECONDS)):
            for client in clients:
                with self.subTest(client):
                    try:
                        while client.recv(4096):
                            pass
                    except ConnectionResetError:
                        pass
            took = time.monotonic() - start
            self.assertGreater(took, seconds - 1)
            self.assertLess(took, seconds + 15)


if __name__ == "__main__":
    unittest.main()
