"""schemathesis: whatever api/openapi.yaml allows is served, and what it forbids refused.

The service serves a tiny model; what is allowed stands in schemathesis.toml. SLUICE_CASES
is the number of cases a route (30), SLUICE_CASES_SEED what they are drawn with.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import client_packages

try:
    import schemathesis  # noqa: F401
except ImportError:
    client_packages.enter()

from sluice_server import Server, tiny

HERE = pathlib.Path(__file__).resolve().parent
CASES = os.environ.get("SLUICE_CASES", "30")
SEED = os.environ.get("SLUICE_CASES_SEED", "1")


class OpenAPITest(unittest.TestCase):
    def judge(self, server, *options, config=HERE / "schemathesis.toml"):
        command = (
            [pathlib.Path(sys.executable).parent / "schemathesis"]
            + ["--config-file", config, "--no-color", "run"]
            + ["--phases", "examples,coverage,fuzzing", "--generation-database", "none"]
            + ["--no-shrink", "--continue-on-failure", "--max-examples", CASES, "--seed", SEED]
            + [f"http://127.0.0.1:{server.port}/openapi.json", *options]
        )
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        return done.returncode, done.stdout + done.stderr

    def test_service(self):
        with Server(tiny("two-taps")) as server:
            status, output = self.judge(server)
            self.assertEqual(status, 0, output[-6000:])
            self.assertIn("Tested: 18", output)
            self.assertEqual(server.get("/livez").status, 200)
            metrics = server.metrics()
            for status in ("500", "503"):
                self.assertEqual(metrics("sluice_http_requests_total", status=status), 0)
            self.assertGreater(metrics("sluice_images_total"), 20)

    def test_the_judge_sees(self):
        """What answers otherwise is found: here a limit that is lower than is described."""
        with Server(tiny("two-taps"), "--max-steps", "1") as server:
            strict = ("--include-operation-id", "generate", "--checks", "positive_data_acceptance")
            plain = HERE / "schemathesis.toml"
            self.assertEqual(self.judge(server, *strict)[0], 0, "422 is allowed")
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write(plain.read_text().replace("422, ", ""))
                file.flush()
                status, output = self.judge(server, *strict, config=file.name)
            self.assertEqual(status, 1, output[-6000:])
            self.assertIn("rejected", output)


if __name__ == "__main__":
    unittest.main()
