"""API keys: who may ask, how much, and that no key is ever told."""

import hashlib
import json
import pathlib
import tempfile
import time
import unittest

from sluice_server import GENERATE, PROBLEM_TYPE, Server, run_sluice, tiny

TINY = tiny("two-taps")
SIZE = 48 * 80  # pixels of the model's default
CAT = {"prompt": "a cat", "seed": 1, "steps": 2, "guidance": 1}
COST = 2 * SIZE
FREE, THRIFTY, OTHER = "free-0123456789", "thrifty+0123/456789==", "other.key"
PROBES = ("/livez", "/readyz", "/healthz", "/metrics")


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


class ApiKeysTest(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.file = pathlib.Path(folder) / "keys"

    def start(self, *lines):
        self.file.write_text("# name digest rate burst\n" + "\n".join(lines) + "\n")
        return self.enterContext(Server(TINY, "--api-keys", str(self.file)))

    def check_refused(self, answer):
        self.assertEqual(answer.status, 401, answer.body)
        self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
        self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="sluice"')
        problem = answer.json()
        self.assertEqual(problem["type"], "/problems/unauthorized")
        del problem["instance"]
        return problem

    def test_who_may_ask(self):
        server = self.start(f"shop {digest(FREE)}", f"lab {digest(THRIFTY)} 1000000000")
        same = set()
        for headers in (
            {},
            bearer(""),
            bearer("wrong"),
            bearer(FREE + "x"),
            bearer(FREE[:-1]),
            bearer(digest(FREE)),
            {"Authorization": FREE},
            {"Authorization": f"Basic {FREE}"},
            {"X-Api-Key": FREE},
        ):
            with self.subTest(headers):
                same.add(json.dumps(self.check_refused(server.post(CAT, headers))))
        self.assertEqual(len(same), 1, "nothing tells a wrong key from none")
        pictures = {server.picture(CAT, bearer(key)) for key in (FREE, THRIFTY)}
        pictures.add(server.picture(CAT, {"Authorization": f"bearer  {FREE}"}))
        self.assertEqual(len(pictures), 1)
        metrics = server.metrics()
        refused = metrics("sluice_http_requests_total", route=GENERATE, status="401")
        self.assertEqual(refused, 9)

    def test_what_is_open_to_all(self):
        server = self.start(f"shop {digest(FREE)}")
        for port in (server.port, server.admin_port):
            for path in PROBES:
                self.assertEqual(server.get(path, port).status, 200)
        self.assertEqual(server.get("/nothing").status, 404)
        self.assertEqual(run_sluice("healthcheck", "--admin-port", server.admin_port).returncode, 0)

    def test_refused_before_the_body_is_read(self):
        server = self.start(f"shop {digest(FREE)}")
        connection = server.connect()
        connection.putrequest("POST", GENERATE)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "60000")
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 401)
        connection.close()

    def test_rate(self):
        """Two requests at once, then one in an hour: nothing is granted within a test."""
        rate = max(1, COST // 3600)
        server = self.start(
            f"lab {digest(THRIFTY)} {rate} {2 * COST}", f"shop {digest(FREE)}"
        )
        for _ in range(2):
            self.assertEqual(server.post(CAT, bearer(THRIFTY)).status, 200)
        for _ in range(3):
            answer = server.post(CAT, bearer(THRIFTY))
            self.assertEqual(answer.status, 429)
            problem = answer.json()
            self.assertEqual(problem["type"], "/problems/rate-limited")
            self.assertIn("lab", problem["detail"])
            seconds = int(answer.headers["Retry-After"])
            self.assertAlmostEqual(seconds, COST / rate, delta=COST / rate * 0.1)
            self.assertEqual(seconds, problem["retry_after"])
        self.assertEqual(server.post(CAT, bearer(FREE)).status, 200, "a bucket for each")
        self.assertEqual(server.post({"steps": 0}, bearer(THRIFTY)).status, 422)
        metrics = server.metrics()
        self.assertEqual(metrics("sluice_refusals_total", reason="rate"), 3)

    def test_waiting_as_told_is_granted(self):
        server = self.start(f"lab {digest(THRIFTY)} {2 * COST} {COST}")
        granted = 0
        for _ in range(20):
            answer = server.post(CAT, bearer(THRIFTY))
            granted += answer.status == 200
            if answer.status == 429:
                time.sleep(int(answer.headers["retry-after-ms"]) / 1000)
                self.assertEqual(server.post(CAT, bearer(THRIFTY)).status, 200)
                break
        self.assertGreater(granted, 0)

    def test_only_work_that_was_done_is_charged(self):
        """What the engine refuses costs nothing: it cannot be done in a millisecond."""
        server = self.start(f"lab {digest(THRIFTY)} 1 {COST}")
        for _ in range(5):
            hurried = {**CAT, "steps": 100, "deadline_ms": 1}
            self.assertIn(server.post(hurried, bearer(THRIFTY)).status, (422, 504))
        self.assertEqual(server.post(CAT, bearer(THRIFTY)).status, 200)
        self.assertEqual(server.post(CAT, bearer(THRIFTY)).status, 429)

    def test_log(self):
        server = self.start(f"shop {digest(FREE)} 1000000000")
        server.post(CAT, {**bearer(FREE), "X-Request-Id": "good"})
        server.post(CAT, {**bearer(OTHER), "X-Request-Id": "bad"})
        self.assertEqual(server.stop(), 0)
        entries = {entry["request_id"]: entry for entry in server.events("request")}
        self.assertEqual(entries["good"]["key"], "shop")
        self.assertNotIn("key", entries["bad"])
        self.assertEqual(entries["bad"]["problem"], "unauthorized")
        told = b"".join(server.lines) + server.errors().encode()
        for secret in (FREE, OTHER, digest(FREE), digest(OTHER)):
            self.assertNotIn(secret.encode(), told)

    def test_files_that_are_refused(self):
        good = f"shop {digest(FREE)}"
        for text, words in (
            ("", "no key"),
            ("shop\n", "line 1"),
            (f"{good}\nshop {digest(OTHER)}\n", "line 2"),
            (f"{good}\nlab {digest(FREE)}\n", "line 2"),
            (f"{good} fast\n", "rate"),
            (f"shop {FREE}\n", "64 hex digits"),
        ):
            with self.subTest(text):
                self.file.write_text(text)
                done = run_sluice(
                    *("serve", "--model", TINY, "--port", 0, "--admin-port", 0),
                    *("--api-keys", self.file),
                )
                self.assertEqual(done.returncode, 1)
                self.assertIn(words, done.stderr)
                self.assertIn(str(self.file), done.stderr)
                self.assertNotIn(FREE, done.stderr + done.stdout)
        done = run_sluice("serve", "--model", TINY, "--api-keys", f"{self.file}.missing")
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
