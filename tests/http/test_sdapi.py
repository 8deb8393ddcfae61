"""Automatic1111's API, as its clients use it: Open WebUI's calls, in its order."""

import base64
import json
import unittest

from sluice_server import HOUSE, Picture, Server, in_parallel, tiny

TINY = tiny("two-taps")
TXT2IMG, PROGRESS = "/sdapi/v1/txt2img", "/sdapi/v1/progress"
CAT = {"prompt": "a cat", "seed": 7, "steps": 4, "width": 48, "height": 80}
# Hours of work: whatever ends it, it was not done.
ENDLESS = {"prompt": "a cat", "seed": 1, "steps": 1000, "guidance": 20, "solver": "heun"}
PATIENT = ("--max-steps", "1000", "--max-wait", "86400", "--workers", "1")


class SdapiTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(TINY))

    def post(self, fields, path=TXT2IMG, headers=None):
        connection = self.server.connect()
        try:
            connection.request(
                "POST",
                path,
                json.dumps(fields),
                {"Content-Type": "application/json", **(headers or {})},
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers
        finally:
            connection.close()

    def draw(self, fields):
        status, answer, _ = self.post(fields)
        self.assertEqual(status, 200, answer)
        pictures = [base64.b64decode(image, validate=True) for image in answer["images"]]
        return pictures, answer, json.loads(answer["info"])

    def test_open_webui(self):
        """backend/open_webui/routers/images.py: verify, models, set_image_model, generate."""
        headers = {"Authorization": ""}  # what it sends when it has none
        options = self.server.get("/sdapi/v1/options", headers=headers)
        self.assertEqual(options.status, 200)
        models = self.server.get("/sdapi/v1/sd-models", headers=headers).json()
        choices = [{"id": model["title"], "name": model["model_name"]} for model in models]
        self.assertEqual([choice["name"] for choice in choices], ["two-taps"])
        # It would POST to options if the model it chose were another.
        self.assertEqual(options.json()["sd_model_checkpoint"], choices[0]["id"])
        data = {"prompt": "a cat", "batch_size": 2, "width": 48, "height": 80}
        data |= {"steps": 4, "negative_prompt": "", "cfg_scale": 1.0}
        data |= {"sampler_name": "Euler", "scheduler": "Automatic"}
        status, answer, _ = self.post(data, headers=headers)
        self.assertEqual(status, 200, answer)
        info = json.loads(answer["info"])
        self.assertEqual(len(answer["images"]), 2)
        for image, seed in zip(answer["images"], info["all_seeds"], strict=True):
            expected = self.server.picture({"prompt": "a cat", "seed": seed, "steps": 4})
            self.assertEqual(base64.b64decode(image), expected)

    def test_fields_are_ours(self):
        pictures, answer, info = self.draw(
            {
                **CAT,
                "negative_prompt": "a dog",
                "cfg_scale": 3,
                "sampler_name": "DPM++ 2M",
                "width": 64,
                "height": 32,
            }
        )
        expected = self.server.picture(
            {
                **CAT,
                "negative_prompt": "a dog",
                "guidance": 3,
                "solver": "dpmpp_2m",
                "width": 64,
                "height": 32,
            }
        )
        self.assertEqual(pictures, [expected])
        self.assertEqual(answer["parameters"]["sampler_name"], "DPM++ 2M")
        self.assertEqual((info["seed"], info["all_seeds"]), (7, [7]))
        self.assertEqual(info["infotexts"], [Picture(expected).texts["parameters"]])

    def test_samplers(self):
        samplers = self.server.get("/sdapi/v1/samplers").json()
        for sampler in samplers:
            (solver,) = sampler["aliases"]
            expected = self.server.picture({**CAT, "solver": solver})
            for name in ("sampler_name", "sampler_index"):
                pictures, _, _ = self.draw({**CAT, name: sampler["name"]})
                self.assertEqual(pictures, [expected])

    def test_random_seed(self):
        seeds = set()
        for fields in ({"seed": -1}, {"seed": -1.0}, {"seed": None}, {}):
            pictures, _, info = self.draw({**{**CAT, **fields}, "seed": fields.get("seed")})
            seeds.add(info["seed"])
            self.assertEqual(self.server.picture({**CAT, "seed": info["seed"]}), pictures[0])
        self.assertEqual(len(seeds), 4)

    def test_batches(self):
        pictures, answer, info = self.draw({**CAT, "batch_size": 2, "n_iter": 3})
        self.assertEqual(info["all_seeds"], list(range(7, 13)))
        self.assertEqual((info["batch_size"], answer["parameters"]["batch_size"]), (6, 6))
        expected = in_parallel(self.server.picture, [{**CAT, "seed": s} for s in range(7, 13)])
        self.assertEqual(pictures, expected)

    def test_longest_prompts(self):
        """Each image's text has both prompts once more."""
        for character in ("🐈", "\x01"):
            prompts = {"prompt": character * 2000, "negative_prompt": character * 1999}
            fields = {**CAT, **prompts, "cfg_scale": 2, "steps": 1, "batch_size": 16}
            pictures, answer, info = self.draw(fields)
            self.assertEqual(len(pictures), 16)
            self.assertEqual(answer["parameters"]["prompt"], prompts["prompt"])
            self.assertEqual(info["all_prompts"], [prompts["prompt"]] * 16)
            self.assertTrue(all(prompts["negative_prompt"] in t for t in info["infotexts"]))

    def test_what_is_without_effect_is_ignored(self):
        extra = {"restore_faces": False, "override_settings": {}, "styles": [], "eta": None}
        extra |= {"enable_hr": False, "subseed": -1, "s_noise": 1.0, "send_images": True}
        pictures, _, _ = self.draw({**CAT, **extra, "negative_prompt": None, "sampler_name": ""})
        self.assertEqual(pictures, [self.server.picture(CAT)])

    def test_bad_fields_are_named_as_fastapi_does(self):
        cases = (
            ("steps", {"steps": 0}),
            ("steps", {"steps": "many"}),
            ("cfg_scale", {"cfg_scale": 0.5}),
            ("width", {"width": 50}),
            ("batch_size", {"batch_size": 17}),
            ("n_iter", {"batch_size": 4, "n_iter": 5}),
            ("sampler_name", {"sampler_name": "Euler a"}),
            ("sampler_index", {"sampler_index": "LMS"}),
            ("seed", {"seed": -2}),
            ("seed", {"seed": 4294967295, "batch_size": 2}),
            ("prompt", {"prompt": 5}),
            ("negative_prompt", {"negative_prompt": "a dog", "cfg_scale": 1}),
        )
        for field, fields in cases:
            with self.subTest(fields):
                status, answer, headers = self.post({**CAT, **fields})
                self.assertEqual(status, 422, answer)
                self.assertEqual(headers["Content-Type"], "application/json")
                (error,) = answer["detail"]
                self.assertEqual(error["loc"], ["body", field])
                self.assertEqual(set(error), {"loc", "msg", "type"})
                self.assertIn(field, error["msg"])

    def test_other_errors(self):
        connection = self.server.connect()
        connection.request("POST", TXT2IMG, "{", {"Content-Type": "application/json"})
        response = connection.getresponse()
        self.assertEqual(response.status, 400)
        self.assertEqual(
            set(json.loads(response.read())), {"error", "detail", "body", "errors"}
        )
        connection.close()
        for path, method, status in (
            (TXT2IMG, "GET", 405),
            ("/sdapi/v1/img2img", "POST", 404),
            ("/sdapi/v1/options", "POST", 405),
        ):
            answer = self.server.get(path, method=method)
            self.assertEqual(answer.status, status)
            self.assertIn("detail", answer.json())

    def test_overloaded(self):
        with Server(HOUSE, *PATIENT, "--max-batch", "1", "--queue", "0") as server:
            running = server.send(ENDLESS)
            server.wait_for_gauges(running=1, queued=0)
            connection = server.connect()
            connection.request(
                "POST", TXT2IMG, json.dumps({**CAT, "width": 128, "height": 128}),
                {"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            self.assertEqual(response.status, 429)
            self.assertGreaterEqual(int(response.headers["Retry-After"]), 1)
            self.assertIn("detail", json.loads(response.read()))
            connection.close()
            running.close()
            server.wait_for_gauges(running=0, queued=0)

    def test_progress(self):
        idle = self.server.get(PROGRESS).json()
        self.assertEqual((idle["progress"], idle["eta_relative"]), (0, 0))
        self.assertIsNone(idle["current_image"])
        with Server(HOUSE, *PATIENT, "--queue", "0", "--max-batch", "1") as server:
            running = server.send(ENDLESS)
            server.wait_for_gauges(running=1, queued=0)
            before = -1
            for _ in range(3):  # though the service is full
                progress = server.get(PROGRESS).json()
                self.assertTrue(before <= progress["progress"] < 1)
                self.assertGreater(progress["eta_relative"], 1)
                self.assertEqual(progress["state"]["sampling_steps"], 1000)
                self.assertEqual(progress["state"]["job_count"], 1)
                before = progress["progress"]
            running.close()
            server.wait_for_gauges(running=0, queued=0)
            self.assertEqual(server.get(PROGRESS).json()["progress"], 0)


if __name__ == "__main__":
    unittest.main()
