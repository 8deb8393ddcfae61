"""What an operator's tools ask: probes, metrics, and the healthcheck subcommand."""

import re
import socket
import unittest

from sluice_server import (
    GENERATE,
    PATIENCE,
    Server,
    parse_sample,
    run_sluice,
    tiny,
    wait_until,
)

TINY = tiny("two-taps")
CAT = {"prompt": "a cat", "seed": 1, "steps": 3}
PROBES = ("/livez", "/readyz", "/healthz")
SPARE_CONNECTIONS = 128  # of the service's port, beyond workers x batch + queue
KINDS = {"counter", "gauge", "histogram"}


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class OperatorTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(TINY))
        cls.ports = (cls.server.port, cls.server.admin_port)

    def test_probes(self):
        for port in self.ports:
            for path in (*PROBES, "/livez?verbose"):
                answer = self.server.get(path, port)
                self.assertEqual((answer.status, answer.body), (200, b"ok\n"))
                self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
                self.assertEqual(answer.headers["Cache-Control"], "no-store")

    def test_head(self):
        for port in self.ports:
            for path in (*PROBES, "/metrics"):
                answer = self.server.get(path, port, "HEAD")
                self.assertEqual((answer.status, answer.body), (200, b""))
                self.assertGreater(int(answer.headers["Content-Length"]), 0)

    def test_metrics_on_both_ports(self):
        for port in self.ports:
            answer = self.server.get("/metrics", port)
            self.assertEqual(answer.status, 200)
            self.assertIn("version=0.0.4", answer.headers["Content-Type"])

    def test_metrics_off_the_service(self):
        with Server(TINY, "--metrics-on-service=off") as server:
            for path in (*PROBES, "/metrics"):
                self.assertEqual(server.get(path).status, 404)
                self.assertEqual(server.get(path, server.admin_port).status, 200)
            self.assertEqual(server.post(CAT).status, 200)

    def families(self, text):
        """{family: (type, [sample])}, with one HELP, one TYPE and at least one line each."""
        families, name = {}, None
        self.assertTrue(text.endswith("\n"))
        lines = iter(text.splitlines())
        for line in lines:
            if line.startswith("# HELP "):
                name, words = re.fullmatch(r"# HELP (\w+) (.+)", line).groups()
                self.assertNotIn(name, families, "a family once")
                kind = re.fullmatch(rf"# TYPE {name} (\w+)", next(lines))[1]
                self.assertIn(kind, KINDS)
                self.assertTrue(words)
                families[name] = (kind, [])
                continue
            sample = parse_sample(line)
            kind, samples = families[name]
            endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            self.assertIn(sample[0], [name + ending for ending in endings])
            samples.append(sample)
        return families

    def check_histogram(self, name, samples):
        series = {}
        for sample, labels, value in samples:
            rest = tuple(sorted(p for p in labels.items() if p[0] != "le"))
            one = series.setdefault(rest, {"buckets": []})
            if sample.endswith("_bucket"):
                one["buckets"].append((float(labels["le"]), value))
            else:
                one[sample.removeprefix(name)] = value
        for labels, one in series.items():
            with self.subTest(name, labels=labels):
                bounds, counts = zip(*one["buckets"])
                self.assertEqual(list(bounds), sorted(set(bounds)))
                self.assertEqual(list(counts), sorted(counts), "cumulative")
                self.assertEqual(bounds[-1], float("inf"))
                self.assertEqual(counts[-1], one["_count"])
                self.assertEqual(one["_sum"] > 0, one["_count"] > 0)

    def test_metrics_text(self):
        for _ in range(5):
            self.server.picture(CAT)
        self.server.post({"steps": 0})
        self.server.get("/nothing")
        families = self.families(self.server.get("/metrics").body.decode())
        for name, (kind, samples) in families.items():
            self.assertTrue(samples, name)
            keys = [(sample, tuple(sorted(labels.items()))) for sample, labels, _ in samples]
            self.assertEqual(len(keys), len(set(keys)), "a sample once")
            self.assertEqual(kind == "counter", name.endswith("_total"), name)
            self.assertTrue(all(value >= 0 for _, _, value in samples))
            if kind == "histogram":
                self.check_histogram(name, samples)
        expected = {
            "sluice_build_info",
            "sluice_http_requests_total",
            "sluice_images_total",
            "sluice_evaluations_total",
            "sluice_joined_total",
            "sluice_queue_length",
            "sluice_running",
            "sluice_batch_requests",
            "sluice_round_seconds",
            "sluice_request_seconds",
        }
        self.assertLessEqual(expected, set(families))

    def test_counters_move(self):
        def counts():
            metrics = self.server.metrics()
            answers = "sluice_http_requests_total"
            return [
                metrics(answers, route=GENERATE, status="200"),
                metrics(answers, route=GENERATE, status="422"),
                metrics(answers, status="404"),
                metrics("sluice_images_total"),
                metrics("sluice_evaluations_total"),
                metrics("sluice_round_seconds_count", work="decode"),
            ]

        before = counts()
        self.server.picture(CAT)
        self.server.post({"steps": 0})
        self.server.get("/nothing")
        expected = [a + b for a, b in zip(before, (1, 1, 1, 1, 3, 1))]
        wait_until(lambda: counts() == expected, f"{expected}, found {counts()}")

    def test_contexts_are_cached(self):
        with Server(TINY) as server:
            before = server.metrics()("sluice_context_cache_bytes")
            server.picture({"prompt": "cached", "steps": 1})
            kept = server.metrics()("sluice_context_cache_bytes")
            server.picture({"prompt": "cached", "steps": 1})
            self.assertGreater(kept, before)
            self.assertEqual(server.metrics()("sluice_context_cache_bytes"), kept)
        with Server(TINY, "--context-cache", "20K") as server:
            for i in range(50):
                server.picture({"prompt": f"number {i}", "steps": 1})
                kept = server.metrics()("sluice_context_cache_bytes")
                self.assertLessEqual(kept, 20 * 1024)
            self.assertGreater(kept, 0)

    def test_operator_is_answered_when_the_service_is_full(self):
        with Server(TINY, "--workers", "1", "--max-batch", "1", "--queue", "0") as server:
            clients = []
            for _ in range(SPARE_CONNECTIONS + 30):
                client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                self.addCleanup(client.close)
                clients.append(client)
            for path in (*PROBES, "/metrics"):
                self.assertEqual(server.get(path, server.admin_port).status, 200)
            for client in clients:
                client.close()
            self.assertEqual(server.post(CAT).status, 200)

    def test_healthcheck(self):
        def check(*options):
            return run_sluice("healthcheck", *options)

        with Server(TINY, "--drain-delay", "60") as server:
            port = ("--admin-port", server.admin_port)
            self.assertEqual(check(*port).returncode, 0)
            self.assertEqual(check(*port, "--host", "localhost").returncode, 0)
            self.assertEqual(check(*port, "--host", "0.0.0.0").returncode, 0)
            server.signal()
            server.wait_for_event("draining")
            done = check(*port)
            self.assertEqual(done.returncode, 1)
            self.assertIn("503", done.stderr)
            server.signal()
            self.assertEqual(server.wait(), 0)
        done = check(*port)
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(port[1]), done.stderr)

    @unittest.skipUnless(has_ipv6(), "no IPv6 on this machine")
    def test_every_address(self):
        with Server(TINY, "--host", "::") as server:
            for port in (server.port, server.admin_port):
                for address in ("127.0.0.1", "::1"):
                    with socket.create_connection((address, port), PATIENCE) as client:
                        client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
                        self.assertIn(b" 200 ", client.recv(4096))

    @unittest.skipUnless(has_ipv6(), "no IPv6 on this machine")
    def test_healthcheck_of_every_address(self):
        """It asks on those of this machine that are among what the server listens on."""
        for listens, asked, status in (
            ("::", "::", 0),
            ("::", "0.0.0.0", 0),
            ("::1", "::", 0),
            ("127.0.0.1", "::", 0),
            ("::1", "0.0.0.0", 1),
        ):
            with self.subTest(listens, asked=asked), Server(TINY, "--host", listens) as server:
                port = ("--admin-port", server.admin_port)
                done = run_sluice("healthcheck", *port, "--host", asked)
                self.assertEqual(done.returncode, status, done.stderr)

    def test_healthcheck_of_a_server_that_is_silent(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            done = run_sluice("healthcheck", "--admin-port", silent.getsockname()[1])
        self.assertEqual(done.returncode, 1)

    def test_command_line_is_checked(self):
        for arguments in (
            ("serve", "--port", "70000"),
            ("serve", "--max-batch", "0"),
            ("serve", "--nothing"),
            ("serve", "--workers"),
            ("paint",),
            (),
        ):
            done = run_sluice(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertTrue(done.stderr)
        self.assertEqual(run_sluice("serve", "--help").returncode, 0)


if __name__ == "__main__":
    unittest.main()
