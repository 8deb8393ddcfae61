"""A client that leaves ends its own work, soon, and nobody else's."""

import json
import socket
import struct
import unittest

from sluice_server import (
    GENERATE,
    HOUSE,
    PATIENCE,
    Server,
    in_parallel,
    tiny,
    wait_until,
)

TINY = tiny("two-taps")
CAT = {"prompt": "a cat", "seed": 1, "steps": 3}
# 4,000 evaluations: seconds, in which much smaller things are done.
ENDLESS = {
    "prompt": "a cat",
    "seed": 1,
    "steps": 1000,
    "guidance": 20,
    "solver": "heun",
    "width": 128,
    "height": 128,
}
PATIENT = ("--max-steps", "1000", "--max-wait", "86400", "--workers", "1")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


def head(request_id, body):
    return (
        f"POST {GENERATE} HTTP/1.1\r\nHost: sluice\r\nX-Request-Id: {request_id}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()


class ClientGoneTest(unittest.TestCase):
    def start(self, *options, model=TINY):
        return self.enterContext(Server(model, *PATIENT, *options))

    def send(self, server, fields, request_id="left"):
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        self.addCleanup(client.close)
        body = json.dumps(fields).encode()
        client.sendall(head(request_id, body) + body)
        return client

    def wait_for_line(self, server, request_id="left"):
        def find():
            entries = server.events("request")
            return [entry for entry in entries if entry["request_id"] == request_id]

        return wait_until(find, f"a log line of {request_id}")[0]

    def check_gone(self, server, request_id="left"):
        entry = self.wait_for_line(server, request_id)
        self.assertEqual(entry["status"], 499)
        self.assertEqual(entry["problem"], "client-gone")
        self.assertEqual(entry["outcome"], "client-gone")
        self.assertEqual(entry["level"], "info")
        self.assertLess(entry["steps"], ENDLESS["steps"])

    def leave(self, client, how):
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if how == "half-close":
            client.shutdown(socket.SHUT_WR)
        else:
            client.close()

    def test_running(self):
        server = self.start()
        for how in ("close", "reset", "half-close"):
            with self.subTest(how):
                before = server.metrics()("sluice_evaluations_total")
                client = self.send(server, ENDLESS, how)
                wait_until(
                    lambda before=before: server.metrics()("sluice_evaluations_total")
                    > before,
                    "it is stepped",
                )
                self.leave(client, how)
                server.wait_for_gauges(running=0, queued=0)
                self.check_gone(server, how)
                if how == "half-close":
                    self.assertEqual(client.recv(100), b"")
        metrics = server.metrics()
        count = metrics("sluice_http_requests_total", route=GENERATE, status="499")
        self.assertEqual(count, 3)
        self.assertEqual(metrics("sluice_canceled_total", reason="client"), 3)
        self.assertGreater(metrics("sluice_wasted_evaluations_total"), 0)

    def test_waiting(self):
        # The tiny model's longest work would be over before all others have come.
        server = self.start("--max-batch", "1", model=HOUSE)
        running = self.send(server, ENDLESS, "running")
        server.wait_for_gauges(running=1, queued=0)
        waiting = [self.send(server, ENDLESS, f"waiting-{i}") for i in range(5)]
        server.wait_for_gauges(running=1, queued=5)
        for client in waiting:
            client.close()
        server.wait_for_gauges(running=1, queued=0)
        for i in range(len(waiting)):
            self.check_gone(server, f"waiting-{i}")
        running.close()
        server.wait_for_gauges(running=0, queued=0)
        self.check_gone(server, "running")

    def test_half_close_is_allowed(self):
        server = self.start("--allow-half-close")
        client = self.send(server, {**CAT, "steps": 10}, "half")
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer[:200])
        self.assertEqual(self.wait_for_line(server, "half")["status"], 200)
        client = self.send(server, ENDLESS)
        server.wait_for_gauges(running=1, queued=0)
        client.shutdown(socket.SHUT_WR)
        self.leave(client, "reset")
        server.wait_for_gauges(running=0, queued=0)
        self.check_gone(server)

    def test_others_do_not_notice(self):
        """Half of many leave, at any moment of their requests' lives."""
        with Server(TINY, "--workers", "2") as server:
            fields = [{**CAT, "seed": i, "steps": 20} for i in range(40)]
            expected = in_parallel(server.picture, fields)

            def ask(one):
                if one["seed"] % 2 == 0:
                    return server.picture(one)
                for reads in range(4):  # bytes of the answer after which it leaves
                    client = self.send(server, {**one, "steps": 100})
                    client.settimeout(0.002 * one["seed"] * reads + 0.0001)
                    try:
                        client.recv(reads or 1)
                    except TimeoutError:
                        pass
                    self.leave(client, ("close", "reset")[reads % 2])
                return None

            pictures = in_parallel(ask, fields)
            self.assertEqual(pictures[::2], expected[::2])
            server.wait_for_gauges(running=0, queued=0)
            self.assertEqual(in_parallel(server.picture, fields), expected)

    def test_pipelined_request_is_no_farewell(self):
        with Server(TINY) as server:
            body = json.dumps(CAT).encode()
            client = self.send(server, {**CAT, "steps": 50}, "first")
            client.sendall(head("second", body) + body)
            self.assertEqual(self.wait_for_line(server, "first")["status"], 200)
            self.assertEqual(self.wait_for_line(server, "second")["status"], 200)
            client.close()

    def test_leaving_while_the_server_ends(self):
        server = self.start("--drain-timeout", "600")
        client = self.send(server, ENDLESS)
        server.wait_for_gauges(running=1, queued=0)
        server.signal()
        server.wait_for_event("draining")
        client.close()
        self.assertEqual(server.wait(), 0)
        self.check_gone(server)
        self.assertEqual(server.events("canceling"), [])


if __name__ == "__main__":
    unittest.main()
