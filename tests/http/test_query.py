"""GET /v1/generate: an answer that caches keep, from outside and behind nginx."""

import hashlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest
from urllib.parse import urlencode

from sluice_server import (
    GENERATE,
    HOUSE,
    PATIENCE,
    PROBLEM_TYPE,
    SOURCE,
    Picture,
    Server,
    in_parallel,
    tiny,
    wait_until,
)

TINY = tiny("two-taps")
CAT = {"prompt": "a cat", "seed": 7}
# Hours of work: whatever ends it, it was not done.
ENDLESS = {"prompt": "a cat", "seed": 1, "steps": 1000, "guidance": 20, "solver": "heun"}
PATIENT = ("--max-steps", "1000", "--max-wait", "86400", "--workers", "1")
PUBLIC, PINNED = "public, max-age=3600", "public, max-age=31536000, immutable"
KEY = "key-0123456789"


def path_of(fields):
    return f"{GENERATE}?{urlencode(fields)}"


class QueryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(TINY))
        cls.digest = cls.server.get("/v1/model").json()["digest"]

    def get(self, fields, status=200, **options):
        answer = self.server.get(path_of(fields), **options)
        self.assertEqual(answer.status, status, answer.body)
        return answer

    def evaluations(self):
        return self.server.metrics()("sluice_evaluations_total")

    def test_the_same_as_by_post(self):
        cases = (
            {"seed": 0},
            CAT,
            {"prompt": "żółty kot & 黄色い猫 = 100% + 1", "seed": 4294967295},
            {**CAT, "steps": 5, "width": 64, "height": 32, "guidance": 2.5},
            {**CAT, "negative_prompt": "a dog", "guidance": 3, "solver": "dpmpp_2m"},
            {**CAT, "n": 1, "preview_every": 0},
        )
        tags = set()
        for fields in cases:
            with self.subTest(fields):
                answer = self.get(fields)
                self.assertEqual(answer.headers["Content-Type"], "image/png")
                self.assertEqual(answer.body, self.server.picture(fields))
                self.assertEqual(answer.headers["Sluice-Seed"], str(fields["seed"]))
                tags.add(answer.headers["ETag"])
        self.assertEqual(len(tags), len(cases) - 1, "the last is the second in other words")

    def test_headers_for_caches(self):
        for fields, control in ((CAT, PUBLIC), ({**CAT, "model": self.digest}, PINNED)):
            answer = self.get(fields)
            self.assertEqual(answer.headers["Cache-Control"], control)
            self.assertRegex(answer.headers["ETag"], '^"[0-9a-f]{32}"$')
            self.assertEqual(answer.headers["Vary"], "Accept")
        answer = self.get(CAT, headers={"Accept": "application/json"})
        self.assertEqual(answer.headers["Cache-Control"], "no-store", "it tells times")
        self.assertNotIn("ETag", answer.headers)

    def test_tag_is_of_the_canonical_request(self):
        def tag(query):
            answer = self.server.get(f"{GENERATE}?{query}", method="HEAD")
            self.assertEqual(answer.status, 200, query)
            return answer.headers["ETag"]

        plain = tag("prompt=a+cat&seed=7")
        for same in (
            "seed=7&prompt=a%20cat",
            "seed=7&prompt=%61%20c%61t&steps=3&width=48&height=80",
            "seed=7&prompt=a+cat&guidance=1.0&solver=euler&n=1&negative_prompt=",
            f"seed=7&prompt=a+cat&model={self.digest}",
        ):
            self.assertEqual(tag(same), plain, same)
        for other in (
            "seed=8&prompt=a+cat",
            "seed=7&prompt=a+cat+",
            "seed=7&prompt=a+cat&steps=4",
            "seed=7&prompt=a+cat&width=80&height=48",
            "seed=7&prompt=a+cat&solver=ab2",
            "seed=7&prompt=a+cat&guidance=1.5",
        ):
            self.assertNotEqual(tag(other), plain, other)
        with Server(TINY, "--no-png-text") as bare:
            answer = bare.get(path_of(CAT), method="HEAD")
            self.assertNotEqual(answer.headers["ETag"], plain)
        for kernels, is_same in (("scalar", True), ("openblas", False)):
            with Server(TINY, "--kernels", kernels) as other:
                answer = other.get(path_of(CAT))
                self.assertEqual(answer.headers["ETag"] == plain, is_same, kernels)
                if is_same:
                    self.assertEqual(answer.body, self.server.picture(CAT))
        with Server(tiny("f32")) as other:
            answer = other.get(path_of({**CAT, "guidance": 1}), method="HEAD")
            self.assertNotEqual(answer.headers["ETag"], plain)

    def test_not_modified_without_computing(self):
        first = self.get(CAT)
        tag = first.headers["ETag"]
        before = self.evaluations()
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            answer = self.get(CAT, 304, headers={"If-None-Match": known})
            self.assertEqual(answer.body, b"")
            self.assertEqual(answer.headers["ETag"], tag)
            self.assertEqual(answer.headers["Cache-Control"], PUBLIC)
            self.assertEqual(answer.headers["Vary"], "Accept")
            self.assertNotIn("Content-Length", answer.headers)
        self.assertEqual(self.evaluations(), before)
        for other in ('"other"', tag.strip('"'), ""):
            answer = self.get(CAT, headers={"If-None-Match": other})
            self.assertEqual(answer.body, first.body)
        self.assertEqual(self.evaluations(), before + 9)

    def test_conditions_on_several_lines(self):
        tag = self.get(CAT, method="HEAD").headers["ETag"]
        for lines, status in (
            (['"other"', tag], 304),
            ([tag, '"other"'], 304),
            (['"other"', f'"third", W/{tag}'], 304),
            (["", tag], 304),
            (['"other"', '"third"'], 200),
        ):
            connection = self.server.connect()
            connection.putrequest("GET", path_of(CAT))
            for line in lines:
                connection.putheader("If-None-Match", line)
            connection.endheaders()
            self.assertEqual(connection.getresponse().status, status, lines)
            connection.close()

    def test_head_computes_nothing(self):
        before = self.evaluations()
        answer = self.get(CAT, method="HEAD")
        tag = answer.headers["ETag"]
        self.assertEqual(answer.headers["Content-Type"], "image/png")
        # It would be compared with the length of what a cache has.
        self.assertNotIn("Content-Length", answer.headers)
        self.assertEqual(self.evaluations(), before)
        self.assertEqual(self.get(CAT).headers["ETag"], tag)
        for form in ("application/json", "text/event-stream"):
            answer = self.get(CAT, method="HEAD", headers={"Accept": form})
            self.assertEqual(answer.headers["Content-Type"], form, "as of the GET")
        self.get({"prompt": "a cat"}, 422, method="HEAD")
        self.get({**CAT, "model": "0" * 64}, 404, method="HEAD")

    def test_nothing_follows_the_head(self):
        for request, status in (
            ("HEAD {} HTTP/1.1\r\n", b" 200 "),
            ("GET {} HTTP/1.1\r\nIf-None-Match: *\r\n", b" 304 "),
        ):
            with socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) as client:
                client.sendall((request.format(path_of(CAT)) + "Host: sluice\r\n\r\n").encode())
                answer = b""
                while piece := client.recv(65536):
                    answer += piece
            head, end, body = answer.partition(b"\r\n\r\n")
            self.assertIn(status, head)
            self.assertEqual((end, body), (b"\r\n\r\n", b""))

    def test_other_model(self):
        before = self.evaluations()
        answer = self.get({**CAT, "model": "0" * 64}, 404)
        self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(answer.json()["field"], "model")
        self.assertEqual(self.evaluations(), before)

    def test_refusals_name_the_field(self):
        cases = (
            ("prompt=a+cat", 422, "seed"),
            ("seed=1&deadline_ms=100", 422, "deadline_ms"),
            ("seed=1&min_steps=1", 422, "min_steps"),
            ("seed=1&steps=0", 422, "steps"),
            ("seed=1&steps=1.5", 422, "steps"),
            ("seed=1&steps=", 422, "steps"),
            ("seed=4294967296", 422, "seed"),
            ("seed=1&width=17", 422, "width"),
            ("seed=1&solver=fast", 422, "solver"),
            ("seed=1&colour=red", 422, "colour"),
            ("seed=1&model=abc", 422, "model"),
            ("seed=1&n=2", 200, None),  # JSON, as for a POST
            ("seed=1&preview_every=1", 422, "preview_every"),
            ("seed=1&prompt=%ff", 422, "prompt"),
            ("seed=1&seed=1", 400, None),
            ("seed=1&prompt=%zz", 400, None),
        )
        for query, status, field in cases:
            with self.subTest(query):
                answer = self.server.get(f"{GENERATE}?{query}")
                self.assertEqual(answer.status, status, answer.body)
                if field:
                    self.assertEqual(answer.json()["field"], field)
                self.assertEqual(answer.headers["Cache-Control"], "no-store")

    def test_private_with_keys(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write(f"shop {hashlib.sha256(KEY.encode()).hexdigest()}\n")
            keys.flush()
            with Server(TINY, "--api-keys", keys.name) as server:
                refused = server.get(path_of(CAT))
                self.assertEqual(refused.status, 401)
                self.assertEqual(refused.headers["Cache-Control"], "no-store")
                for fields, age in (({}, "3600"), ({"model": self.digest}, "31536000, immutable")):
                    answer = server.get(
                        path_of({**CAT, **fields}), headers={"Authorization": f"Bearer {KEY}"}
                    )
                    self.assertEqual(answer.headers["Cache-Control"], f"private, max-age={age}")


class InFlightTest(unittest.TestCase):
    """Equal GETs that are under way are one work."""

    def start(self):
        server = self.enterContext(Server(HOUSE, *PATIENT, "--max-batch", "1"))
        server.picture({**CAT, "guidance": 1, "steps": 1})
        return server

    def send(self, server, fields):
        connection = server.connect()
        connection.request("GET", path_of(fields))
        return connection

    def settle(self, server):
        """Until what was sent before is with the engine: both hand over in order."""
        for _ in range(3):
            connection = server.connect()
            body = b'{"steps": 1}'
            connection.request(
                "POST", "/v1/estimate", body, {"Content-Type": "application/json"}
            )
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()

    def test_computed_once(self):
        server = self.start()
        fields = {**CAT, "steps": 30, "guidance": 1}
        expected = server.picture(fields)
        blocker = server.send(ENDLESS)  # which has the worker too
        server.wait_for_gauges(running=1, queued=0)
        before = server.metrics()
        clients = [self.send(server, fields) for _ in range(5)]
        self.settle(server)
        bodies = []
        for connection in clients:
            response = connection.getresponse()
            self.assertEqual(response.headers["Sluice-Evaluations"], "30")
            bodies.append(response.read())
            connection.close()
        blocker.close()
        self.assertEqual(set(bodies), {expected})
        self.assertEqual(len(bodies), 5)
        after = server.metrics()
        shared = after("sluice_shared_total") - before("sluice_shared_total")
        images = after("sluice_images_total") - before("sluice_images_total")
        # One that came when the image was there already was computed for itself.
        self.assertEqual(shared + images, 5)
        self.assertGreater(shared, 0)

    def test_canceled_when_the_last_leaves(self):
        server = self.start()
        clients = [self.send(server, ENDLESS)]
        server.wait_for_gauges(running=1, queued=0)
        clients += [self.send(server, ENDLESS) for _ in range(3)]
        self.settle(server)
        server.wait_for_gauges(running=1, queued=0)
        for client in (clients[0], *clients[2:]):  # the first, whose work it is, among them
            client.close()
            self.settle(server)
            before = server.metrics()("sluice_evaluations_total")
            wait_until(
                lambda before=before: server.metrics()("sluice_evaluations_total") > before,
                "it goes on for the others",
            )
        self.assertEqual(server.metrics()("sluice_canceled_total", reason="client"), 0)
        clients[1].close()
        server.wait_for_gauges(running=0, queued=0)
        metrics = server.metrics()
        self.assertEqual(metrics("sluice_canceled_total", reason="client"), 1)
        self.assertEqual(metrics("sluice_images_total"), 1)
        self.assertEqual(server.get("/v1/model").status, 200)

    def test_many_equal_ones(self):
        with Server(TINY, "--workers", "2") as server:
            fields = [{**CAT, "seed": i % 4, "steps": 40} for i in range(64)]
            expected = [server.picture(one) for one in fields[:4]]
            answers = in_parallel(lambda one: server.get(path_of(one)), fields)
            for one, answer in zip(fields, answers):
                self.assertEqual(answer.body, expected[one["seed"]])
            metrics = server.metrics()
            made = metrics("sluice_images_total") + metrics("sluice_shared_total")
            self.assertEqual(made, 4 + 64)


class Nginx:
    """deploy/nginx/nginx.conf in front of one server, with a folder of this test."""

    def __init__(self, server):
        self._folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self._folder.name)
        folder.chmod(0o755)  # its workers are nobody
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        text = (SOURCE / "deploy" / "nginx" / "nginx.conf").read_text()
        servers = re.findall(r"^ +server sluice-\d:8080 .*\n", text, re.M)
        line = servers[0].replace("sluice-1:8080", f"127.0.0.1:{server.port}")
        text = text.replace("".join(servers), line)
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{self.port};")
        text = text.replace("/var/cache/nginx", str(folder)).replace("/run/", f"{folder}/")
        path = folder / "nginx.conf"
        path.write_text(text)
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            raise FileNotFoundError("nginx (deploy/packages/test.txt)")
        self._log = open(folder / "log.txt", "wb")
        self._process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(path), "-g", "daemon off;"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self):
        wait_until(self._answers, "nginx listens")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._log.close()
        self._folder.cleanup()

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class CacheTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(TINY))
        self.nginx = self.enterContext(Nginx(self.server))

    def get(self, fields, **options):
        return self.server.get(path_of(fields), self.nginx.port, **options)

    def asked(self):
        """Requests for pictures that reached the service."""
        metrics = self.server.metrics()
        return metrics("sluice_http_requests_total", route=f"GET {GENERATE}")

    def test_the_second_does_not_reach_the_service(self):
        first = self.get(CAT)
        self.assertEqual((first.status, first.headers["Sluice-Cache"]), (200, "MISS"))
        self.assertEqual(first.body, self.server.picture(CAT))
        wait_until(lambda: self.asked() == 1, "it is counted")
        before = self.server.metrics()("sluice_evaluations_total")
        second = self.get(CAT)
        self.assertEqual((second.status, second.headers["Sluice-Cache"]), (200, "HIT"))
        self.assertEqual(second.body, first.body)
        for name in ("ETag", "Cache-Control", "Sluice-Seed", "Sluice-Steps"):
            self.assertEqual(second.headers[name], first.headers[name])
        known = self.get(CAT, headers={"If-None-Match": first.headers["ETag"]})
        self.assertEqual(known.status, 304)
        other = self.get({**CAT, "seed": 8})
        self.assertEqual(other.headers["Sluice-Cache"], "MISS")
        self.assertNotEqual(Picture(other.body).rows, Picture(first.body).rows)
        wait_until(lambda: self.asked() == 2, "the other one alone came through")
        evaluations = self.server.metrics()("sluice_evaluations_total")
        self.assertEqual(evaluations - before, 3)

    def test_a_head_spoils_nothing(self):
        first = self.get(CAT)
        head = self.get(CAT, method="HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["ETag"], first.headers["ETag"])
        second = self.get(CAT)
        self.assertEqual(second.headers["Sluice-Cache"], "HIT")
        self.assertEqual(second.body, first.body)

    def test_forms_are_kept_apart(self):
        picture = self.get(CAT)
        for _ in range(2):
            answer = self.get(CAT, headers={"Accept": "application/json"})
            self.assertEqual(answer.headers["Content-Type"], "application/json")
            self.assertEqual(answer.headers["Sluice-Cache"], "BYPASS")
        self.assertEqual(self.get(CAT).body, picture.body)

    def test_keys_pass_by(self):
        headers = {"Authorization": "Bearer somebody"}
        for _ in range(2):
            answer = self.get(CAT, headers=headers)
            self.assertEqual((answer.status, answer.headers["Sluice-Cache"]), (200, "BYPASS"))
        self.assertEqual(self.get(CAT).headers["Sluice-Cache"], "MISS")

    def test_too_large(self):
        headers = {"Content-Length": "70000"}  # it is refused for what it announces
        answer = self.server.get(GENERATE, self.nginx.port, method="POST", headers=headers)
        self.assertEqual((answer.status, answer.json()["status"]), (413, 413))

    def test_refusals_are_not_kept(self):
        for _ in range(2):
            self.assertEqual(self.get({"prompt": "no seed"}).status, 422)
        wait_until(lambda: self.asked() == 2, "both came through")

    def test_equal_ones_at_once(self):
        answers = in_parallel(self.get, [{**CAT, "steps": 60}] * 12)
        self.assertEqual(len({answer.body for answer in answers}), 1)
        wait_until(lambda: self.asked() == 1, "the first alone came through")


if __name__ == "__main__":
    unittest.main()
