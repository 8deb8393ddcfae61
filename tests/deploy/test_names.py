"""The rules, the dashboard and the autoscaler ask for metrics that a running server has."""

import json
import os
import pathlib
import re
import sys
import unittest

from deploy_files import DEPLOY, SOURCE

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "http"))

from sluice_server import HOUSE, Server, parse_sample  # noqa: E402

METRIC = re.compile(r"\b((?:sluice|process)_\w+)(?:\{([^}]*)\})?")
RECORD = re.compile(r"\bsluice:[\w:]+")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
SCRAPE_LABELS = {"job", "instance", "pod", "namespace"}
PARTS = ("_bucket", "_sum", "_count")


def expressions_of_rules():
    text = (DEPLOY / "prometheus" / "rules.yaml").read_text()
    # An expression is a line, or what is indented below `>-`.
    for found in re.finditer(r"^( +)expr: (>-\n(?:\1 +.*\n)+|.*\n)", text, re.M):
        yield found[2]


def expressions_of_dashboard():
    dashboard = json.loads((DEPLOY / "grafana" / "sluice.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def expressions_of_autoscaler():
    text = (DEPLOY / "k8s" / "autoscaler.yaml").read_text()
    return re.findall(r"name: (sluice_\w+)|seriesQuery: (\S+)", text)


class NamesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Server(HOUSE, "--workers", "1") as server:
            fields = {"prompt": "a cat", "seed": 1, "steps": 1}
            assert server.post(fields).status == 200
            assert server.post({"steps": 0}).status == 422
            cls.text = server.get("/metrics", server.admin_port).body.decode()
        cls.types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", cls.text, re.M))
        cls.labels = {}
        for line in cls.text.splitlines():
            if not line.startswith("#"):
                name, labels, _ = parse_sample(line)
                cls.labels.setdefault(name, set()).update(labels)

    def known(self, name):
        """Whether the server has that sample; a histogram has only its parts."""
        for part in PARTS:
            if name.endswith(part) and self.types.get(name[: -len(part)]) == "histogram":
                return True
        return self.types.get(name) in ("counter", "gauge")

    def lacking_labels(self, name, labels):
        """Those that the metric does not have; none where no sample is there to tell."""
        has = self.labels.get(name)
        return set(labels) - has - SCRAPE_LABELS if has else set()

    def check(self, where, expressions):
        wrong = set()
        count = 0
        for expression in expressions:
            metrics = METRIC.findall(expression)
            count += len(metrics)
            grouped = ", ".join(GROUPED.findall(expression))
            for name, selectors in metrics:
                if not self.known(name):
                    wrong.add(f"{where}: the server has no {name}")
                labels = LABEL.findall(selectors) + re.findall(r"\w+", grouped)
                for label in self.lacking_labels(name, labels):
                    wrong.add(f"{where}: {name} has no label {label}")
        self.assertGreater(count, 0, where)
        self.assertEqual(sorted(wrong), [])

    def test_rules(self):
        self.check("rules", expressions_of_rules())

    def test_dashboard(self):
        self.check("dashboard", expressions_of_dashboard())

    def test_autoscaler(self):
        self.check("autoscaler", ["".join(found) for found in expressions_of_autoscaler()])

    def test_recorded_names(self):
        rules = (DEPLOY / "prometheus" / "rules.yaml").read_text()
        recorded = set(re.findall(r"- record: (\S+)", rules))
        used = set()
        for expression in (*expressions_of_rules(), *expressions_of_dashboard()):
            used.update(RECORD.findall(expression))
        self.assertEqual(sorted(used - recorded), [])

    def test_documented(self):
        """docs/operations.md names what the server exports, and nothing else."""
        text = (SOURCE / "docs" / "operations.md").read_text()
        table = text[text.index("\n## Metrics\n") :].split("\n## ", 2)[1]
        rows = "\n".join(re.findall(r"^\|([^|]*)\|", table, re.M))
        named = set(re.findall(r"\b(?:sluice|process)_\w+", rows))
        self.assertEqual(sorted(named ^ self.types.keys()), [])


if __name__ == "__main__":
    assert os.environ["SLUICE_BINARY"]
    unittest.main()
