"""One request, three forms of its answer: PNG, JSON and events, chosen by Accept."""

import base64
import unittest

from sluice_server import (
    GENERATE,
    HOUSE,
    PROBLEM_TYPE,
    SLOW,
    Picture,
    Server,
    in_parallel,
    read_events,
    tiny,
)

TINY = tiny("two-taps")  # 3 steps, 48 x 80, at most 128 x 128
CAT = {"prompt": "a cat", "seed": 7}
QUICK = {**CAT, "steps": 2, "guidance": 1}
# Hours of work: whatever ends it, it was not done.
ENDLESS = {"prompt": "a cat", "seed": 1, "steps": 1000, "guidance": 20, "solver": "heun"}
PATIENT = ("--max-steps", "1000", "--max-wait", "86400", "--workers", "1")
PNG, JSON, EVENTS = "image/png", "application/json", "text/event-stream"
STREAM = {"Accept": EVENTS}


def decode(image):
    """The file in a JSON object of an image."""
    if image["media_type"] != PNG:
        raise AssertionError(image["media_type"])
    return base64.b64decode(image["base64"], validate=True)


class Stream:
    """An answer in events, read while it comes."""

    def __init__(self, server, fields, headers=None):
        self.connection = server.send(fields, {**STREAM, **(headers or {})})
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.headers = self.response.headers
        self.events = read_events(self.response)

    def next(self, wanted):
        """The data of the next event of that name."""
        for name, data in self.events:
            if name == wanted:
                return data
        raise AssertionError(f"the stream ended without {wanted}")

    def rest(self):
        """All events until the end."""
        events = list(self.events)
        self.connection.close()
        return events

    def close(self):
        self.response.close()
        self.connection.close()


class FormsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(TINY))

    def json(self, fields, server=None):
        answer = (server or self.server).post(fields, {"Accept": JSON})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.headers["Content-Type"], JSON)
        self.assertEqual(answer.headers["Vary"], "Accept")
        return answer.json()

    def test_accept_chooses(self):
        cases = (
            (1, None, PNG),
            (1, "*/*", PNG),
            (1, PNG, PNG),
            (1, JSON, JSON),
            (1, EVENTS, EVENTS),
            (1, f"{JSON}, {PNG};q=0.5", JSON),
            (1, f"{PNG};q=0.1, {EVENTS}", EVENTS),
            (1, f"text/html, {JSON};q=0.1", JSON),
            (1, "application/*", JSON),
            (2, "*/*", JSON),
            (2, None, JSON),
            (2, EVENTS, EVENTS),
            (2, f"{PNG}, {JSON};q=0.1", JSON),
            (2, PNG, "n"),
            (1, "text/html", None),
            (2, f"{PNG};q=0, {JSON};q=0, {EVENTS};q=0", None),
        )
        for n, accept, expected in cases:
            with self.subTest(n=n, accept=accept):
                headers = {} if accept is None else {"Accept": accept}
                answer = self.server.post({**CAT, "n": n}, headers)
                self.assertEqual(answer.headers["Vary"], "Accept")
                if expected is None or expected == "n":
                    self.assertEqual(answer.status, 422 if expected else 406)
                    self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
                    self.assertEqual(answer.json().get("field"), expected)
                else:
                    self.assertEqual(answer.status, 200)
                    self.assertEqual(answer.headers["Content-Type"], expected)

    def test_json(self):
        answer = self.json({**CAT, "steps": 4, "guidance": 2.5, "solver": "heun"})
        (image,) = answer["images"]
        expected = self.server.post({**CAT, "steps": 4, "guidance": 2.5, "solver": "heun"})
        self.assertEqual(decode(image), expected.body)
        self.assertEqual((image["index"], image["seed"]), (0, 7))
        self.assertEqual((answer["width"], answer["height"]), (48, 80))
        self.assertEqual((answer["solver"], answer["guidance"]), ("heun", 2.5))
        self.assertEqual((answer["steps"], answer["evaluations"]), (4, 14))
        model = expected.headers["Sluice-Model"]
        self.assertEqual(f"two-taps; digest={answer['model']['digest']}", model)
        tokens = answer["prompt_tokens"]
        said = expected.headers["Sluice-Prompt-Tokens"]
        self.assertEqual(f"{tokens['used']}/{tokens['limit']}; cut={tokens['total']}", said)
        self.assertIs(tokens["is_cut"], True)
        self.assertEqual(set(answer["timing_ms"]), {"queue", "encode", "steps", "decode"})
        self.assertGreater(sum(answer["timing_ms"].values()), 0)

    def test_seed_is_drawn_and_reported(self):
        answers = [self.json({"n": 2}) for _ in range(2)]
        seeds = [[image["seed"] for image in answer["images"]] for answer in answers]
        self.assertNotEqual(*seeds)
        for answer in answers:
            for image in answer["images"]:
                self.assertEqual(self.server.picture({"seed": image["seed"]}), decode(image))

    def test_images_are_those_of_single_requests(self):
        fields = {**CAT, "guidance": 3, "negative_prompt": "a dog", "seed": 4294967280}
        singles = in_parallel(
            self.server.picture, [{**fields, "seed": fields["seed"] + i} for i in range(16)]
        )
        self.assertEqual(len(set(singles)), 16)
        for n in (1, 16) if SLOW else (1, 3, 16):
            images = self.json({**fields, "n": n})["images"]
            self.assertEqual([image["index"] for image in images], list(range(n)))
            seeds = [image["seed"] for image in images]
            self.assertEqual(seeds, [fields["seed"] + i for i in range(n)])
            self.assertEqual([decode(image) for image in images], singles[:n])
            streamed = dict(
                (data["images"][0]["index"], decode(data["images"][0]))
                for name, data in Stream(self.server, {**fields, "n": n}).rest()
                if name == "image"
            )
            self.assertEqual([streamed[i] for i in range(n)], singles[:n])

    def test_n_is_limited(self):
        for fields, field in (({"n": 0}, "n"), ({"n": 17}, "n"), ({"n": 1.5}, "n")):
            answer = self.server.post({**CAT, **fields}, {"Accept": JSON})
            self.assertEqual((answer.status, answer.json()["field"]), (422, field))
        answer = self.server.post({"seed": 4294967295, "n": 2}, {"Accept": JSON})
        self.assertEqual(answer.status, 422)
        self.assertIn(answer.json()["field"], ("seed", "n"))

    def test_events_are_in_order(self):
        fields = {**CAT, "steps": 5, "n": 3}
        stream = Stream(self.server, fields)
        self.assertEqual(stream.status, 200)
        self.assertEqual(stream.headers["Cache-Control"], "no-store")
        self.assertEqual(stream.headers["X-Accel-Buffering"], "no")
        events = stream.rest()
        names = [name for name, _ in events]
        self.assertEqual(names[:3], ["queued"] * 3)
        self.assertLessEqual(set(events[0][1]), {"position", "eta_ms"})
        for index in range(3):
            own = [
                (name, data.get("step"))
                for name, data in events[3:]
                if data.get("index", data.get("images", [{}])[0].get("index")) == index
            ]
            steps = [("step", step) for step in range(1, 6)]
            self.assertEqual(own, [*steps, ("image", None)])
        self.assertEqual(sum(name == "image" for name in names), 3)

    def test_previews_change_no_byte(self):
        cases = (
            {"steps": 6},
            {"steps": 6, "guidance": 3},
            {"steps": 5, "solver": "heun", "guidance": 2},
            {"steps": 7, "solver": "midpoint"},
            {"steps": 6, "solver": "ab2"},
            {"steps": 6, "solver": "dpmpp_2m"},
        )
        for case in cases:
            for every in (2,) if SLOW else (1, 2, 4):
                with self.subTest(case, every=every):
                    self.check_previews({**CAT, **case}, every)

    def check_previews(self, fields, every):
        events = Stream(self.server, {**fields, "preview_every": every}).rest()
        shown = [data for name, data in events if name == "preview"]
        due = [step for step in range(1, fields["steps"]) if step % every == 0]
        self.assertEqual([data["step"] for data in shown], due)
        told = [data["step"] for name, data in events if name == "step"]
        self.assertEqual(told, list(range(1, fields["steps"] + 1)), "each once")
        order = [data["step"] for name, data in events if name in ("step", "preview")]
        self.assertEqual(order, sorted(order), "a preview stands behind its step")
        pictures = [Picture(decode(data)) for data in shown]
        for picture in pictures:
            self.assertEqual((picture.width, picture.height), (48, 80))
            self.assertEqual(picture.texts, {}, "it is not reproducible by its text")
        self.assertEqual(len({p.rows for p in pictures}), len(pictures))
        name, data = events[-1]
        self.assertEqual(name, "image")
        self.assertEqual(decode(data["images"][0]), self.server.picture(fields))

    def test_previews_need_a_stream(self):
        for accept in (JSON, PNG, "*/*"):
            answer = self.server.post({**CAT, "preview_every": 1}, {"Accept": accept})
            self.assertEqual(answer.status, 422, accept)
            self.assertEqual(answer.json()["field"], "preview_every")

    def test_query_streams_too(self):
        """A browser's EventSource asks by GET alone."""
        connection = self.server.connect()
        connection.request("GET", f"{GENERATE}?prompt=a+cat&seed=7&preview_every=1", headers=STREAM)
        response = connection.getresponse()
        self.assertEqual(response.headers["Cache-Control"], "no-store")
        events = list(read_events(response))
        connection.close()
        self.assertEqual([name for name, _ in events].count("preview"), 2)
        self.assertEqual(decode(events[-1][1]["images"][0]), self.server.picture(CAT))

    def test_kept_connection(self):
        connection = self.server.connect()
        expected = self.server.picture(CAT)
        for _ in range(3):
            self.server.send({**CAT, "preview_every": 1}, STREAM, connection)
            events = list(read_events(connection.getresponse()))
            self.assertEqual(decode(events[-1][1]["images"][0]), expected)
            self.assertEqual(self.server.post(CAT, connection=connection).body, expected)
        connection.close()

    def test_many_streams_at_once(self):
        fields = [{**CAT, "seed": i, "steps": 8, "n": 1 + i % 3} for i in range(6 if SLOW else 24)]

        def ask(one):
            events = Stream(self.server, {**one, "preview_every": 1}).rest()
            images = [data["images"][0] for name, data in events if name == "image"]
            return {image["seed"]: decode(image) for image in images}

        for one, images in zip(fields, in_parallel(ask, fields)):
            self.assertEqual(sorted(images), [one["seed"] + i for i in range(one["n"])])
            for seed, data in images.items():
                self.assertEqual(data, self.server.picture({**CAT, "seed": seed, "steps": 8}))


