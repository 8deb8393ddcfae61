"""A stream whose reader is slow, or sleeps."""

import json
import socket
import time
import unittest

from sluice_server import GENERATE, PATIENCE, SLOW, Answer, Server, read_events, wait_until
from test_forms import CAT, EVENTS, JSON, TINY, decode


class SlowReaderTest(unittest.TestCase):
    """Who does not read loses steps and previews, not the image, and holds nobody up."""

    STEPS = 80 if SLOW else 160  # more than the sockets hold
    FIELDS = {**CAT, "width": 128, "height": 128, "steps": STEPS, "guidance": 1}

    def open(self, server, fields):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", server.port))
        body = json.dumps({**fields, "preview_every": 1}).encode()
        client.sendall(
            f"POST {GENERATE} HTTP/1.0\r\nAccept: {EVENTS}\r\nContent-Type: {JSON}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        return client

    def read(self, client):
        with client.makefile("rb") as answer:
            self.assertIn(b" 200 ", answer.readline())
            events = list(read_events(answer))
        client.close()
        return events

    def wait_for_images(self, server, count):
        wait_until(lambda: server.metrics()("sluice_images_total") >= count, "all is drawn")

    def test_reader_that_wakes_up(self):
        with Server(TINY, "--max-steps", "400", "--response-timeout", "600") as server:
            expected = server.picture(self.FIELDS)
            client = self.open(server, self.FIELDS)
            self.wait_for_images(server, 2)
            self.assertEqual(server.picture(self.FIELDS), expected, "others are served")
            events = self.read(client)
            previews = sum(name == "preview" for name, _ in events)
            self.assertTrue(0 < previews < self.STEPS - 1, f"{previews} previews")
            steps = [data["step"] for name, data in events if name == "step"]
            self.assertEqual(steps, sorted(set(steps)))
            self.assertEqual(events[-1][0], "image")
            self.assertEqual(decode(events[-1][1]["images"][0]), expected)

    def test_reader_that_is_slow_at_the_end(self):
        """The server ends when the answer is read, not when it is made."""
        options = ("--max-steps", "400", "--response-timeout", "600", "--drain-timeout", "600")
        with Server(TINY, *options) as server:
            client = self.open(server, self.FIELDS)
            self.wait_for_images(server, 1)
            server.signal()
            server.wait_for_event("draining")
            time.sleep(3)  # all that was given to answers once
            self.assertIsNone(server.process.poll())
            self.assertEqual(self.read(client)[-1][0], "image")
            self.assertEqual(server.wait(), 0)
            self.assertEqual(server.events("stopped")[0]["level"], "info")

    def test_second_signal(self):
        """It ends the work that is left, and what is still being read, at once."""
        options = ("--max-steps", "1000", "--response-timeout", "600", "--drain-timeout", "600")
        with Server(TINY, *options, "--workers", "2") as server:
            client = self.open(server, self.FIELDS)
            self.wait_for_images(server, 1)
            endless = {**self.FIELDS, "steps": 1000, "guidance": 20, "solver": "heun"}
            waiting = server.send(endless)
            server.wait_for_gauges(running=1, queued=0)
            server.signal()
            server.wait_for_event("draining")
            server.signal()
            self.assertEqual(Answer(waiting.getresponse()).status, 503)
            self.assertEqual(server.wait(), 0)
            self.assertEqual(server.events("stopped")[0]["level"], "warning")
            outcomes = [entry.get("outcome") for entry in server.events("request")]
            self.assertIn("shutdown", outcomes, "of the stream that nobody read")
            client.close()

    def test_reader_that_sleeps_on(self):
        with Server(TINY, "--max-steps", "400", "--response-timeout", "1") as server:
            client = self.open(server, self.FIELDS)
            wait_until(
                lambda: server.metrics()("sluice_connections_cut_total") == 1,
                "it is cut although it never read",
            )
            server.wait_for_gauges(running=0, queued=0)
            client.close()


if __name__ == "__main__":
    unittest.main()
