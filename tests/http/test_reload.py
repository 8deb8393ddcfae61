"""SIGHUP: the model folder is opened again while the old model serves, and replaces it
when it is ready; a broken one does not."""

import os
import pathlib
import shutil
import signal
import tempfile
import threading
import unittest

from sluice_server import HOUSE, SLOW, Server, tiny, wait_until

CAT = {"prompt": "a cat", "seed": 1, "steps": 3}
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
CLIENTS = 4
# A model whose reload takes long enough to be interrupted.
LARGE = tiny("two-taps") if SLOW else HOUSE


class Clients:
    """Send requests until they are told to stop; what they got is counted by model."""

    def __init__(self, server):
        self.server = server
        self.answers = {}  # Sluice-Model: bodies
        self.failures = []
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def run(self):
        connection = self.server.connect()
        while not self.stopped.is_set():
            try:
                answer = self.server.post(CAT, connection=connection)
            except OSError as error:
                with self.lock:
                    self.failures.append(repr(error))
                break
            with self.lock:
                if answer.status != 200:
                    self.failures.append((answer.status, answer.body))
                model = answer.headers["Sluice-Model"]
                self.answers.setdefault(model, []).append(answer.body)
        connection.close()

    def count(self):
        with self.lock:
            return sum(len(bodies) for bodies in self.answers.values())

    def wait_for_more(self, more=2 * CLIENTS):
        enough = self.count() + more
        wait_until(lambda: self.count() >= enough or self.failures, "more answers")


class ReloadTest(unittest.TestCase):
    def setUp(self):
        parent = self.enterContext(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(parent) / "model"
        shutil.copytree(tiny("two-taps"), self.folder)

    def replace(self, change):
        """The weights become change(old bytes), as one would deploy them: by a rename."""
        path = self.folder / WEIGHTS
        changed = path.with_suffix(".new")
        changed.write_bytes(change(path.read_bytes()))
        os.replace(changed, path)

    def other_weights(self):
        """Values of the last tensor in the file become others."""
        self.replace(lambda data: data[:-16] + data[-8:] + data[-16:-8])

    def served(self, server):
        return server.post(CAT).headers["Sluice-Model"]

    def reloads(self, server, outcome):
        return server.metrics()("sluice_model_reloads_total", outcome=outcome)

    def test_good_folder_under_requests(self):
        with Server(self.folder, "--workers", "2") as server:
            old = self.served(server)
            with Clients(server) as clients:
                self.other_weights()
                server.signal(signal.SIGHUP)
                entry = server.wait_for_event("reloaded")
                new = self.served(server)
                clients.wait_for_more()
            self.assertEqual(clients.failures, [])
            self.assertNotEqual(old, new)
            self.assertIn(entry["digest"], new)
            self.assertEqual(set(clients.answers), {old, new})
            for model, bodies in clients.answers.items():
                self.assertEqual(len(set(bodies)), 1, model)
            self.assertNotEqual(clients.answers[old][0], clients.answers[new][0])
            metrics = server.metrics()
            self.assertEqual(metrics("sluice_build_info", digest=entry["digest"]), 1)
            self.assertEqual(metrics("sluice_build_info"), 1)
            wait_until(lambda: self.reloads(server, "ok") == 1, "the reload is counted")
            self.assertEqual(self.reloads(server, "failed"), 0)
            expected = clients.answers[new][0]
        with Server(self.folder) as server:
            self.assertEqual(server.picture(CAT), expected, "the same after a restart")

    def test_memory_of_the_old_model(self):
        """It is taken from the requests' share until the last request of it has ended."""
        options = ("--workers", "1", "--max-steps", "1000", "--max-wait", "86400")
        # With what is usable by one model's plan, and little to spare for two.
        with Server(HOUSE, *options, "--memory-limit", "512M") as server:

            def share():
                return server.metrics()("sluice_request_limit_bytes")

            before = share()
            running = server.send({**CAT, "steps": 1000, "solver": "heun", "guidance": 20})
            server.wait_for_gauges(running=1, queued=0)
            server.signal(signal.SIGHUP)
            server.wait_for_event("reloaded")
            wait_until(lambda: share() < before - (10 << 20), "two models' weights are held")
            running.close()
            wait_until(lambda: share() == before, "the old model's memory is given back")

    def test_broken_folder_under_requests(self):
        with Server(self.folder, "--workers", "2") as server:
            old = self.served(server)
            good = (self.folder / WEIGHTS).read_bytes()
            with Clients(server) as clients:
                self.replace(lambda data: data[:-2])
                server.signal(signal.SIGHUP)
                entry = server.wait_for_event("reload")
                wait_until(lambda: self.reloads(server, "failed") == 1, "it is counted")
                clients.wait_for_more()
                self.assertEqual(entry["level"], "error")
                self.assertIn("diffusion_pytorch_model.safetensors", str(entry))
                self.assertEqual(server.get("/readyz").status, 200)

                (self.folder / "model_index.json").rename(self.folder / "gone.json")
                server.signal(signal.SIGHUP)
                self.assertIn("model_index.json", str(server.wait_for_event("reload", 2)))
                clients.wait_for_more()
            self.assertEqual(clients.failures, [])
            self.assertEqual(set(clients.answers), {old})
            self.assertEqual(server.events("reloaded"), [])

            # Repaired, and with other weights: now it is served.
            (self.folder / "gone.json").rename(self.folder / "model_index.json")
            self.replace(lambda _: good)
            self.other_weights()
            wait_until(lambda: self.reloads(server, "failed") == 2, "it is counted")
            server.signal(signal.SIGHUP)
            server.wait_for_event("reloaded")
            self.assertNotEqual(self.served(server), old)

    def test_other_sizes(self):
        """A model that needs more scratch memory, and has other defaults and limits."""
        with Server(self.folder, "--workers", "2") as server:
            with Clients(server) as clients:
                shutil.rmtree(self.folder)
                shutil.copytree(tiny("one-head"), self.folder)
                server.signal(signal.SIGHUP)
                server.wait_for_event("reloaded")
                clients.wait_for_more()
            self.assertEqual(clients.failures, [])
            self.assertIn("one-head", self.served(server))
            large = {"prompt": "a cat", "seed": 1, "steps": 2, "width": 128, "height": 128}
            self.assertEqual(server.post(large).status, 200)
            answer = server.post({"prompt": "a cat", "seed": 1})
            self.assertEqual(answer.headers["Sluice-Steps"], "8", "the new default")

    def test_second_one_while_one_is_under_way(self):
        with Server(LARGE, "--workers", "2") as server:

            def refused():
                server.signal(signal.SIGHUP)
                return server.events("reload")

            entry = wait_until(refused, "a reload while one is under way")[0]
            self.assertEqual(entry["level"], "warning")
            self.assertIn("under way", str(entry))
            server.wait_for_event("reloaded")
            wait_until(lambda: self.reloads(server, "ok") >= 1, "it is counted")
            self.assertEqual(self.reloads(server, "failed"), 0)
            self.assertEqual(server.post(CAT).status, 200)

    def test_end_while_one_is_under_way(self):
        with Server(LARGE, "--workers", "2") as server:
            server.signal(signal.SIGHUP)
            self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
