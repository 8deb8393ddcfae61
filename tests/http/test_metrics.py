"""The metrics' names and forms: Prometheus' text, OpenMetrics for who asks for it."""

import re
import time
import unittest

from sluice_server import Metrics, Server, parse_sample, tiny, wait_until

CAT = {"prompt": "a cat", "seed": 1, "steps": 3}
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
UNITS = ("_seconds", "_bytes", "_ratio", "_per_second", "_info")
# Numbers of things, which have no unit.
THINGS = {
    "sluice_queue_length",
    "sluice_running",
    "sluice_workers",
    "sluice_workers_busy",
    "sluice_batch_requests",
    "process_open_fds",
    "process_max_fds",
    "process_threads",
}
ENDINGS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
EXPECTED = {
    "sluice_queue_wait_seconds",
    "sluice_step_round_seconds",
    "sluice_batch_requests",
    "sluice_prediction_ratio",
    "sluice_refusals",
    "sluice_deadlines",
    "sluice_canceled",
    "sluice_wasted_evaluations",
    "sluice_phase_seconds",
    "sluice_predicted_wait_seconds",
    "sluice_capacity_images_per_second",
    "sluice_request_bytes",
    "sluice_request_limit_bytes",
    "sluice_model_reloads",
    "process_cpu_seconds",
    "process_resident_memory_bytes",
}


def families(text, total):
    """{family: type}; each sample belongs to the family above it. total: what the names
    of counters' families end in."""
    found, name, kind = {}, None, None
    for line in text.splitlines():
        if line == "# EOF":
            continue
        if line.startswith("# HELP "):
            name = re.fullmatch(r"# HELP (\w+) .+", line)[1]
        elif line.startswith("# TYPE "):
            kind = re.fullmatch(rf"# TYPE {name} (\w+)", line)[1]
            base = name
            if kind == "counter":
                assert name.endswith(total), name
                base = name.removesuffix("_total")
            assert base not in found, base
            found[base] = kind
        else:
            sample = parse_sample(line)[0]
            assert sample in [base + ending for ending in ENDINGS[kind]], sample
    return found


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(tiny("two-taps"), "--workers", "2"))
        cls.server.picture(CAT)

    def read(self, accept=None, port=None):
        headers = {} if accept is None else {"Accept": accept}
        answer = self.server.get("/metrics", port, headers=headers)
        self.assertEqual(answer.status, 200)
        return answer.headers["Content-Type"], answer.body.decode()

    def test_accept(self):
        rows = (
            (None, PLAIN),
            ("*/*", PLAIN),
            ("text/plain", PLAIN),
            ("application/openmetrics-text", OPENMETRICS),
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2", OPENMETRICS),
            ("application/openmetrics-text;q=0.1,text/plain;q=0.9", PLAIN),
            ("application/openmetrics-text;q=0,*/*", PLAIN),
            # Prometheus 2.5x and 3.
            (
                "application/openmetrics-text;version=1.0.0,"
                "application/openmetrics-text;version=0.0.1;q=0.75,"
                "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPENMETRICS,
            ),
        )
        for port in (self.server.port, self.server.admin_port):
            for accept, expected in rows:
                with self.subTest(accept):
                    kind, text = self.read(accept, port)
                    self.assertEqual(kind, expected)
                    self.assertEqual(text.endswith("\n# EOF\n"), kind == OPENMETRICS)
                    self.assertEqual(text.count("# EOF"), int(kind == OPENMETRICS))

    def test_names(self):
        plain = families(self.read()[1], "_total")
        openmetrics = families(self.read("application/openmetrics-text")[1], "")
        self.assertEqual(plain, openmetrics)
        self.assertLessEqual(EXPECTED, set(plain))
        for name, kind in plain.items():
            with self.subTest(name):
                self.assertRegex(name, r"^(sluice|process)_[a-z_]+$")
                self.assertFalse(name.endswith("_total"))
                if kind != "counter":
                    self.assertTrue(name.endswith(UNITS) or name in THINGS)

    def test_openmetrics_counters(self):
        """A counter's family has no _total, its samples have (OpenMetrics 1.0, 5.1)."""
        text = self.read("application/openmetrics-text")[1]
        self.assertNotRegex(text, r"# (TYPE|HELP) \w+_total ")
        self.assertRegex(text, r"# TYPE sluice_images counter\nsluice_images_total \d")
        self.assertRegex(self.read()[1], r"# TYPE sluice_images_total counter\n")

    def test_process(self):
        metrics = self.server.metrics()
        self.assertGreater(metrics("process_cpu_seconds_total"), 0)
        self.assertGreater(metrics("process_resident_memory_bytes"), 1 << 20)
        self.assertGreaterEqual(
            metrics("process_virtual_memory_bytes"),
            metrics("process_resident_memory_bytes"),
        )
        self.assertGreaterEqual(metrics("process_open_fds"), 5)
        self.assertGreater(metrics("process_max_fds"), metrics("process_open_fds"))
        self.assertGreaterEqual(metrics("process_threads"), 5)
        age = time.time() - metrics("process_start_time_seconds")
        self.assertTrue(-5 < age < 1000, age)

    def test_files_are_counted(self):
        before = self.server.metrics()("process_open_fds")
        connections = [self.server.connect() for _ in range(10)]
        for connection in connections:
            connection.connect()
        wait_until(
            lambda: self.server.metrics()("process_open_fds") >= before + 10,
            "ten more files",
        )
        for connection in connections:
            connection.close()
        wait_until(
            lambda: self.server.metrics()("process_open_fds") <= before + 1, "as before"
        )

    def test_a_picture_is_measured(self):
        before = self.server.metrics()
        self.server.picture({**CAT, "seed": 2})
        after = self.server.metrics()
        for name, labels, more in (
            ("sluice_images_total", {}, 1),
            ("sluice_evaluations_total", {}, 3),
            ("sluice_batch_requests_count", {}, 3),
            ("sluice_step_round_seconds_count", {"batch": "1"}, 3),
            ("sluice_round_seconds_count", {"work": "encode"}, 1),
            ("sluice_round_seconds_count", {"work": "decode"}, 1),
            ("sluice_queue_wait_seconds_count", {}, 1),
            ("sluice_request_seconds_count", {}, 1),
            ("sluice_prediction_ratio_count", {}, 1),
            ("sluice_phase_seconds_count", {}, 4),
            ("sluice_phase_seconds_count", {"phase": "queue"}, 1),
            ("sluice_deadlines_total", {}, 0),
            ("sluice_refusals_total", {}, 0),
            ("sluice_canceled_total", {}, 0),
            ("sluice_wasted_evaluations_total", {}, 0),
        ):
            with self.subTest(name, labels=labels):
                self.assertEqual(after(name, **labels) - before(name, **labels), more)
        for name in ("sluice_running", "sluice_queue_length", "sluice_predicted_wait_seconds"):
            self.assertEqual(after(name), 0)
        self.assertEqual(after("sluice_workers"), 2)
        self.assertGreater(after("sluice_capacity_images_per_second"), 0)

    def test_phases_add_up(self):
        with Server(tiny("two-taps"), "--workers", "1") as server:
            for seed in range(5):
                server.picture({**CAT, "seed": seed})
            text = server.get("/metrics", server.admin_port).body.decode()
            metrics = Metrics(text)
            whole = metrics("sluice_request_seconds_sum")
            parts = metrics("sluice_phase_seconds_sum")
            self.assertGreater(parts, 0.5 * whole)
            self.assertLessEqual(parts, whole * 1.001 + 1e-4)


if __name__ == "__main__":
    unittest.main()
