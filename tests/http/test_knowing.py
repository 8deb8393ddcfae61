"""What can be known before and after: /v1/model, /v1/estimate, /v1/verify; and who may ask
from a browser: CORS and the page's headers."""

import base64
import hashlib
import json
import re
import struct
import unittest
import zlib
from pathlib import Path

from sluice_server import (
    GENERATE,
    HOUSE,
    PROBLEM_TYPE,
    SOURCE,
    Answer,
    Picture,
    Server,
    tiny,
    wait_until,
)

TINY = tiny("two-taps")
CAT = {"prompt": "a cat", "seed": 7}
# Hours of work: whatever ends it, it was not done.
ENDLESS = {"prompt": "a cat", "seed": 1, "steps": 1000, "guidance": 20, "solver": "heun"}
PATIENT = ("--max-steps", "1000", "--max-wait", "86400", "--workers", "1")
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def post(server, path, body, kind="application/json", headers=None):
    connection = server.connect()
    try:
        connection.request("POST", path, body, {"Content-Type": kind, **(headers or {})})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def estimate(server, fields):
    return post(server, "/v1/estimate", json.dumps(fields))


def verify(server, picture):
    return post(server, "/v1/verify", picture, "image/png")


def chunk(kind, content):
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(
        ">I", zlib.crc32(kind + content)
    )


