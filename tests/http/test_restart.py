"""A server that was killed starts again on its ports at once, as whoever restarts it needs."""

import signal
import unittest

from sluice_server import HOUSE, Server

SHORT = {"prompt": "a cat", "seed": 1, "steps": 1, "guidance": 1}


class RestartTest(unittest.TestCase):
    def test_killed(self):
        with Server(HOUSE, "--workers", "1") as first:
            # Connections of both ports that the server is the first to close.
            kept = [first.connect(), first.connect(first.admin_port)]
            for connection in kept:
                connection.request("GET", "/livez")
                self.assertEqual(connection.getresponse().read()[:1], b"o")
            first.signal(signal.SIGKILL)
            first.wait()
            for connection in kept:
                connection.close()
            ports = ("--port", first.port, "--admin-port", first.admin_port)
            with Server(HOUSE, "--workers", "1", *ports) as second:
                self.assertEqual(second.post(SHORT).status, 200)
                third = Server(HOUSE, "--workers", "1", *ports, until_ready=False)
                with third:
                    self.assertEqual(third.wait(), 1)
                    self.assertIn("is it in use?", third.errors())


if __name__ == "__main__":
    unittest.main()
