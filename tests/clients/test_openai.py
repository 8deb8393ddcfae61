"""The `openai` package against /v1/images/generations and /v1/models."""

import base64
import hashlib
import io
import tempfile
import unittest
import urllib.request

import client_packages

try:
    import openai
except ImportError:
    client_packages.enter()

from sluice_server import HOUSE, Picture, Server, tiny

TINY = tiny("two-taps")
CAT = {"prompt": "a cat", "extra_body": {"seed": 7}}
# Hours of work: whatever ends it, it was not done.
ENDLESS = {"prompt": "a cat", "seed": 1, "steps": 1000, "guidance": 20, "solver": "heun"}
PATIENT = ("--max-steps", "1000", "--max-wait", "86400", "--workers", "1")


def client_of(server, **options):
    options = {"api_key": "none", "max_retries": 0, **options}
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", **options)


def decode(text):
    return base64.b64decode(text, validate=True)


class OpenAITest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(TINY, "--public-url", "http://p.example"))
        cls.client = cls.enterClassContext(client_of(cls.server))

    def test_models(self):
        (model,) = self.client.models.list()
        self.assertEqual((model.id, model.object, model.owned_by), ("two-taps", "model", "sluice"))
        self.assertGreater(model.created, 1_600_000_000)

    def test_generate(self):
        answer = self.client.images.generate(model="two-taps", **CAT)
        self.assertEqual(answer.output_format, "png")
        self.assertEqual((answer.size, answer.background), ("48x80", "opaque"))
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.input_tokens + usage.output_tokens)
        self.assertEqual(usage.output_tokens, 48 * 80 // 256)
        (image,) = answer.data
        self.assertEqual(decode(image.b64_json), self.server.picture({"prompt": "a cat", "seed": 7}))
        self.assertEqual(image.seed, 7)

    def test_extras(self):
        answer = self.client.images.generate(
            prompt="a cat",
            n=3,
            size="64x32",
            quality="high",
            style="vivid",
            user="somebody",
            response_format="b64_json",
            extra_body={
                "seed": 7,
                "num_inference_steps": 5,
                "guidance_scale": 3,
                "negative_prompt": "a dog",
                "solver": "heun",
            },
        )
        fields = {"prompt": "a cat", "negative_prompt": "a dog", "steps": 5, "guidance": 3}
        fields |= {"width": 64, "height": 32, "solver": "heun"}
        for i, image in enumerate(answer.data):
            self.assertEqual(image.seed, 7 + i)
            expected = self.server.picture({**fields, "seed": 7 + i})
            self.assertEqual(decode(image.b64_json), expected)
        self.assertEqual(len(answer.data), 3)

    def test_seed_is_drawn_and_reported(self):
        first, second = (self.client.images.generate(prompt="a cat").data[0] for _ in "12")
        self.assertNotEqual(first.seed, second.seed)
        again = self.client.images.generate(prompt="a cat", extra_body={"seed": first.seed})
        self.assertEqual(again.data[0].b64_json, first.b64_json)

    def test_links(self):
        answer = self.client.images.generate(n=2, response_format="url", **CAT)
        for i, image in enumerate(answer.data):
            self.assertIsNone(image.b64_json)
            prefix = "http://p.example/v1/generate?"
            self.assertTrue(image.url.startswith(prefix), image.url)
            local = image.url.replace("http://p.example", f"http://127.0.0.1:{self.server.port}")
            with urllib.request.urlopen(local) as response:
                self.assertIn("immutable", response.headers["Cache-Control"])
                picture = response.read()
            self.assertEqual(picture, self.server.picture({"prompt": "a cat", "seed": 7 + i}))

    def test_stream(self):
        for asked in range(4):
            with self.subTest(partial_images=asked):
                stream = self.client.images.generate(
                    stream=True,
                    partial_images=asked,
                    prompt="a cat",
                    extra_body={"seed": 7, "steps": 8},
                )
                *partial, last = list(stream)
                self.assertEqual(
                    [event.type for event in partial],
                    ["image_generation.partial_image"] * asked,
                )
                indexes = [event.partial_image_index for event in partial]
                self.assertEqual(indexes, list(range(asked)))
                for event in partial:
                    picture = Picture(decode(event.b64_json))
                    self.assertEqual((picture.width, picture.height), (48, 80))
                self.assertEqual(last.type, "image_generation.completed")
                self.assertEqual((last.size, last.output_format), ("48x80", "png"))
                self.assertEqual(last.usage.input_tokens_details.image_tokens, 0)
                expected = self.server.picture({"prompt": "a cat", "seed": 7, "steps": 8})
                self.assertEqual(decode(last.b64_json), expected)

    def test_errors_name_the_parameter(self):
        cases = (
            ("n", {"n": 0}),
            ("n", {"n": 17}),
            ("size", {"size": "47x80"}),
            ("size", {"size": "large"}),
            ("size", {"size": "4096x4096"}),
            ("output_format", {"output_format": "webp"}),
            ("partial_images", {"partial_images": 1}),
            ("partial_images", {"partial_images": 4, "stream": True}),
            ("num_inference_steps", {"extra_body": {"num_inference_steps": 0}}),
            ("guidance_scale", {"extra_body": {"guidance_scale": 0.5}}),
            ("seed", {"extra_body": {"seed": -1}}),
            ("seed", {"n": 2, "extra_body": {"seed": 4294967295}}),
            ("steps", {"extra_body": {"num_inference_steps": 3, "steps": 3}}),
            ("min_steps", {"extra_body": {"min_steps": 3}}),
            ("colour", {"extra_body": {"colour": "red"}}),
            ("prompt", {"prompt": "a" * 2001}),
        )
        for param, options in cases:
            with self.subTest(options):
                with self.assertRaises(openai.BadRequestError) as raised:
                    self.client.images.generate(**{"prompt": "a cat", **options})
                error = raised.exception
                self.assertEqual((error.status_code, error.param), (400, param))
                self.assertEqual(error.type, "invalid_request_error")
                self.assertEqual(error.code, "invalid-request")
                self.assertIn(param, error.body["message"])
                self.assertTrue(error.request_id)

    def test_other_errors(self):
        with self.assertRaises(openai.NotFoundError) as raised:
            self.client.images.generate(model="dall-e-3", **CAT)
        error = raised.exception
        self.assertEqual((error.param, error.code), ("model", "model_not_found"))
        self.assertIn("two-taps", error.message)
        with self.assertRaises(openai.NotFoundError) as raised:
            self.client.images.edit(image=("cat.png", io.BytesIO(b"")), prompt="a cat")
        self.assertEqual(raised.exception.type, "invalid_request_error")
        with Server(TINY) as bare, client_of(bare) as client:
            with self.assertRaises(openai.BadRequestError) as raised:
                client.images.generate(response_format="url", **CAT)
            self.assertEqual(raised.exception.param, "response_format")

    def test_keys(self):
        key = "key-0123456789"
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(f"shop {hashlib.sha256(key.encode()).hexdigest()}\n")
            file.flush()
            with Server(TINY, "--api-keys", file.name) as server:
                with client_of(server, api_key=key) as client:
                    client.images.generate(**CAT)
                    self.assertEqual(len(client.models.list().data), 1)
                with client_of(server, api_key="wrong") as client:
                    with self.assertRaises(openai.AuthenticationError) as raised:
                        client.images.generate(**CAT)
                self.assertEqual(raised.exception.type, "authentication_error")


class LoadTest(unittest.TestCase):
    def start(self, *options):
        server = self.enterContext(Server(HOUSE, *PATIENT, "--max-batch", "1", *options))
        server.picture({"seed": 1, "steps": 1, "guidance": 1})
        return server

    def test_full_service(self):
        server = self.start("--queue", "0")
        running = server.send(ENDLESS)
        server.wait_for_gauges(running=1, queued=0)
        with client_of(server) as client, self.assertRaises(openai.RateLimitError) as raised:
            client.images.generate(**CAT)
        error = raised.exception
        self.assertEqual((error.type, error.code), ("rate_limit_error", "overloaded"))
        headers = error.response.headers
        self.assertGreaterEqual(int(headers["retry-after"]), 1)
        self.assertGreater(float(headers["retry-after-ms"]), 0)
        running.close()
        server.wait_for_gauges(running=0, queued=0)

    def test_error_in_the_stream(self):
        server = self.start()
        with client_of(server) as client:
            stream = client.images.generate(
                prompt="a cat", stream=True, extra_body={"steps": 1000, "solver": "heun"}
            )
            server.wait_for_gauges(running=1, queued=0)
            self.assertEqual(server.cancel(), 0)
            with self.assertRaises(openai.APIError) as raised:
                list(stream)
            self.assertEqual(raised.exception.code, "unavailable")

    def test_leaving_a_stream(self):
        server = self.start()
        with client_of(server) as client:
            stream = client.images.generate(
                prompt="a cat",
                stream=True,
                partial_images=3,
                extra_body={"steps": 400, "solver": "heun"},
            )
            self.assertEqual(next(stream).partial_image_index, 0)
            stream.close()
            server.wait_for_gauges(running=0, queued=0)
        metrics = server.metrics()
        self.assertEqual(metrics("sluice_canceled_total", reason="client"), 1)


if __name__ == "__main__":
    unittest.main()