def png(width, height, rows=b"", texts=()):
    """An RGB file with these rows, or with black ones."""
    rows = rows or (b"\0" * (1 + 3 * width)) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [chunk(b"tEXt", f"{key}\0{value}".encode("latin-1")) for key, value in texts]
    return b"".join(
        (SIGNATURE, chunk(b"IHDR", head), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


class ModelTest(unittest.TestCase):
    def test_model(self):
        with Server(TINY, "--max-steps", "50") as server:
            model = server.get("/v1/model").json()
            self.assertEqual(model["name"], "two-taps")
            answer = server.post(CAT)
            self.assertEqual(f"two-taps; digest={model['digest']}", answer.headers["Sluice-Model"])
            limits, defaults = model["limits"], model["defaults"]
            self.assertEqual((defaults["width"], defaults["height"], defaults["steps"]), (48, 80, 3))
            self.assertEqual(answer.headers["Sluice-Steps"], str(defaults["steps"]))
            self.assertEqual(limits["steps"]["maximum"], 50)
            for field in ("steps", "width", "seed", "guidance", "n"):
                low, high = limits[field]["minimum"], limits[field]["maximum"]
                for value in (low - 1, high + 1):
                    refused = server.post({**CAT, field: value})
                    self.assertEqual((refused.status, refused.json()["field"]), (422, field))
            for solver in model["solvers"]:
                drawn = server.post({**CAT, "solver": solver["name"]})
                self.assertEqual(drawn.headers["Sluice-Evaluations"], str(solver["evaluations"]))
            self.assertIsNone(model["curve"])
        with Server(tiny("f16-distilled")) as server:
            self.assertIs(server.get("/v1/model").json()["is_distilled"], True)


    def test_lowered_defaults(self):
        """An operator's limits below the model's defaults lower these."""
        with Server(HOUSE, "--max-steps", "2", "--max-pixels", "5000") as server:
            defaults = server.get("/v1/model").json()["defaults"]
            self.assertEqual(defaults["steps"], 2)
            self.assertEqual((defaults["width"], defaults["height"]), (64, 64))
            answer = server.post({"prompt": "a cat", "seed": 7})
            self.assertEqual(answer.status, 200, answer.body)
            self.assertEqual(answer.headers["Sluice-Steps"], "2")
            self.assertEqual(server.post({"prompt": "a cat", "steps": 3}).status, 422)

    def test_curves(self):
        """What is said of the house models was measured on the weights that are served."""
        for folder, evaluations in ((HOUSE, 2), (Path(f"{HOUSE}-rectified"), 1)):
            with self.subTest(folder.name), Server(folder) as server:
                curve = server.get("/v1/model").json()["curve"]
                for name, digest in curve["weights"].items():
                    weights = (Path(folder) / name).read_bytes()
                    self.assertEqual(hashlib.sha256(weights).hexdigest(), digest, name)
                steps = {row["steps"]: row for row in curve["rows"]}
                drawn = server.post({**CAT, "steps": 4})
                self.assertEqual(steps[4]["evaluations"], 4 * evaluations)
                self.assertEqual(drawn.headers["Sluice-Evaluations"], str(4 * evaluations))


class EstimateTest(unittest.TestCase):
    def test_estimate(self):
        with Server(HOUSE) as server:
            server.picture({**CAT, "steps": 4})
            before = server.metrics()
            answers = [estimate(server, {"steps": steps}).json() for steps in (1, 10, 100)]
            for answer, steps in zip(answers, (1, 10, 100)):
                self.assertIs(answer["admitted"], True)
                self.assertEqual(answer["steps"], steps)
                self.assertGreater(answer["run_ms"], 0)
                self.assertAlmostEqual(answer["total_ms"], answer["queue_ms"] + answer["run_ms"], 1)
            times = [answer["run_ms"] for answer in answers]
            self.assertEqual(times, sorted(times))
            lowered = estimate(
                server, {"steps": 100, "min_steps": 1, "deadline_ms": int(times[2] * 0.7)}
            ).json()
            self.assertTrue(lowered["admitted"] and 1 <= lowered["steps"] < 100, lowered)
            several = estimate(server, {"steps": 100, "n": 8}).json()
            self.assertEqual(several["evaluations"], 8 * answers[2]["evaluations"])
            self.assertGreater(several["run_ms"], 1.5 * times[2])
            # The times above were this machine's until it draws again.
            drawn = server.post({**CAT, "steps": 10, "solver": "heun", "guidance": 2})
            heun = estimate(server, {"steps": 10, "solver": "heun", "guidance": 2}).json()
            self.assertEqual(drawn.headers["Sluice-Evaluations"], str(heun["evaluations"]))
            hopeless = estimate(server, {"steps": 100, "deadline_ms": 1}).json()
            self.assertIs(hopeless["admitted"], False)
            self.assertNotIn("retry_after", hopeless, "it would never fit")
            after = server.metrics()
            images = [m("sluice_images_total") for m in (before, after)]
            self.assertEqual(images[1] - images[0], 1, "that of the POST")
            for name in ("sluice_refusals_total", "sluice_canceled_total"):
                self.assertEqual(after(name), 0, "nobody was refused")
            logged = [e for e in server.events("request") if e["route"] == "/v1/estimate"]
            self.assertGreater(len(logged), 4)
            self.assertFalse([e for e in logged if "outcome" in e or "problem" in e])

    def test_full_service(self):
        with Server(HOUSE, *PATIENT, "--max-batch", "1", "--queue", "0") as server:
            running = server.send(ENDLESS)
            server.wait_for_gauges(running=1, queued=0)
            answer = estimate(server, CAT)
            self.assertEqual(answer.status, 200)
            self.assertIs(answer.json()["admitted"], False)
            self.assertGreaterEqual(answer.json()["retry_after"], 1)
            self.assertEqual(server.post(CAT).status, 429)
            running.close()
            server.wait_for_gauges(running=0, queued=0)
            self.assertIs(estimate(server, CAT).json()["admitted"], True)

    def test_refusals_are_those_of_generate(self):
        with Server(TINY) as server:
            for fields in ({"steps": 0}, {"colour": "red"}, {"min_steps": 2}, {"width": 17}):
                expected, answer = server.post(fields), estimate(server, fields)
                self.assertEqual(answer.status, expected.status)
                self.assertEqual(answer.json()["field"], expected.json()["field"])


class VerifyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(TINY))
        cls.picture = cls.server.picture(CAT)

    def check(self, picture, identical, pixels):
        answer = verify(self.server, picture)
        self.assertEqual(answer.status, 200, answer.body)
        result = answer.json()
        self.assertEqual((result["identical"], result["pixels_identical"]), (identical, pixels))
        return result

    def test_identical(self):
        for fields in (
            CAT,
            {**CAT, "steps": 7, "solver": "dpmpp_2m", "guidance": 2.5, "negative_prompt": "a dog"},
            {**CAT, "width": 64, "height": 32, "prompt": "żółty kot,\nSteps: 3, 黄色い猫"},
            {"seed": 4294967295},
        ):
            result = self.check(self.server.picture(fields), True, True)
            for name, value in fields.items():
                self.assertEqual(result["parameters"][name], value)
            self.assertEqual(result["made_by"]["model_hash"], result["verified_by"]["model_hash"])

    def chunks(self, picture):
        at = len(SIGNATURE)
        while at < len(picture):
            (length,) = struct.unpack_from(">I", picture, at)
            yield picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
            at += 12 + length

    def rebuild(self, change):
        """The picture with the contents of its chunks changed."""
        return SIGNATURE + b"".join(
            chunk(kind, change.get(kind, lambda c: c)(content))
            for kind, content in self.chunks(self.picture)
        )

    def test_packed_again(self):
        again = self.rebuild({b"IDAT": lambda c: zlib.compress(zlib.decompress(c), 1)})
        self.assertNotEqual(again, self.picture)
        self.check(again, False, True)

    def test_different(self):
        def darken(content):
            rows = bytearray(zlib.decompress(content))
            rows[-1] ^= 1
            return zlib.compress(bytes(rows))

        self.check(self.rebuild({b"IDAT": darken}), False, False)
        other = self.rebuild({b"tEXt": lambda c: c.replace(b"Seed: 7", b"Seed: 8")})
        result = self.check(other, False, False)
        self.assertEqual(result["parameters"]["seed"], 8)

    def test_other_sides(self):
        """A piece of a picture, with the text of the whole."""
        text = Picture(self.picture).texts["parameters"]
        for width, height in ((16, 16), (128, 128)):
            self.check(png(width, height, texts=[("parameters", text)]), False, False)

    def test_not_ours(self):
        other = Server(tiny("f32"))
        with other:
            stranger = other.picture(CAT)
        with Server(TINY, "--no-png-text") as bare:
            silent = bare.picture(CAT)
        before = self.server.metrics()("sluice_evaluations_total")
        cases = (
            (png(48, 80), "no text"),
            (silent, "no text"),
            (png(48, 80, texts=[("parameters", "a cat")]), "of something else"),
            (png(48, 80, texts=[("parameters", "a cat\nSteps: 20, Sampler: Euler a")]), "theirs"),
            (stranger, "another model's"),
            (b"", "nothing"),
            (b"GIF89a", "no PNG"),
            (self.picture[:-30], "cut"),
            (self.picture[: len(self.picture) // 2], "cut in its pixels"),
            (png(129, 128, texts=[("parameters", "x")]), "too many pixels"),
            (png(60000, 60000, b"\0"), "a bomb"),
        )
        for picture, what in cases:
            with self.subTest(what):
                answer = verify(self.server, picture)
                self.assertIn(answer.status, (404, 422), answer.body)
                self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
        self.assertEqual(self.server.metrics()("sluice_evaluations_total"), before)

    def test_too_large(self):
        large = self.picture + b"\0" * (4 << 20)
        connection = self.server.connect()  # refused by its length, before it is sent
        connection.putrequest("POST", "/v1/verify")
        connection.putheader("Content-Type", "image/png")
        connection.putheader("Content-Length", str(len(large)))
        connection.endheaders()
        answer = Answer(connection.getresponse())
        connection.close()
        self.assertEqual(answer.status, 413)
        self.assertIn(str(4 << 20), answer.json()["detail"])
        self.assertEqual(verify(self.server, iter([large])).status, 413, "in chunks")
        padded = self.picture + b"\0" * ((4 << 20) - len(self.picture))
        self.check(padded, False, True)

    def test_all_files_together(self):
        """16 times the largest are held; the one that is beyond is refused, whichever it is."""
        largest = self.picture + b"\0" * ((4 << 20) - len(self.picture))
        before = self.server.metrics()("sluice_refusals_total", reason="memory")
        uploads = [self.server.connect() for _ in range(17)]
        for upload in uploads:
            upload.putrequest("POST", "/v1/verify")
            upload.putheader("Content-Type", "image/png")
            upload.putheader("Content-Length", str(len(largest)))
            upload.endheaders()
        # In turn, so that none is idle for long, however slow the server is.
        pieces = [largest[at : at + (1 << 16)] for at in range(0, len(largest), 1 << 16)]
        for piece in (*pieces[:-1], pieces[-1][:-1]):
            for upload in uploads:
                upload.send(piece)
        wait_until(
            lambda: self.server.metrics()("sluice_refusals_total", reason="memory") > before,
            "one of them is refused",
        )
        self.assertEqual(self.server.post(CAT).body, self.picture, "others are served")
        for upload in uploads:
            upload.send(largest[-1:])
        answers = sorted((Answer(u.getresponse()) for u in uploads), key=lambda a: a.status)
        self.assertEqual([answer.status for answer in answers], [200] * 16 + [429])
        self.assertEqual(answers[-1].headers["Retry-After"], "1")
        self.assertIn(str(64 << 20), answers[-1].json()["detail"])
        for upload in uploads:
            upload.close()
        self.assertEqual(verify(self.server, largest).status, 200, "they are given back")

    def test_type(self):
        for kind in ("application/json", "image/jpeg", "application/x-www-form-urlencoded"):
            answer = post(self.server, "/v1/verify", self.picture, kind)
            self.assertEqual(answer.status, 415)


class CorsTest(unittest.TestCase):
    ASK = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST",
           "Access-Control-Request-Headers": "content-type"}

    def test_off(self):
        with Server(TINY) as server:
            answer = server.post(CAT, {"Origin": "https://a.example"})
            self.assertNotIn("Access-Control-Allow-Origin", answer.headers)
            answer = server.get(GENERATE, method="OPTIONS", headers=self.ASK)
            self.assertEqual(answer.status, 405)
            self.assertNotIn("Access-Control-Allow-Origin", answer.headers)

    def test_on(self):
        for origin in ("https://a.example", "*"):
            with Server(TINY, "--cors-origin", origin) as server:
                connection = server.connect()
                for _ in range(2):
                    connection.request("OPTIONS", GENERATE, headers=self.ASK)
                    answer = Answer(connection.getresponse())
                    self.assertEqual((answer.status, answer.body), (204, b""))
                    self.assertNotIn("Connection", answer.headers)
                    self.assertEqual(answer.headers["Access-Control-Allow-Origin"], origin)
                    self.assertIn("POST", answer.headers["Access-Control-Allow-Methods"])
                    self.assertIn("Content-Type", answer.headers["Access-Control-Allow-Headers"])
                    self.assertIn("Authorization", answer.headers["Access-Control-Allow-Headers"])
                connection.close()
                for answer in (server.post(CAT), server.post({"steps": 0}), server.get("/v1/model")):
                    self.assertEqual(answer.headers["Access-Control-Allow-Origin"], origin)
                    self.assertIn("Sluice-Seed", answer.headers["Access-Control-Expose-Headers"])
                    self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)
                operator = server.get("/metrics", server.admin_port)
                self.assertNotIn("Access-Control-Allow-Origin", operator.headers)
                plain = server.get(GENERATE, method="OPTIONS")  # no preflight
                self.assertEqual(plain.status, 405)

    def test_headers_that_pages_ask_for(self):
        """OpenAI's client tells its platform in headers of its own."""
        asked = "authorization,content-type,x-stainless-lang, x-stainless-os"

        def count(server, status):
            return server.metrics()("sluice_http_requests_total", status=status)

        for allowed, origin, echoed in (
            ("https://a.example", "https://a.example", True),
            ("*", "https://a.example", True),
            ("https://b.example", "https://a.example", False),
        ):
            with Server(TINY, "--cors-origin", allowed) as server:
                ask = {**self.ASK, "Origin": origin}
                ask["Access-Control-Request-Headers"] = asked + ', b"d, two words'
                answer = server.get(GENERATE, method="OPTIONS", headers=ask)
                self.assertEqual(answer.status, 204)
                names = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
                for name in ("x-stainless-lang", "x-stainless-os"):
                    self.assertEqual(name in names, echoed, names)
                self.assertIn("authorization", names)
                self.assertFalse([name for name in names if '"' in name or " " in name])
                ask["Access-Control-Request-Headers"] = ",".join(["x-much"] * 2000)
                answer = server.get(GENERATE, method="OPTIONS", headers=ask)
                self.assertLess(len(answer.headers["Access-Control-Allow-Headers"]), 2100)
                wait_until(lambda server=server: count(server, "204") == 2, "both are counted")
                self.assertEqual(count(server, "0"), 0)


class PageTest(unittest.TestCase):
    def test_headers(self):
        with Server(TINY) as server:
            answer = server.get("/")
            self.assertEqual(answer.body, (SOURCE / "api" / "page.html").read_bytes())
            self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(answer.headers["X-Frame-Options"], "DENY")
            self.assertEqual(answer.headers["Referrer-Policy"], "no-referrer")
            policy = dict(
                part.strip().partition(" ")[::2]
                for part in answer.headers["Content-Security-Policy"].split(";")
            )
            self.assertEqual(policy["default-src"], "'none'")
            for element in ("script", "style"):
                (content,) = re.findall(
                    rf"<{element}>(.*?)</{element}>".encode(), answer.body, re.S
                )
                digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
                self.assertEqual(policy[f"{element}-src"], f"'sha256-{digest}'")
            self.assertNotIn("unsafe", answer.headers["Content-Security-Policy"])
            self.assertNotRegex(answer.body, rb"(src|href)=.?https?://", "nothing of elsewhere")
            head = server.get("/", method="HEAD")
            self.assertEqual(head.headers["Content-Length"], str(len(answer.body)))

    def test_description(self):
        with Server(TINY) as server:
            for kind in ("json", "yaml"):
                answer = server.get(f"/openapi.{kind}")
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.headers["Content-Type"], f"application/{kind}")
                self.assertEqual(answer.body, (SOURCE / "api" / f"openapi.{kind}").read_bytes())


