"""How the server ends: what was accepted is finished, and a second signal cuts it short."""

import signal
import socket
import time
import unittest

from sluice_server import HOUSE, PATIENCE, PROBLEM_TYPE, Answer, Server, wait_until

SHORT = {"prompt": "a cat", "seed": 1, "steps": 1, "guidance": 1}
ENDLESS = {"prompt": "a cat", "seed": 1, "steps": 1000, "guidance": 20, "solver": "heun"}
QUICKLY = 5 if PATIENCE <= 60 else 40  # seconds in which what was canceled has ended


def long_request(server, seconds):
    """One that runs about so long, in this build on this machine."""
    dear = {**ENDLESS, "seed": 1}
    server.picture({**dear, "steps": 1})
    start = time.monotonic()
    server.picture({**dear, "steps": 20})
    per_step = (time.monotonic() - start) / 20
    return {**dear, "steps": min(1000, int(seconds / per_step) + 1)}


def start(*options):
    return Server(HOUSE, "--max-steps", "1000", "--workers", "2", "--max-wait", "86400", *options)


class DrainTest(unittest.TestCase):
    def check_unavailable(self, answer):
        self.assertEqual(answer.status, 503, answer.body)
        self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
        self.assertEqual(answer.json()["type"], "/problems/unavailable")
        self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)

    def is_refused(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it closes at this moment
            pass
        return False

    def test_idle_server(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with start() as server:
                self.assertEqual(server.post(SHORT).status, 200)
                server.signal(number)
                self.assertEqual(server.wait(), 0)
                self.assertEqual(len(server.events("stopped")), 1)

    def test_accepted_work_is_finished(self):
        with start("--drain-delay", "2", "--drain-timeout", "600") as server:
            long = server.send(long_request(server, 12))
            server.wait_for_gauges(running=1, queued=0)
            server.signal()
            server.wait_for_event("draining")

            for port in (server.port, server.admin_port):
                self.assertEqual(server.get("/readyz", port).status, 503)
                self.assertEqual(server.get("/healthz", port).status, 503)
                self.assertEqual(server.get("/livez", port).status, 200)
            answer = server.post(SHORT)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Connection"].lower(), "close")

            wait_until(lambda: self.is_refused(server.port), "the listener is closed")
            self.assertIsNone(server.process.poll(), "the long request still runs")
            self.assertEqual(server.get("/livez", server.admin_port).status, 200)
            self.assertEqual(server.get("/readyz", server.admin_port).status, 503)
            answer = Answer(long.getresponse())
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Connection"].lower(), "close")
            self.assertEqual(server.wait(), 0)

    def test_kept_connections_after_the_delay(self):
        with start("--drain-timeout", "600") as server:
            kept = server.connect()
            self.assertEqual(server.post(SHORT, connection=kept).status, 200)
            self.assertIsNotNone(kept.sock, "kept alive")
            endless = server.send(ENDLESS)
            server.wait_for_gauges(running=1, queued=0)
            server.signal()
            wait_until(lambda: self.is_refused(server.port), "the listener is closed")
            self.check_unavailable(server.post(SHORT, connection=kept))
            kept.close()
            server.signal()
            self.check_unavailable(Answer(endless.getresponse()))
            endless.close()
            self.assertEqual(server.wait(), 0)

    def check_cut_short(self, server, connections, since):
        for connection in connections:
            self.check_unavailable(Answer(connection.getresponse()))
            connection.close()
        self.assertEqual(server.wait(), 0)
        self.assertLess(time.monotonic() - since, QUICKLY)
        self.assertEqual(len(server.events("canceling")), 1)
        self.assertEqual(
            [entry["status"] for entry in server.events("request") if "seed" in entry],
            [503] * len(connections),
        )

    def run_endless(self, server, count):
        """So many requests, of which as many run as there are places."""
        connections = [server.send({**ENDLESS, "seed": i}) for i in range(count)]
        wait_until(
            lambda: server.metrics()("sluice_running")
            + server.metrics()("sluice_queue_length")
            == count
            and server.metrics()("sluice_evaluations_total") > 0,
            "all were accepted and some are stepped",
        )
        return connections

    def test_second_signal(self):
        with start("--max-batch", "2", "--drain-timeout", "600") as server:
            connections = self.run_endless(server, 8)
            server.signal()
            server.wait_for_event("draining")
            since = time.monotonic()
            server.signal()
            self.check_cut_short(server, connections, since)

    def test_second_signal_within_the_delay(self):
        with start("--drain-delay", "600", "--drain-timeout", "600") as server:
            connections = self.run_endless(server, 3)
            server.signal(signal.SIGINT)
            server.wait_for_event("draining")
            self.assertEqual(server.get("/readyz").status, 503)
            since = time.monotonic()
            server.signal()
            self.check_cut_short(server, connections, since)

    def test_second_signal_long_after_the_first(self):
        """The signal comes while the main thread waits for the work, in its own way."""
        with start("--drain-timeout", "600") as server:
            connections = self.run_endless(server, 3)
            server.signal()
            server.wait_for_event("draining")
            time.sleep(0.55)
            since = time.monotonic()
            server.signal()
            self.check_cut_short(server, connections, since)

    def test_timeout(self):
        with start("--drain-timeout", "1") as server:
            connections = self.run_endless(server, 3)
            since = time.monotonic()
            server.signal()
            self.check_cut_short(server, connections, since)
            self.assertGreater(time.monotonic() - since, 0.9)

    def test_timeout_of_zero(self):
        with start("--drain-timeout", "0") as server:
            connections = self.run_endless(server, 3)
            since = time.monotonic()
            server.signal()
            self.check_cut_short(server, connections, since)

    def test_clients_that_have_left(self):
        with start("--drain-timeout", "600") as server:
            for connection in self.run_endless(server, 3):
                connection.close()
            self.assertEqual(server.cancel(), 0)

    def test_signal_before_it_is_ready(self):
        for delay in (0, 0.01, 0.05):
            with Server(HOUSE, until_ready=False) as server:
                time.sleep(delay)
                server.signal()
                self.assertIn(server.wait(), (0, -signal.SIGTERM, 128 + signal.SIGTERM))


if __name__ == "__main__":
    unittest.main()
