#!/usr/bin/env python3
"""The subcommands that do not serve, as a user calls them.

SLUICE_BINARY and SLUICE_SOURCE_DIR name the binary and the tree.
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = os.environ["SLUICE_BINARY"]
SOURCE = pathlib.Path(os.environ["SLUICE_SOURCE_DIR"])
HOUSE = SOURCE / "model" / "house"
TINY = SOURCE / "tests" / "golden" / "f32" / "model"


def run(*arguments, **environment):
    return subprocess.run(
        [BINARY, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


class Inspect(unittest.TestCase):
    def test_klein_of_four_billion_parameters(self):
        """Only headers are read: sparse files of 15 GiB take no time."""
        with tempfile.TemporaryDirectory() as folder:
            script = SOURCE / "tests" / "golden" / "klein_sparse.py"
            subprocess.run([sys.executable, script, folder], check=True, stdout=subprocess.DEVNULL)
            start = time.monotonic()
            result = run("inspect", folder, "--memory-limit", "64G")
            self.assertLess(time.monotonic() - start, 5)
            small = run("inspect", folder, "--memory-limit", "8G")
        self.assertEqual(small.returncode, 1, "a script sees that it does not fit")
        self.assertIn("does not fit", small.stdout)
        self.assertIn("--memory-limit", small.stderr)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("3,875,544,576", result.stdout)
        self.assertIn("memory plan", result.stdout)
        self.assertIn("distilled", result.stdout)

    def test_house(self):
        result = run("inspect", HOUSE)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"digest +[0-9a-f]{64}")
        self.assertIn("20 steps, guidance 3, 128x128", result.stdout)

    def test_no_model(self):
        result = run("inspect", HOUSE / "nothing")
        self.assertEqual(result.returncode, 1)
        self.assertIn("nothing/model_index.json", result.stderr)


class Generate(unittest.TestCase):
    def generate(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "out.png"
            result = run("generate", "--model", TINY, "--prompt", "a red apple", "-o", path, *arguments)
            left = sorted(entry.name for entry in pathlib.Path(folder).iterdir())
            return result, path.read_bytes() if path.exists() else None, left

    def test_a_picture(self):
        result, png, left = self.generate("--seed", 3, "--steps", 2, "--width", 48, "--height", 80)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(left, ["out.png"])
        self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">II", png[16:24]), (48, 80))
        self.assertIn("seed 3", result.stderr)
        self.assertNotIn("\r", result.stderr, "no progress bar where there is no terminal")

    def test_the_same_twice(self):
        self.assertEqual(self.generate("--seed", 3, "--steps", 2)[1], self.generate("--seed", 3, "--steps", 2)[1])

    def test_the_same_with_all_instruction_sets(self):
        expected = self.generate("--kernels", "scalar", "--seed", 3, "--steps", 2)[1]
        self.assertIsNotNone(expected)
        for kernels in ("avx2", "avx512"):
            with self.subTest(kernels):
                result, png, _ = self.generate("--kernels", kernels, "--seed", 3, "--steps", 2)
                if "has no such instructions" in result.stderr:
                    self.skipTest(f"SKIPPED: this processor has no {kernels}")
                self.assertEqual(png, expected)

    def test_what_is_refused(self):
        for arguments, words in [
            (("--seed", "-1"), "--seed"),
            (("--seed", "4294967296"), "--seed"),
            (("--steps", "0"), "--steps"),
            (("--width", "17"), "width"),
            (("--solver", "rk4"), "rk4"),
            (("--guidance", "0.5"), "guidance"),
        ]:
            result, png, left = self.generate(*arguments)
            self.assertNotEqual(result.returncode, 0, arguments)
            self.assertIn(words, result.stderr)
            self.assertIsNone(png)
            self.assertEqual(left, [])


class Bench(unittest.TestCase):
    """Numbers are looked at for being there and fitting together, never for being high."""

    def test_json(self):
        result = run("bench", "--model", TINY, "--seconds", 1, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        found = json.loads(result.stdout)
        self.assertRegex(found["model_digest"], r"^[0-9a-f]{64}$")
        self.assertGreater(found["peak_gflops"], 0)
        self.assertEqual(len(found["sizes"]), 4)
        usual = found["sizes"][1]
        batches = [row["batch"] for row in usual["rounds"]]
        self.assertEqual(batches, [1, 2, 4, 8, 16][: len(batches)])
        for work in (found["encode"], usual["decode"], *usual["rounds"]):
            self.assertGreaterEqual(work["runs"], 1)
            self.assertGreater(work["ms"], 0)
            self.assertGreater(len(work["layers"]), 3)
            counted = sum(layer["gflop"] for layer in work["layers"])
            self.assertAlmostEqual(work["gflop"], counted, delta=1e-5 * len(work["layers"]))
        one, many = usual["rounds"][0], usual["rounds"][-1]
        self.assertAlmostEqual(batches[-1] * one["gflop"], many["gflop"], delta=1e-4)
        self.assertEqual([row["evaluations"] for row in usual["pictures"]], [1, 4, 8, 20])
        names = {row["kernel"] for row in found["single_kernels"]}
        self.assertLessEqual({"product", "attention", "convolution", "norm_rms"}, names)

    def test_arithmetic_of_the_house_model(self):
        """One evaluation of 64 image and 32 text tokens, counted from its config; the text
        rows of the last block need not be computed."""
        result = run("bench", "--model", HOUSE, "--seconds", 1, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        d, mlp, text, image, context, channels = 256, 768, 32, 64, 576, 32
        both = text + image
        double = both * (4 * d * d + 3 * d * mlp) + 2 * both * both * d
        single = both * (3 * d * d + 2 * d * mlp + (d + mlp) * d) + 2 * both * both * d
        ends = text * context * d + 2 * image * channels * d
        time = d * d * (2 + 6 + 6 + 3 + 2)
        expected = 2 * (2 * double + 8 * single + ends + time) / 1e9
        last = 2 * text * (d * d + 2 * d * mlp + (d + mlp) * d + 2 * both * d) / 1e9
        found = json.loads(result.stdout)["sizes"][1]["rounds"][0]["gflop"]
        self.assertGreaterEqual(found, expected - last - 1e-5)
        self.assertLessEqual(found, expected + 1e-5)

    def test_two_threads(self):
        """They share the work: what is done stays the same."""
        counted = []
        for threads in (1, 2):
            result = run("bench", "--model", TINY, "--seconds", 1, "--threads", threads, "--json")
            self.assertEqual(result.returncode, 0, result.stderr)
            found = json.loads(result.stdout)
            self.assertEqual(found["threads"], threads)
            counted.append([row["gflop"] for row in found["sizes"][1]["decode"]["layers"]])
        self.assertEqual(*counted)

    def test_tables(self):
        result = run("bench", "--model", TINY, "--seconds", 1)
        self.assertEqual(result.returncode, 0, result.stderr)
        for words in ("GFLOP/s a core", "batch 16", "decode", "one evaluation", "norm_group"):
            self.assertIn(words, result.stdout)

    def test_no_model(self):
        result = run("bench", "--model", HOUSE / "nothing")
        self.assertEqual(result.returncode, 1)
        self.assertIn("nothing/model_index.json", result.stderr)


class Help(unittest.TestCase):
    def test_help_and_version(self):
        self.assertEqual(run("--help").returncode, 0)
        for command in ("serve", "generate", "inspect", "healthcheck", "bench"):
            result = run(command, "--help")
            self.assertEqual(result.returncode, 0, command)
            self.assertIn("--", result.stdout)
        self.assertRegex(run("--version").stdout, r"^sluice \d+\.\d+\.\d+\n$")

    def test_a_mistyped_option(self):
        result = run("serve", "--prot", "1")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("--port", result.stderr)


if __name__ == "__main__":
    unittest.main()
