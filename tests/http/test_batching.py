"""Under load requests share their rounds, and arrivals join those that are under way."""

import unittest

from sluice_server import HOUSE, SLOW, Server, in_parallel

CLIENTS = 16
REQUESTS = 24 if SLOW else 160


class BatchingTest(unittest.TestCase):
    def test_clients_in_closed_loop(self):
        with Server(HOUSE, "--max-round", 60000) as server:
            requests = [
                {"prompt": f"{i % 20} birds", "seed": i, "steps": 2 + i % 4, "guidance": 1}
                for i in range(REQUESTS)
            ]
            answers = in_parallel(server.post, requests, CLIENTS)
            self.assertEqual([answer.status for answer in answers], [200] * REQUESTS)
            metrics = server.metrics()
            evaluations = sum(request["steps"] for request in requests)
            stepped = metrics("sluice_batch_requests_sum")
            rounds = metrics("sluice_batch_requests_count")
            self.assertEqual(stepped, evaluations)
            self.assertEqual(metrics("sluice_evaluations_total"), evaluations)
            self.assertEqual(metrics("sluice_round_seconds_count", work="step"), rounds)
            self.assertGreaterEqual(stepped / rounds, 4, "mean batch")
            self.assertGreater(metrics("sluice_joined_total"), 0)
            print(
                f"{rounds:.0f} rounds, mean batch {stepped / rounds:.2f}, "
                f"{metrics('sluice_joined_total'):.0f} of {REQUESTS} requests joined others"
            )


if __name__ == "__main__":
    unittest.main()
