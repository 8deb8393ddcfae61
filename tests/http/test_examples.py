"""What README.md and api/openapi.yaml show is run as it stands there."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

from sluice_server import BINARY, HOUSE, PATIENCE, SOURCE, Server, tiny

# Run by tests/deploy, by whoever reads this, and by tests/commands.
ELSEWHERE = ("deploy/serve", "tests/run", "docker build", "sluice bench")


def commands(path):
    """The shell commands of a page, each on one line and without comments."""
    text = (SOURCE / path).read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words, line


class ExamplesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(HOUSE))
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (cls.folder / "bin").mkdir()
        (cls.folder / "bin" / "sluice").symlink_to(BINARY)

    def run_line(self, line):
        line = line.replace("127.0.0.1:8080", f"127.0.0.1:{self.server.port}")
        line = re.sub(r"(?<=\s)DIR\b", str(tiny("two-taps")), line)
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")},
            "PATH": path,
            "SLUICE_ADMIN_PORT": str(self.server.admin_port),
            "SLUICE_MODEL": str(HOUSE),
        }
        # curl is told to fail where the service refuses; -f, which some lines have, is as much.
        line = re.sub(r"^curl (?!-f)", "curl --fail-with-body ", line)
        return subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def test_readme(self):
        ran = set()
        for words, line in commands("README.md"):
            with self.subTest(line):
                if line.strip().startswith(ELSEWHERE):
                    continue
                if words[:2] == ["sluice", "serve"]:
                    self.check_serve(words[2:])
                else:
                    done = self.run_line(line.strip())
                    self.assertEqual(done.returncode, 0, done.stderr + done.stdout[:500])
                ran.add(words[0])
        self.assertEqual(ran, {"curl", "sluice"})

    def check_serve(self, options):
        at = options.index("--port")  # it is somebody's
        options = options[:at] + options[at + 2 :]
        at = options.index("--model")
        with Server(tiny("two-taps"), *options[:at], *options[at + 2 :]) as server:
            self.assertEqual(server.get("/readyz").status, 200)

    def test_description(self):
        description = self.server.get("/openapi.json").json()
        ran = 0
        for path, methods in description["paths"].items():
            for method, operation in methods.items():
                with self.subTest(f"{method} {path}"):
                    ran += self.check_operation(path, method.upper(), operation)
        self.assertGreater(ran, 20)

    def check_operation(self, path, method, operation):
        """Runs it with each example of its body, or once without one; how often."""
        content = operation.get("requestBody", {}).get("content", {})
        if "image/png" in content:
            bodies = [self.server.picture({"seed": 1, "steps": 2})]
        elif content:
            examples = content["application/json"]["examples"].values()
            bodies = [json.dumps(example["value"]).encode() for example in examples]
        else:
            bodies = [None]
        query = "&".join(
            f"{parameter['name']}={parameter['example']}".replace(" ", "+")
            for parameter in operation.get("parameters", ())
            if parameter.get("in") == "query" and "example" in parameter
        )
        for body in bodies:
            connection = self.server.connect()
            headers = {} if body is None else {"Content-Type": next(iter(content))}
            connection.request(method, f"{path}?{query}" if query else path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            self.assertEqual(response.status, 200, (body, answer[:500]))
            said = operation["responses"]["200"]
            while "$ref" in said:
                said = self.resolve(said["$ref"])
            kind = response.headers["Content-Type"].split(";")[0]
            self.assertIn(kind, said["content"])
        return len(bodies)

    def resolve(self, reference):
        found = self.server.get("/openapi.json").json()
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found


if __name__ == "__main__":
    unittest.main()