class DialectTest(unittest.TestCase):
    """One mistake, told in three forms."""

    CASES = (
        ("/v1/generate", {"steps": 0}, "steps"),
        ("/v1/images/generations", {"prompt": "a cat", "steps": 0}, "steps"),
        ("/sdapi/v1/txt2img", {"steps": 0}, "steps"),
    )

    def test_bad_field(self):
        with Server(TINY) as server:
            own, openai, sdapi = (
                post(server, path, json.dumps(fields)) for path, fields, _ in self.CASES
            )
        self.assertEqual((own.status, openai.status, sdapi.status), (422, 400, 422))
        self.assertEqual(own.headers["Content-Type"], PROBLEM_TYPE)
        self.assertEqual(own.json()["field"], "steps")
        self.assertEqual(set(openai.json()), {"error"})
        error = openai.json()["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertEqual((error["type"], error["param"]), ("invalid_request_error", "steps"))
        self.assertEqual(sdapi.json()["detail"][0]["loc"], ["body", "steps"])

    def test_malformed(self):
        with Server(TINY) as server:
            for path, _, _ in self.CASES:
                for body in ("{", '{"steps": 1, "steps": 2}', "[]", '{"steps": NaN}'):
                    answer = post(server, path, body)
                    self.assertEqual(answer.status, 400, (path, body, answer.body))
                answer = post(server, path, "{}", "text/plain")
                self.assertEqual(answer.status, 415)
                answer = post(server, path, " " * 70000 + "{}")
                self.assertEqual(answer.status, 413)
                self.assertIn(b"65536", answer.body)


if __name__ == "__main__":
    unittest.main()
