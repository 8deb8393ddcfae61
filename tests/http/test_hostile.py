"""Clients that are slow on purpose are cut, whatever they trickle, and nobody else
notices; requests that two readers could understand differently are refused."""

import json
import socket
import threading
import time
import unittest

from sluice_server import (
    GENERATE,
    PATIENCE,
    SLOW,
    Server,
    tiny,
    wait_until,
)

TINY = tiny("two-taps")
CAT = {"prompt": "a cat", "seed": 1, "steps": 2}
BODY = json.dumps(CAT).encode()
LIMIT = 1  # second that each phase may take here
LATE = 20 if SLOW else 5  # seconds beyond the limit that a busy machine is granted
LIMITS = [
    word
    for phase in ("header", "body", "response")
    for word in (f"--{phase}-timeout", str(LIMIT))
]

HOST = b"Host: sluice\r\n"
LIVE = b"GET /livez HTTP/1.1\r\n" + HOST
POST = b"POST /v1/generate HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)

SLOW_CLIENTS = {
    # what is sent at first, and then in pieces; the phase in which it is cut
    "silent": (b"", b"", "header"),
    "request line": (b"GET /", b"a", "header"),
    "empty lines": (b"", b"\r\n", "header"),
    "header": (LIVE + b"X: ", b"x", "header"),
    "headers": (LIVE, b"X: x\r\n", "header"),
    "silent header": (LIVE + b"X: ", b"", "header"),
    "body": (POST + b"Content-Length: 60000\r\n\r\n{", b" ", "body"),
    "silent body": (POST + LENGTH, b"", "body"),
    "chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", "body"),
    "expectation": (POST + b"Expect: 100-continue\r\n" + LENGTH, b"", "body"),
    "second header": (LIVE + b"\r\n" + LIVE, b"X: x\r\n", "header"),
}

