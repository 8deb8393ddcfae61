"""Deadlines: steps are lowered to keep them, what cannot be kept is refused at once, and
what passes while it runs is ended.

Times come from the server's own prediction (fastest_ms), so that slow builds and busy
machines have deadlines that suit them.
"""

import signal
import time
import unittest

from sluice_server import (
    GENERATE,
    HOUSE,
    PROBLEM_TYPE,
    Answer,
    Server,
    tiny,
    wait_until,
)

CAT = {"prompt": "a cat", "seed": 7, "guidance": 1}
# On a tiny model one that takes a while, four evaluations a step.
SLOW_CAT = {**CAT, "width": 128, "height": 128, "guidance": 20, "solver": "heun"}
MOST_STEPS = 1000


def start(*options, model=tiny("two-taps"), warm=SLOW_CAT):
    server = Server(model, "--workers", "1", "--max-steps", str(MOST_STEPS), *options)
    for seed in range(2):  # rounds tell what they cost by now
        server.picture({**warm, "seed": seed, "steps": 3})
    return server


class DeadlinesTest(unittest.TestCase):
    def check_problem(self, answer, status, kind):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
        problem = answer.json()
        self.assertEqual(problem["type"], "/problems/" + kind)
        self.assertEqual(problem["field"], "deadline_ms")
        return problem

    def fastest(self, server, steps, fields=SLOW_CAT):
        """Milliseconds that the server predicts for so many steps, when it is idle."""
        for _ in range(50):
            answer = server.post({**fields, "steps": steps, "deadline_ms": 20})
            if answer.status != 504:  # 20 ms passed before it was looked at
                break
        problem = self.check_problem(answer, 422, "invalid-request")
        self.assertNotIn("Retry-After", answer.headers)
        self.assertNotIn("predicted_wait_ms", problem)
        return problem["fastest_ms"]

    def long_request(self, server, milliseconds):
        """One that is predicted to take about so long; and its prediction."""
        steps = int(MOST_STEPS * milliseconds / self.fastest(server, MOST_STEPS))
        steps = max(2, min(MOST_STEPS, steps))
        return {**SLOW_CAT, "steps": steps}, self.fastest(server, steps)

    def counts(self, server):
        metrics = server.metrics()
        return {
            "met": metrics("sluice_deadlines_total", outcome="met"),
            "missed": metrics("sluice_deadlines_total", outcome="missed"),
            "lowered": metrics("sluice_steps_lowered_total"),
            "impossible": metrics("sluice_refusals_total", reason="impossible"),
            "late": metrics("sluice_refusals_total", reason="deadline"),
            "refused": metrics("sluice_refusals_total"),
            "ended": metrics("sluice_canceled_total", reason="deadline"),
        }

    def test_steps_are_lowered(self):
        with start(model=HOUSE, warm=CAT) as server:
            half, most = (
                self.fastest(server, steps, CAT) for steps in (MOST_STEPS // 2, MOST_STEPS)
            )
            step, rest = (most - half) / (MOST_STEPS / 2), max(0, 2 * half - most)
            # Time for some steps, of three times as many that are asked for.
            deadline = int(min(max(1000, 2 * rest + 6 * step), most / 3))
            steps = min(MOST_STEPS, 3 + int(3 * deadline / step))
            wish = {**CAT, "steps": steps, "min_steps": 1, "deadline_ms": deadline}
            before, tries, done = self.counts(server), 0, []
            # Another program may slow the machine down for a moment.
            while not done and tries < 10:
                answer = server.post(wish)
                tries += 1
                done += [answer] if answer.status == 200 else []
            self.assertTrue(done, answer.body)
            steps = int(answer.headers["Sluice-Steps"])
            self.assertTrue(1 <= steps < wish["steps"], steps)
            self.assertEqual(int(answer.headers["Sluice-Evaluations"]), steps)
            plain = server.post({**CAT, "steps": steps})
            self.assertEqual(plain.body, answer.body, "the same as was asked for")
            after = self.counts(server)
            self.assertEqual(after["met"] - before["met"], 1)
            self.assertEqual(after["lowered"] - before["lowered"], 1)
            self.assertEqual(after["missed"] - before["missed"], tries - 1)

    def test_time_enough(self):
        with start() as server:
            plain = server.picture({**CAT, "steps": 4})
            answer = server.post(
                {**CAT, "steps": 4, "min_steps": 2, "deadline_ms": 600000}
            )
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Sluice-Steps"], "4")
            self.assertEqual(answer.body, plain)
            counts = self.counts(server)
            self.assertEqual((counts["met"], counts["lowered"]), (1, 0))

    def test_impossible(self):
        with start() as server:
            fastest = self.fastest(server, MOST_STEPS)
            self.assertGreater(fastest, 100)
            self.assertLess(self.fastest(server, MOST_STEPS // 4), fastest)
            # min_steps counts, not steps.
            fewer = {**SLOW_CAT, "min_steps": MOST_STEPS // 2}
            least = self.fastest(server, MOST_STEPS, fewer)
            self.assertTrue(0.3 * fastest < least < 0.7 * fastest, (least, fastest))
            self.assertEqual(self.counts(server)["impossible"], 3)
            self.assertEqual(self.counts(server)["refused"], 3)

    def test_late(self):
        """Alone it would be in time, but not behind a request that was promised more."""
        with start() as server:
            wish, milliseconds = self.long_request(server, 3000)
            running = server.send({**wish, "deadline_ms": int(1.9 * milliseconds)})
            server.wait_for_gauges(running=1, queued=0)
            answer = server.post({**wish, "deadline_ms": int(1.95 * milliseconds)})
            problem = self.check_problem(answer, 429, "overloaded")
            self.assertGreater(problem["predicted_wait_ms"], milliseconds / 4)
            self.assertGreater(problem["fastest_ms"], milliseconds / 3)
            seconds = int(answer.headers["Retry-After"])
            least = int(answer.headers["retry-after-ms"])
            self.assertGreaterEqual(seconds, 1)
            self.assertTrue(0 < least <= 1000 * seconds < least + 1000)
            self.assertEqual(problem["retry_after"], seconds)
            self.assertEqual(problem["retry_after_ms"], least)
            self.assertEqual(self.counts(server)["late"], 1)
            self.assertIn(Answer(running.getresponse()).status, (200, 504))
            running.close()

    def test_wait_limit(self):
        """--max-wait 0: nobody who would wait behind another is let in."""
        with start("--max-wait", "0") as server:
            wish, _ = self.long_request(server, 2000)
            running = server.send(wish)
            server.wait_for_gauges(running=1, queued=0)
            # As much work as the one that runs had: it is due later.
            answer = server.post(wish)
            self.assertEqual(answer.status, 429, answer.body)
            problem = answer.json()
            self.assertGreater(problem["predicted_wait_ms"], 0)
            self.assertGreater(int(answer.headers["retry-after-ms"]), 0)
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            metrics = server.metrics()
            self.assertEqual(metrics("sluice_refusals_total", reason="wait"), 1)
            self.assertGreater(metrics("sluice_predicted_wait_seconds"), 0)
            self.assertGreater(metrics("sluice_capacity_images_per_second"), 0)
            self.assertEqual(Answer(running.getresponse()).status, 200)
            running.close()

    def test_passes_while_it_runs(self):
        """The whole process is stopped until the deadline has passed."""
        with start() as server:
            wish, milliseconds = self.long_request(server, 1000)
            deadline = 2 * milliseconds
            running = server.send({**wish, "deadline_ms": deadline})
            until = time.monotonic() + deadline / 1000
            server.wait_for_gauges(running=1, queued=0)
            server.signal(signal.SIGSTOP)
            time.sleep(max(0.0, until - time.monotonic()))
            server.signal(signal.SIGCONT)
            answer = Answer(running.getresponse())
            running.close()
            problem = self.check_problem(answer, 504, "deadline-passed")
            self.assertIn(f"{deadline} ms", problem["detail"])
            counts = self.counts(server)
            self.assertEqual((counts["met"], counts["missed"]), (0, 1))
            self.assertEqual(counts["ended"], 1)
            server.wait_for_gauges(running=0, queued=0)
            self.assertEqual(server.metrics()("sluice_predicted_wait_seconds"), 0)
            self.assertEqual(server.post({**CAT, "steps": 1}).status, 200)
            wait_until(
                lambda: server.metrics()(
                    "sluice_http_requests_total", route=GENERATE, status="504"
                )
                == 1,
                "504 is counted",
            )


if __name__ == "__main__":
    unittest.main()
