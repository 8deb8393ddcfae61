"""What OpenAI's response_format "url" gives are links that GET answers."""

import json
import unittest

from sluice_server import Server, tiny

CAT = {"prompt": "a cat", "seed": 7}


class LinksTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(tiny("two-taps"), "--public-url", "http://p.example/a/"))

    def post(self, fields):
        connection = self.server.connect()
        body = json.dumps({**CAT, "response_format": "url", **fields})
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/images/generations", body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def test_links(self):
        for fields in ({}, {"prompt": "c" * 2000}, {"prompt": "猫" * 880, "n": 2}):
            status, answer = self.post(fields)
            self.assertEqual(status, 200, answer)
            for index, image in enumerate(answer["data"]):
                prefix, path = image["url"].split("/v1/")
                self.assertEqual(prefix, "http://p.example/a")
                linked = self.server.get(f"/v1/{path}")
                self.assertEqual(linked.status, 200, linked.body)
                expected = {"prompt": fields.get("prompt", "a cat"), "seed": 7 + index}
                self.assertEqual(linked.body, self.server.picture(expected))

    def test_prompts_that_no_link_can_hold(self):
        status, answer = self.post({"prompt": "猫" * 2000})
        self.assertEqual(status, 400)
        self.assertEqual(answer["error"]["param"], "response_format")
        self.assertIn("8192", answer["error"]["message"])
        self.assertEqual(self.server.metrics()("sluice_evaluations_total"), 0)


if __name__ == "__main__":
    unittest.main()
