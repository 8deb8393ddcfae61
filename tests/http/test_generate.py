"""What a good request gets: a PNG, and headers that say how it was made."""

import re
import tempfile
import unittest
from pathlib import Path

from sluice_server import (
    HOUSE,
    SOLVERS,
    Picture,
    Server,
    in_parallel,
    run_sluice,
    tiny,
)

TINY = tiny("f32")  # 6 steps, guidance 2.5, 80 x 48
CAT = {"prompt": "a red cat", "seed": 7}


class GenerateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = cls.enterClassContext(Server(HOUSE))
        cls.tiny = cls.enterClassContext(Server(TINY))

    def test_headers(self):
        answer = self.house.post({**CAT, "steps": 2, "guidance": 1})
        picture = Picture(answer.body)
        self.assertEqual(answer.status, 200)
        self.assertEqual((picture.width, picture.height), (128, 128))
        self.assertEqual(picture.form, [8, 2, 0, 0, 0], "8-bit RGB, not interlaced")
        expected = {
            "Content-Type": r"image/png",
            "Content-Length": str(len(answer.body)),
            "Cache-Control": r"no-store",
            "Sluice-Seed": r"7",
            "Sluice-Steps": r"2",
            "Sluice-Evaluations": r"2",
            "Sluice-Model": r"house; digest=[0-9a-f]{64}",
            "Sluice-Prompt-Tokens": r"\d+/32",
            "Server-Timing": r"queue;dur=[\d.]+, encode;dur=[\d.]+, "
            r"steps;dur=[\d.]+, decode;dur=[\d.]+",
            "X-Request-Id": r"[0-9a-f]{32}",
        }
        for name, pattern in expected.items():
            with self.subTest(name):
                self.assertRegex(answer.headers.get(name, "absent"), f"^{pattern}$")
        used = int(answer.headers["Sluice-Prompt-Tokens"].split("/")[0])
        self.assertTrue(12 < used <= 32, "the template's 12 tokens and the prompt's")

    def test_body_is_taken_with_any_spelling_of_its_type(self):
        for kind in ("application/json; charset=utf-8", "Application/JSON"):
            answer = self.tiny.post(CAT, {"Content-Type": kind})
            self.assertEqual(answer.status, 200, kind)

    def test_accept(self):
        for accept in ("image/png", "*/*", "image/*;q=0.1, text/html", "text/html, */*"):
            answer = self.tiny.post(CAT, {"Accept": accept})
            self.assertEqual(answer.headers["Content-Type"], "image/png", accept)

    def test_chunked_body_and_kept_connection(self):
        expected = self.tiny.picture(CAT)
        connection = self.tiny.connect()
        pieces = [b'{"prompt": "a red', b' cat", ', b'"seed": 7}']
        for _ in range(3):
            connection.request(
                "POST",
                "/v1/generate",
                iter(pieces),
                {"Content-Type": "application/json"},
                encode_chunked=True,
            )
            self.assertEqual(connection.getresponse().read(), expected)
        connection.close()

    def test_defaults_of_the_model(self):
        answer = self.tiny.post({})
        picture = Picture(answer.body)
        self.assertEqual((picture.width, picture.height), (80, 48))
        self.assertEqual(answer.headers["Sluice-Steps"], "6")
        self.assertEqual(answer.headers["Sluice-Evaluations"], "12")
        self.assertIn("CFG scale: 2.5", picture.texts["parameters"])

    def test_parameters_text(self):
        answer = self.tiny.post(
            {**CAT, "negative_prompt": "a dog", "solver": "heun", "steps": 3}
        )
        digest = re.search(r"digest=(\w{10})", answer.headers["Sluice-Model"])[1]
        lines = Picture(answer.body).texts["parameters"].split("\n")
        self.assertEqual(lines[:2], ["a red cat", "Negative prompt: a dog"])
        self.assertRegex(
            lines[2],
            "^Steps: 3, Sampler: Heun, CFG scale: 2.5, Seed: 7, Size: 80x48, "
            rf"Model hash: {digest}, Model: f32, Version: sluice [\d.]+$",
        )

    def test_parameters_text_of_other_scripts(self):
        prompt = "żółty kot, 黄色い猫 🐈\nsecond line"
        texts = Picture(self.tiny.picture({"prompt": prompt})).texts
        self.assertTrue(texts["parameters"].startswith(prompt + "\n"), texts)

    def test_seed_is_drawn_and_reported(self):
        first, second = self.tiny.post({}), self.tiny.post({})
        seeds = [int(answer.headers["Sluice-Seed"]) for answer in (first, second)]
        self.assertNotEqual(*seeds)
        self.assertNotEqual(Picture(first.body).rows, Picture(second.body).rows)
        self.assertEqual(self.tiny.picture({"seed": seeds[0]}), first.body)

    def test_seed_at_its_end(self):
        answer = self.tiny.post({"seed": 4294967295})
        self.assertEqual(answer.headers["Sluice-Seed"], "4294967295")
        self.assertNotEqual(answer.body, self.tiny.picture({"seed": 0}))

    def test_evaluations_of_solvers_and_guidance(self):
        evaluations = {"euler": 4, "midpoint": 8, "heun": 7, "ab2": 4, "dpmpp_2m": 4}
        self.assertEqual(set(evaluations), set(SOLVERS))
        rows = set()
        for server in (self.tiny, self.house):
            for solver, expected in evaluations.items():
                for guidance in (1, 3):
                    with self.subTest(solver=solver, guidance=guidance):
                        answer = server.post(
                            {**CAT, "steps": 4, "solver": solver, "guidance": guidance}
                        )
                        self.assertEqual(answer.status, 200, answer.body)
                        self.assertEqual(answer.headers["Sluice-Steps"], "4")
                        self.assertEqual(
                            int(answer.headers["Sluice-Evaluations"]),
                            expected * (2 if guidance > 1 else 1),
                        )
                        rows.add(Picture(answer.body).rows)
        self.assertEqual(len(rows), 20, "each makes another picture")

    def test_negative_prompt_matters(self):
        plain = self.tiny.picture({**CAT, "guidance": 3})
        empty = self.tiny.picture({**CAT, "guidance": 3, "negative_prompt": ""})
        other = self.tiny.picture({**CAT, "guidance": 3, "negative_prompt": "a dog"})
        self.assertEqual(plain, empty)
        self.assertNotEqual(Picture(plain).rows, Picture(other).rows)

    def test_prompt_matters(self):
        prompts = ("", "a red cat", "a blue cat", "\U0001f408", "a" * 2000)
        requests = [{"prompt": prompt, "seed": 1, "steps": 2} for prompt in prompts]
        pictures = [Picture(data) for data in in_parallel(self.house.picture, requests)]
        self.assertEqual(len({picture.rows for picture in pictures}), len(prompts))

    def test_sizes(self):
        sizes = ((16, 16), (16, 512), (176, 48), (256, 256), (512, 128))
        for width, height in sizes:
            picture = Picture(
                self.house.picture({**CAT, "steps": 1, "width": width, "height": height})
            )
            self.assertEqual((picture.width, picture.height), (width, height))

    def test_cut_prompt_is_reported(self):
        words = " ".join(["strawberry"] * 60)
        answer = self.house.post({"prompt": words, "steps": 1})
        found = re.fullmatch(r"32/32; cut=(\d+)", answer.headers["Sluice-Prompt-Tokens"])
        self.assertTrue(found, answer.headers["Sluice-Prompt-Tokens"])
        self.assertGreater(int(found[1]), 60)

    def test_no_png_text(self):
        with Server(TINY, "--no-png-text") as server:
            bare = Picture(server.picture(CAT))
        self.assertEqual(bare.texts, {})
        self.assertEqual(bare.rows, Picture(self.tiny.picture(CAT)).rows)

    def test_distilled_model(self):
        with Server(tiny("f16-distilled")) as server:  # patches of 8 pixels
            answer = server.post(CAT)
            picture = Picture(answer.body)
            self.assertEqual((picture.width, picture.height), (40, 24))
            self.assertEqual(answer.headers["Sluice-Evaluations"], "4")
            for field in ({"guidance": 2}, {"negative_prompt": "a dog"}):
                refused = server.post({**CAT, **field})
                self.assertEqual(refused.status, 422)
                self.assertEqual(refused.json()["field"], *field)

    def test_command_line_makes_the_same_file(self):
        cases = (
            (HOUSE, {**CAT, "steps": 3}, ()),
            (HOUSE, {**CAT, "steps": 2, "width": 64, "height": 144, "guidance": 1}, ()),
            (TINY, {"prompt": "", "seed": 4294967295}, ()),
            (TINY, {**CAT, "solver": "dpmpp_2m", "negative_prompt": "a dog"}, ()),
            (tiny("f16-distilled"), CAT, ("--no-png-text",)),
        )
        for model, fields, switches in cases:
            with self.subTest(fields, model=model.parent.name):
                self.compare_with_command_line(model, fields, switches)

    def compare_with_command_line(self, model, fields, switches):
        options = [
            f"--{name.replace('_', '-')}={value}" for name, value in fields.items()
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "out.png")
            done = run_sluice("generate", "--model", model, *options, *switches, "-o", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            with Server(model, *switches) as server:
                self.assertEqual(server.picture(fields), path.read_bytes())


if __name__ == "__main__":
    unittest.main()
