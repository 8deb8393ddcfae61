"""Each configuration is accepted, without a warning, by the program that reads it."""

import pathlib
import re
import tempfile
import unittest

from deploy_files import BINARY, DEPLOY, SOURCE, run

HERE = pathlib.Path(__file__).resolve().parent
MOST_EXPOSED = 1.5  # of 10, by systemd-analyze security


class ConfigTest(unittest.TestCase):
    def check(self, *arguments, silent=True):
        status, output = run(*arguments)
        self.assertEqual(status, 0, output)
        if silent:
            self.assertNotRegex(output.lower(), r"\bwarn|\bdeprecated", output)
        return output

    def test_haproxy(self):
        self.check("haproxy", "-c", "-f", DEPLOY / "haproxy" / "haproxy.cfg")

    def test_nginx(self):
        text = (DEPLOY / "nginx" / "nginx.conf").read_text()
        with tempfile.TemporaryDirectory() as folder:
            # Only what needs a fleet's DNS or a machine's folders is replaced.
            text = re.sub(r"server sluice-\d:", "server 127.0.0.1:", text)
            text = text.replace("/var/cache/nginx", folder).replace("/run/", f"{folder}/")
            path = pathlib.Path(folder) / "nginx.conf"
            path.write_text(text)
            self.check("nginx", "-t", "-p", folder, "-c", path)

    def test_prometheus(self):
        self.check("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yaml")
        self.check("promtool", "check", "rules", DEPLOY / "prometheus" / "rules.yaml")
        self.check("promtool", "test", "rules", HERE / "rules_cases.yaml")

    def test_prometheus_in_kubernetes(self):
        """All but the discovery, which Debian's promtool is built without."""
        text = (DEPLOY / "prometheus" / "kubernetes.yaml").read_text()
        text, replaced = re.subn(
            r"- role: pod\n +namespaces:\n +names: .*", "- targets: [pod:8081]", text
        )
        self.assertEqual(replaced, 1)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "kubernetes.yaml"
            path.write_text(text.replace("kubernetes_sd_configs", "static_configs"))
            rules = (DEPLOY / "prometheus" / "rules.yaml").read_text()
            (path.parent / "rules.yaml").write_text(rules)
            self.check("promtool", "check", "config", path)

    def test_systemd(self):
        unit = DEPLOY / "systemd" / "sluice.service"
        report = self.check(
            "systemd-analyze", "security", "--offline=true", "--no-pager", unit
        )
        exposure = re.search(r"Overall exposure level for sluice\.service: ([\d.]+)", report)
        self.assertLessEqual(float(exposure[1]), MOST_EXPOSED, report)
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "sluice.service"
            copy.write_text(unit.read_text().replace("/usr/local/bin/sluice", BINARY))
            output = self.check("systemd-analyze", "verify", "--man=no", copy)
            self.assertNotIn("sluice.service", output)

    def test_times_to_stop_agree(self):
        """Whoever stops a replica waits at least as long as it may take."""
        status, help_text = run(BINARY, "serve", "--help")
        self.assertEqual(status, 0)
        needed = sum(
            int(re.search(rf"--drain-{what} .*\n +default (\d+)", help_text)[1])
            for what in ("delay", "timeout")
        )
        for path, pattern in (
            ("systemd/sluice.service", r"TimeoutStopSec=(\d+)"),
            ("compose.yaml", r"stop_grace_period: (\d+)s"),
            ("k8s/deployment.yaml", r"terminationGracePeriodSeconds: (\d+)"),
        ):
            text = (DEPLOY / path).read_text()
            pre_stop = sum(map(int, re.findall(r"sleep:\s+seconds: (\d+)", text)))
            allowed = int(re.search(pattern, text)[1])
            self.assertGreaterEqual(allowed, needed + pre_stop + 5, path)

    def test_every_alert_is_explained(self):
        rules = (DEPLOY / "prometheus" / "rules.yaml").read_text()
        alerts = re.findall(r"- alert: (\w+)", rules)
        explained = re.findall(
            r"^\| `(Sluice\w+)` \|", (SOURCE / "docs" / "operations.md").read_text(), re.M
        )
        self.assertGreater(len(alerts), 10)
        self.assertEqual(sorted(alerts), sorted(explained))


if __name__ == "__main__":
    unittest.main()
