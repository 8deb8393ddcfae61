"""The same request gives the same bytes: alone, in every batch at every position, with any
number of workers, and after a restart."""

import random
import unittest

from sluice_server import HOUSE, SLOW, SOLVERS, Server, tiny

SIZES = (2, 5, 16) if SLOW else range(2, 17)
TRIES = 5  # of a round of a size that has not been seen yet

# The pool: no two requests are alike in anything.
TINY_POOL = [
    {
        "prompt": f"number {i} " + "of several " * i,
        "seed": 1000 + i,
        "steps": 8 + i,
        "width": 16 * (1 + i % 5),
        "height": 16 * (1 + i % 3),
        "solver": SOLVERS[i % len(SOLVERS)],
        "guidance": (1, 2.5, 4)[i % 3],
        "negative_prompt": ("", "a dog", "rain")[i // 3 % 3] if i % 3 else "",
    }
    for i in range(16)
]
HOUSE_POOL = [
    {
        "prompt": f"{animal} in the rain",
        "seed": i,
        "steps": 3 + i % 3,
        "width": (128, 64, 160)[i % 3],
        "height": (128, 64, 96)[i % 3],
        "solver": SOLVERS[i % len(SOLVERS)],
        "guidance": (3, 1)[i % 2],
    }
    for i, animal in enumerate(
        "cat dog fox owl bee cow pig ant bat elk hen ape eel yak ram koi".split()
    )
]


def send_together(server, requests):
    """The pictures of requests that are sent in this order without waiting."""
    connections = [server.send(request) for request in requests]
    pictures = []
    for connection in connections:
        response = connection.getresponse()
        pictures.append((response.status, response.read()))
        connection.close()
    return pictures


def rounds_above(metrics, size):
    """How many rounds stepped more requests than that; `size` is a bucket's bound."""
    return metrics("sluice_batch_requests_count") - metrics(
        "sluice_batch_requests_bucket", le=str(size)
    )


def serve(model, *options):
    """Batches as large as they get, however slow the build."""
    return Server(model, "--max-round", "600000", "--max-wait", "86400", *options)


class SamenessTest(unittest.TestCase):
    def check(self, server, requests, expected):
        """Whether these requests, sent together, get what each got alone."""
        for request, (status, picture) in zip(requests, send_together(server, requests)):
            self.assertEqual(status, 200, picture)
            self.assertEqual(picture, expected[request["prompt"]], request)

    def alone(self, server, pool):
        expected = {request["prompt"]: server.picture(request) for request in pool}
        metrics = server.metrics()
        self.assertEqual(rounds_above(metrics, 1), 0, "no request shared a round")
        self.assertEqual(len(set(expected.values())), len(pool))
        return expected

    def batches(self, server, pool, expected):
        """Batches of every size, with one request at each position of it."""
        order = random.Random(3)
        for size in SIZES:
            for position in range(size):
                target = pool[(size + position) % len(pool)]
                batch = order.sample([r for r in pool if r is not target], size - 1)
                batch.insert(position, target)
                self.check(server, batch, expected)

    def full_round(self, server, pool, expected):
        """A round of more than 12 requests did happen, or does within some tries."""
        for _ in range(TRIES):
            if rounds_above(server.metrics(), 12) > 0:
                return
            self.check(server, pool, expected)
        self.assertGreater(rounds_above(server.metrics(), 12), 0)

    def test_tiny_model(self):
        model = tiny("f32")
        with serve(model, "--workers", "1", "--max-batch", "16") as server:
            expected = self.alone(server, TINY_POOL)
            self.batches(server, TINY_POOL, expected)
            self.full_round(server, TINY_POOL, expected)
            metrics = server.metrics()
            steps = metrics("sluice_batch_requests_count")
            self.assertGreater(metrics("sluice_batch_requests_sum") / steps, 1.5)
        with serve(model, "--workers", "2", "--max-batch", "16") as server:
            self.batches(server, TINY_POOL, expected)
            self.assertGreater(rounds_above(server.metrics(), 4), 0)
        with serve(model, "--workers", "2", "--max-batch", "3") as server:
            self.check(server, TINY_POOL, expected)
        alone = ("--workers", "1", "--max-batch", "1", "--context-cache", "0")
        with serve(model, *alone) as server:
            self.assertEqual(self.alone(server, TINY_POOL), expected)

    def test_identical_requests_in_one_batch(self):
        with serve(tiny("two-taps"), "--workers", "1", "--max-batch", "16") as server:
            request = {"prompt": "twins", "seed": 5, "steps": 50, "solver": "ab2"}
            expected = {"twins": server.picture(request)}
            for size in SIZES:
                self.check(server, [request] * size, expected)
            self.assertGreater(rounds_above(server.metrics(), 1), 0)

    def test_types_of_weights(self):
        """float16 and bfloat16 have products of their own."""
        common = {"steps": 20}
        for name, size in (("f16-distilled", (40, 24)), ("bf16-sharded", (48, 32))):
            common["width"], common["height"] = size
            pool = [{"prompt": f"p{i}", "seed": i, **common} for i in range(16)]
            with serve(tiny(name), "--workers", "1", "--max-batch", "16") as server:
                expected = self.alone(server, pool)
                for size in (2, 5, 16):
                    self.check(server, pool[:size], expected)
                self.full_round(server, pool, expected)

    def test_house_model(self):
        pool = HOUSE_POOL[: 5 if SLOW else 16]
        with serve(HOUSE, "--workers", "1", "--max-batch", "16") as server:
            expected = self.alone(server, pool)
            for size in (2, 5) if SLOW else (2, 5, 16):
                self.check(server, pool[-size:], expected)
            self.assertGreater(rounds_above(server.metrics(), 3), 0)
        with serve(HOUSE, "--workers", "2") as server:
            self.check(server, pool[::-1], expected)
            self.assertGreater(rounds_above(server.metrics(), 1), 0)


if __name__ == "__main__":
    unittest.main()