# Heads, and what the server says: a status, and words of the detail.
HEADS = (
    (b"GET /livez%00x HTTP/1.1\r\n" + HOST, 400, "control"),
    (b"GET /livez%0ax HTTP/1.1\r\n" + HOST, 400, "control"),
    (b"GET /livez?%00 HTTP/1.1\r\n" + HOST, 400, "%00"),
    (b"GET /livez\0 HTTP/1.1\r\n" + HOST, 400, "blank"),
    (b"GET /livez\x01 HTTP/1.1\r\n" + HOST, 400, "control"),
    (b"GET /livez x HTTP/1.1\r\n" + HOST, 400, "blank"),
    (b"GET  /livez HTTP/1.1\r\n" + HOST, 400, "blank"),
    (b"GET livez HTTP/1.1\r\n" + HOST, 400, "path"),
    (b"GET http://u@sluice/livez HTTP/1.1\r\n" + HOST, 400, "host"),
    (b"GET http:///livez HTTP/1.1\r\n" + HOST, 400, "host"),
    (b"CONNECT sluice:80 HTTP/1.1\r\n" + HOST, 400, "path"),
    (b"G(T /livez HTTP/1.1\r\n" + HOST, 400, "method"),
    (b"GET /livez HTTP/1.1\n" + HOST, 400, "CR LF"),
    (b"GET /livez HTTP/1.1\r\nHost: a\n", 400, "CR LF"),
    (b"GET /livez HTTP/1.1\r\n", 400, "Host"),
    (LIVE + HOST, 400, "Host"),
    (b"GET /livez HTTP/1.1\r\nHost: a b\r\n", 400, "Host"),
    (b"GET /livez HTTP/1.1\r\nHost: a/<b>\r\n", 400, "Host"),
    (b"GET /livez HTTP/1.1\r\nHost: user@a\r\n", 400, "Host"),
    (b"GETTING_MUCH_MORE /livez HTTP/1.1\r\n" + HOST, 405, "GETTING_MUCH_MO"),
    (b"OPTIONSX /livez HTTP/1.1\r\n" + HOST, 405, "OPTIONSX"),
    (LIVE + b"Content-Length: 0\r\nContent-Length: 0\r\n", 400, "Content-Length"),
    (LIVE + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400, "one"),
    (LIVE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "one"),
    (LIVE + b"Transfer-Encoding: gzip\r\n", 400, "chunked"),
    (LIVE + b"Transfer-Encoding: \x0bchunked\r\n", 400, "control"),
    (b"GET /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400, "HTTP/1.0"),
    (LIVE + b"Authorization: a\r\nAuthorization: b\r\n", 400, "Authorization"),
    (LIVE + b"X : y\r\n", 400, "name"),
    (LIVE + b"X\x0b: y\r\n", 400, "name"),
    (LIVE + b": y\r\n", 400, "CR LF"),
    (LIVE + b"X: a\rContent-Length: 5\r\n", 400, "control"),
    (LIVE + b"X: a\0b\r\n", 400, "NUL"),
    (LIVE + b"X: a\0b\r\nY: c\r\n", 400, "NUL"),
    (LIVE + b"Content-Length: 0\0 5\r\n", 400, "NUL"),
    (LIVE + b"X: a\x7f\r\n", 400, "control"),
    (LIVE + b"X: a\x1b[31m\r\n", 400, "control"),
    (LIVE + b"X: a\r\n b\r\nY: c\r\n", 400, "continues"),
    (LIVE + b"Content-Length: 0\r\n 5\r\n", 400, "CR LF"),
    (LIVE + b"Content-Length: 0\r\n\t5\r\nX: y\r\n", 400, "continues"),
    (LIVE, 200, None),
    (b"GET /livez HTTP/1.0\r\n", 200, None),
    (b"GET /livez HTTP/1.1\r\nHost: [::1]:8080\r\n", 200, None),
    (b"GET /livez HTTP/1.1\r\nHost:\r\n", 200, None),
    (b"GET http://other.example/livez HTTP/1.1\r\n" + HOST, 200, None),
    (b"GET HTTPS://other.example:1?/livez HTTP/1.1\r\n" + HOST, 200, "<html"),
    (b"GET http://other.example/nothing HTTP/1.1\r\n" + HOST, 404, "nothing at /nothing"),
    (b"GET /%6Civez HTTP/1.1\r\n" + HOST, 200, None),
    (b"OPTIONS * HTTP/1.1\r\n" + HOST, 404, "nothing at *"),
    (LIVE + b"X:\ta\tb \xc3\xa9 \r\nY:\r\n", 200, None),
    (LIVE + b"Content-Length: 0\r\n", 200, None),
)


def read_all(client):
    """What comes until the end of the connection."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data


class HostileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(TINY, *LIMITS))
        cls.expected = cls.server.picture(CAT)

    def open(self, data=b"", server=None, receive_buffer=None):
        client = socket.socket()
        self.addCleanup(client.close)
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", (server or self.server).port))
        client.sendall(data)
        return client

    def cuts(self, phase):
        return self.server.metrics()("sluice_connections_cut_total", phase=phase)

    def trickle(self, client, piece):
        """Sends pieces until the server has cut the connection; the seconds it took."""
        begin = time.monotonic()
        client.settimeout(0.05)
        answer = b""
        while time.monotonic() - begin < PATIENCE:
            try:
                if piece:
                    client.sendall(piece)
                data = client.recv(65536)
                if not data:
                    break
                answer += data
            except TimeoutError:
                continue
            except ConnectionError:
                break
        return time.monotonic() - begin, answer

    def test_slow_clients(self):
        """All at once, each ten times; meanwhile others are served as ever."""
        begin = {phase: self.cuts(phase) for phase in ("header", "body")}
        results = {}

        def run(name, number):
            first, piece, _ = SLOW_CLIENTS[name]
            results[name, number] = self.trickle(self.open(first), piece)

        threads = [
            threading.Thread(target=run, args=(name, number))
            for name in SLOW_CLIENTS
            for number in range(10)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.assertEqual(self.server.picture(CAT), self.expected)
        for thread in threads:
            thread.join()
        self.assertEqual(len(results), len(threads))
        for (name, _), (seconds, answer) in results.items():
            with self.subTest(name):
                # A kept connection may be idle before its second request.
                self.assertGreater(seconds, LIMIT * 0.9)
                self.assertLess(seconds, LIMIT + LATE)
                statuses = answer.count(b"HTTP/1.1 ")
                self.assertEqual(statuses, name in ("expectation", "second header"), answer)
        for phase, before in begin.items():
            expected = 10 * sum(row[2] == phase for row in SLOW_CLIENTS.values())
            wait_until(
                lambda phase=phase, before=before, expected=expected: self.cuts(phase)
                - before
                == expected,
                f"{expected} are counted as cut in {phase}",
            )

    def test_slow_upload_is_logged(self):
        name = "slow-upload"
        self.trickle(self.open(POST + b"X-Request-Id: slow-upload\r\n" + LENGTH), b"")
        self.open(POST + b"X-Request-Id: left-upload\r\n" + LENGTH).close()
        found = {}

        def logged():
            found.update(
                {entry["request_id"]: entry for entry in self.server.events("request")}
            )
            return name in found and "left-upload" in found

        wait_until(logged, "both are logged")
        self.assertEqual((found[name]["status"], found[name]["outcome"]), (408, "too-slow"))
        left = found["left-upload"]
        self.assertEqual((left["status"], left["outcome"]), (499, "client-gone"))
        metrics = self.server.metrics()
        for status in ("408", "499"):
            count = metrics("sluice_http_requests_total", route=GENERATE, status=status)
            self.assertGreater(count, 0)

    def test_slow_readers(self):
        """Answers that are not read, many times over: what the kernel does not take is not
        kept."""
        before = self.cuts("response")
        requests = (b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n") * 4000
        clients = [self.open(receive_buffer=1024) for _ in range(10)]
        for client in clients:
            client.setblocking(False)
            try:
                client.send(requests)
            except BlockingIOError:
                pass
        while self.cuts("response") - before < len(clients):
            self.assertEqual(self.server.picture(CAT), self.expected)

    def test_slow_reader_of_a_stream(self):
        """It is cut when it leaves unread what there is to read; its work ends then."""
        before = self.cuts("response")
        body = json.dumps({"n": 16, "steps": 1, "width": 128, "height": 128}).encode()
        accept = b"Accept: text/event-stream\r\n"
        head = POST + accept + b"Content-Length: %d\r\n\r\n" % len(body)
        self.open((head + body) * 100, receive_buffer=1024)
        wait_until(lambda: self.cuts("response") > before, "it is cut")
        self.server.wait_for_gauges(running=0, queued=0)

    def test_reader_that_reads(self):
        """The limit is for each answer, not for the connection."""
        client = self.server.connect()
        begin = time.monotonic()
        while time.monotonic() - begin < 1.5 * LIMIT:
            self.assertEqual(self.server.post(CAT, connection=client).status, 200)
        client.close()

    def test_waiting_for_the_engine_does_not_count(self):
        """Nor does the time between two requests."""
        with Server(TINY, *LIMITS, "--max-steps", "1000", "--max-wait", "86400") as server:
            fields = {"width": 128, "height": 128, "guidance": 20, "solver": "heun"}
            server.post({**fields, "steps": 1})
            begin = time.monotonic()
            server.post({**fields, "steps": 20})
            steps = int(20 * 1.5 * LIMIT / (time.monotonic() - begin)) + 1
            client = server.connect()
            begin = time.monotonic()
            while time.monotonic() - begin < 1.2 * LIMIT:
                answer = server.post({**fields, "steps": min(steps, 1000)}, connection=client)
                self.assertEqual(answer.status, 200)
            time.sleep(1.2 * LIMIT)
            self.assertIsNotNone(client.sock)
            self.assertEqual(server.post({**fields, "steps": 1}, connection=client).status, 200)
            client.close()
            self.assertEqual(server.metrics()("sluice_connections_cut_total"), 0)

    def test_more_slow_clients_than_connections(self):
        """Limits of an hour: only that connections are scarce cuts them, so that everybody
        else is served after a second or so."""
        hour = [word.replace(str(LIMIT), "3600") for word in LIMITS]
        small = ("--workers", "1", "--max-batch", "1", "--queue", "0")
        with Server(TINY, *hour, *small) as server:
            for _ in range(20):
                kept = server.connect()
                self.addCleanup(kept.close)
                server.post({**CAT, "steps": 0}, connection=kept)
            for first in (LIVE + b"X: ", POST + LENGTH):
                for _ in range(150):
                    self.open(first, server)
            for _ in range(3):
                self.assertEqual(server.picture(CAT), self.expected)
                self.assertEqual(server.get("/readyz", server.admin_port).status, 200)
            self.assertGreater(server.metrics()("sluice_connections_cut_total"), 0)
            self.assertEqual(server.stop(), 0)

    def test_heads(self):
        """Refused, and closed: what follows is not taken for a request."""
        hidden = b"GET /hidden HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        for head, status, words in HEADS:
            with self.subTest(head):
                answer = read_all(self.open(head + b"\r\n" + hidden))
                start, _, rest = answer.partition(b"\r\n")
                self.assertEqual(start.split()[1], str(status).encode(), answer)
                self.assertIn((words or "").encode(), rest.partition(b"\r\n\r\n")[2])
                kept = status != 400 and not head.startswith(b"GET /livez HTTP/1.0")
                self.assertEqual(b"/hidden" in answer, kept, answer)
                if status == 400:
                    self.assertIn(b"\r\nConnection: close\r\n", answer)
                    self.assertEqual(answer.count(b"HTTP/1.1 4"), 1)

    def test_accept_lines_are_one(self):
        def post(*lines):
            accept = b"".join(b"Accept: %s\r\n" % line for line in lines)
            client = self.open(POST + accept + b"Connection: close\r\n" + LENGTH + BODY)
            return int(read_all(client).split()[1])

        self.assertEqual(post(b"text/html", b"image/png"), 200)
        self.assertEqual(post(b"text/html", b"text/plain, image/*;q=0.1"), 200)
        self.assertEqual(post(b"text/html", b"text/plain"), 406)
        self.assertEqual(post(b"image/*", b"image/png;q=0"), 406)
        self.assertEqual(post(b"", b""), 200)


if __name__ == "__main__":
    unittest.main()