class LoadTest(unittest.TestCase):
    def start(self, *options):
        server = self.enterContext(Server(HOUSE, *PATIENT, *options))
        server.picture({**CAT, "guidance": 1, "steps": 1})
        return server

    def test_previews_are_dropped_under_load(self):
        server = self.start()
        fields = {**CAT, "steps": 6, "guidance": 1}
        expected = server.picture(fields)
        running = server.send(ENDLESS)
        server.wait_for_gauges(running=1, queued=0)
        events = Stream(server, {**fields, "preview_every": 1}).rest()
        running.close()
        names = [name for name, _ in events]
        self.assertEqual(names, ["queued", *["step"] * 6, "image"])
        self.assertEqual(decode(events[-1][1]["images"][0]), expected)
        server.wait_for_gauges(running=0, queued=0)
        events = Stream(server, {**fields, "preview_every": 1}).rest()
        self.assertEqual([name for name, _ in events].count("preview"), 5)

    def test_queue_is_told(self):
        server = self.start("--max-batch", "1")
        running = server.send(ENDLESS)
        server.wait_for_gauges(running=1, queued=0)
        streams = [Stream(server, {**ENDLESS, "seed": i}) for i in range(3)]
        told = [stream.next("queued") for stream in streams]
        for before, data in enumerate(told):  # whose turns depend on predictions
            self.assertTrue(0 <= data["position"] <= before, told)
            self.assertGreater(data["eta_ms"], 1000)
        # What is short does not wait behind what is long.
        self.assertEqual(Stream(server, {**CAT, "steps": 1}).rest()[-1][0], "image")
        for client in (running, *streams):
            client.close()
        server.wait_for_gauges(running=0, queued=0)

    @unittest.skipIf(SLOW, "it waits ten seconds, and has no threads of its own")
    def test_heartbeats(self):
        server = self.start("--max-batch", "1")
        running = server.send(ENDLESS)
        server.wait_for_gauges(running=1, queued=0)
        stream = Stream(server, ENDLESS)
        self.assertEqual(next(stream.events)[0], "queued")
        self.assertEqual(next(stream.events), (None, None), "a comment, while it waits")
        running.close()
        stream.next("step")
        stream.close()

    def test_refused_before_the_stream(self):
        """Where nothing was streamed yet a refusal has a status."""
        server = self.start("--max-batch", "1", "--queue", "2")
        running = server.send(ENDLESS)
        server.wait_for_gauges(running=1, queued=0)
        answer = server.post({**QUICK, "n": 3}, STREAM)  # two would find a place
        self.check_overloaded(answer)
        server.wait_for_gauges(running=1, queued=0)
        waiting = [Stream(server, {**QUICK, "seed": i}) for i in range(2)]
        self.assertEqual([stream.status for stream in waiting], [200, 200])
        self.check_overloaded(server.post(QUICK, STREAM))
        running.close()
        for stream in waiting:
            self.assertEqual(stream.rest()[-1][0], "image")

    def check_overloaded(self, answer):
        self.assertEqual(answer.status, 429)
        self.assertEqual(answer.headers["Content-Type"], PROBLEM_TYPE)
        self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
        self.assertEqual(answer.json()["type"], "/problems/overloaded")

    def test_error_in_the_stream(self):
        server = self.start()
        stream = Stream(server, {**ENDLESS, "n": 2}, {"X-Request-Id": "cut-short"})
        stream.next("step")
        self.assertEqual(server.cancel(), 0)
        events = stream.rest()
        errors = [data for name, data in events if name == "error"]
        self.assertEqual(len(errors), 1, "one, whatever the number of images")
        self.assertEqual(errors[0]["status"], 503)
        self.assertEqual(errors[0]["type"], "/problems/unavailable")
        self.assertEqual(errors[0]["instance"], "cut-short")
        self.assertNotIn("image", [name for name, _ in events])
        self.assertEqual(server.wait(), 0)
        logged = [e for e in server.events("request") if e["request_id"] == "cut-short"]
        self.assertEqual(len(logged), 1)
        self.assertEqual(logged[0]["status"], 200, "which was told long before")
        self.assertEqual((logged[0]["outcome"], logged[0]["problem"]), ("failed", "unavailable"))
        self.assertEqual(logged[0]["level"], "error")

    def test_leaving_a_stream(self):
        server = self.start()
        for n in (1, 4):
            with self.subTest(n=n):
                before = server.metrics()
                stream = Stream(server, {**ENDLESS, "n": n})
                stream.next("step")
                stream.close()
                server.wait_for_gauges(running=0, queued=0)
                after = server.metrics()
                canceled = [
                    m("sluice_canceled_total", reason="client") for m in (before, after)
                ]
                self.assertEqual(canceled[1] - canceled[0], n)
                evaluations = after("sluice_evaluations_total")
                self.assertGreater(evaluations, before("sluice_evaluations_total"))
                server.picture({**CAT, "steps": 3, "guidance": 1})
                # What another has computed since, and nothing for the one that left.
                now = server.metrics()("sluice_evaluations_total")
                self.assertEqual(now - evaluations, 3)

    def test_leaving_at_any_moment(self):
        with Server(TINY, "--workers", "2") as server:
            fields = [{**CAT, "seed": i, "steps": 20} for i in range(8 if SLOW else 32)]
            expected = in_parallel(server.picture, fields)

            def ask(one):
                if one["seed"] % 2 == 0:
                    return server.picture(one)
                for events in range(4):
                    stream = Stream(server, {**one, "steps": 100, "preview_every": 1, "n": 2})
                    for _ in range(events * one["seed"] // 8):
                        next(stream.events, None)
                    stream.close()
                return None

            self.assertEqual(in_parallel(ask, fields)[::2], expected[::2])
            server.wait_for_gauges(running=0, queued=0)
            self.assertEqual(in_parallel(server.picture, fields), expected)


if __name__ == "__main__":
    unittest.main()
