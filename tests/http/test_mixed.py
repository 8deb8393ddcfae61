"""200 requests of every kind from 16 clients: each gets its picture, and all counts agree."""

import random
import unittest

from sluice_server import GENERATE, SOLVERS, Picture, Server, in_parallel, tiny, wait_until

CLIENTS, REQUESTS = 16, 200
WORDS = ("red", "cat", "ж", "🐈", "the")


def mixed_requests(count):
    """Requests of all kinds; every fourth was there before."""
    draw = random.Random(200)
    requests = []
    while len(requests) < count:
        if len(requests) % 4 == 3:
            requests.append(draw.choice(requests))
            continue
        guidance = draw.choice((1, 1, 2.5, 20))
        requests.append(
            {
                "prompt": " ".join(draw.choices(WORDS, k=draw.randrange(30))),
                "negative_prompt": draw.choice(("", "blurry")) if guidance > 1 else "",
                "seed": draw.randrange(2**32),
                "steps": draw.randint(1, 12),
                "width": 16 * draw.randint(1, 6),
                "height": 16 * draw.randint(1, 6),
                "guidance": guidance,
                "solver": draw.choice(SOLVERS),
            }
        )
    return requests


class MixedTest(unittest.TestCase):
    def test_nothing_is_lost(self):
        requests = mixed_requests(REQUESTS)
        with Server(tiny("two-taps"), "--queue", "16") as server:
            answers = in_parallel(server.post, requests, CLIENTS)
            seen = {}
            for request, answer in zip(requests, answers):
                self.assertEqual(answer.status, 200, answer.body)
                self.assertEqual(int(answer.headers["Sluice-Seed"]), request["seed"])
                self.assertEqual(int(answer.headers["Sluice-Steps"]), request["steps"])
                picture = Picture(answer.body)
                self.assertEqual(
                    (picture.width, picture.height), (request["width"], request["height"])
                )
                self.assertEqual(seen.setdefault(str(request), answer.body), answer.body)
            self.assertEqual(len(set(seen.values())), len(seen))
            self.check_counts(server, answers)
            self.check_log(server, answers)

    def check_counts(self, server, answers):
        wait_until(
            lambda: server.metrics()(
                "sluice_http_requests_total", route=GENERATE, status="200"
            )
            == REQUESTS,
            "all answers are counted",
        )
        metrics = server.metrics()
        evaluations = sum(int(a.headers["Sluice-Evaluations"]) for a in answers)
        self.assertEqual(metrics("sluice_http_requests_total", route=GENERATE), REQUESTS)
        self.assertEqual(metrics("sluice_images_total"), REQUESTS)
        self.assertEqual(metrics("sluice_request_seconds_count"), REQUESTS)
        self.assertEqual(metrics("sluice_round_seconds_count", work="decode"), REQUESTS)
        self.assertEqual(metrics("sluice_evaluations_total"), evaluations)
        self.assertEqual(metrics("sluice_running"), 0)
        self.assertEqual(metrics("sluice_queue_length"), 0)

    def check_log(self, server, answers):
        server.wait_for_event("request", REQUESTS)
        logged = [entry["request_id"] for entry in server.events("request")]
        given = [answer.headers["X-Request-Id"] for answer in answers]
        self.assertEqual(len(set(given)), REQUESTS)
        self.assertEqual(sorted(logged), sorted(given))


if __name__ == "__main__":
    unittest.main()
