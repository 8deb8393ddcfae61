"""deploy/k8s against the schemas of Kubernetes' API, and what the files owe each other.

The schemas and a YAML reader come from PyPI (requirements.txt) into the build folder;
without a network the test is skipped.
"""

import os
import pathlib
import re
import subprocess
import sys
import unittest

from deploy_files import DEPLOY

HERE = pathlib.Path(__file__).resolve().parent
VENV = pathlib.Path(os.environ["SLUICE_BUILD_DIR"]) / "deploy-venv"
VERSION = "1.34"  # of Kubernetes: the first where `sleep` needs no feature gate
SKIPPED = 77


def enter_venv():
    """Starts this script again with the Python that has the packages."""
    python = VENV / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            + ["-r", HERE / "requirements.txt"],
            check=True,
            timeout=90,
        )
    except (subprocess.SubprocessError, OSError) as error:
        print(f"skipped: the packages cannot be had: {error}")
        sys.exit(SKIPPED)
    os.execv(python, [python, "-B", *sys.argv])


try:
    import kubernetes_validate
    import yaml
except ImportError:
    enter_venv()


def load(path):
    with open(DEPLOY / path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


class KubernetesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        (cls.kustomization,) = load("kustomization.yaml")
        cls.files = {name: load(name) for name in cls.kustomization["resources"]}
        cls.objects = {
            (document["kind"], document["metadata"]["name"]): document
            for documents in cls.files.values()
            for document in documents
        }

    def test_schemas(self):
        for path, documents in self.files.items():
            for document in documents:
                with self.subTest(path, kind=document["kind"]):
                    kubernetes_validate.validate(document, VERSION, strict=True)

    def test_the_judge_sees(self):
        """What the schema forbids is found: a misspelt field, a wrong type."""
        (deployment,) = load("k8s/deployment.yaml")
        deployment["spec"]["template"]["spec"]["enableServiceLink"] = False
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, VERSION, strict=True)

    def test_every_file_is_applied(self):
        present = {f"k8s/{path.name}" for path in (DEPLOY / "k8s").glob("*.yaml")}
        self.assertEqual(present, set(self.kustomization["resources"]))
        for entry in self.kustomization["configMapGenerator"]:
            for file in entry["files"]:
                self.assertTrue((DEPLOY / file.split("=")[1]).exists(), file)

    def test_selectors_and_ports_meet(self):
        for kind in ("Service", "PodDisruptionBudget"):
            for (has, name), document in self.objects.items():
                if has != kind:
                    continue
                selector = document["spec"]["selector"]
                labels = selector.get("matchLabels", selector)
                pods = [
                    pod["spec"]["template"]
                    for (other, _), pod in self.objects.items()
                    if other == "Deployment"
                    and labels.items()
                    <= pod["spec"]["template"]["metadata"]["labels"].items()
                ]
                self.assertEqual(len(pods), 1, name)
                names = {
                    port["name"] for port in pods[0]["spec"]["containers"][0]["ports"]
                }
                for port in document["spec"].get("ports", ()):
                    self.assertIn(port["targetPort"], names)

    def test_pods_are_hardened(self):
        for name in ("sluice", "sluice-haproxy"):
            pod = self.objects["Deployment", name]["spec"]["template"]["spec"]
            self.assertIs(pod["automountServiceAccountToken"], False)
            self.assertIs(pod["enableServiceLinks"], False)
            self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
            (container,) = pod["containers"]
            context = container["securityContext"]
            self.assertIs(context["readOnlyRootFilesystem"], True)
            self.assertIs(context["allowPrivilegeEscalation"], False)
            self.assertEqual(context["capabilities"]["drop"], ["ALL"])
            self.assertTrue(container["readinessProbe"])

    def test_the_balancer_finds_the_replicas(self):
        container = self.objects["Deployment", "sluice-haproxy"]["spec"]["template"]["spec"]
        namespace, variable = container["containers"][0]["env"]
        self.assertEqual(namespace["valueFrom"]["fieldRef"]["fieldPath"], "metadata.namespace")
        service = self.objects["Service", "sluice"]
        self.assertEqual(service["spec"]["clusterIP"], "None")
        self.assertEqual(
            variable["value"],
            f"{service['metadata']['name']}.$({namespace['name']}).svc.cluster.local",
        )
        text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
        used = set(re.findall(r'"\$\{(\w+)-', text))
        self.assertIn(variable["name"], used)

    def test_compose(self):
        (compose,) = load("compose.yaml")
        services = compose["services"]
        self.assertEqual(services["sluice"]["deploy"]["replicas"], 3)
        for name, service in services.items():
            self.assertIs(service["read_only"], True, name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            for volume in service["volumes"]:
                source = re.sub(r"^\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[0]
                if source.startswith("."):
                    self.assertTrue((DEPLOY / source).exists(), volume)
                else:
                    self.assertIn(source, compose["volumes"])
            if name != "haproxy":
                for port in service.get("ports", ()):
                    self.assertTrue(port.startswith("127.0.0.1:"), port)
        replicas = services["haproxy"]["environment"]["SLUICE_REPLICAS"]
        self.assertIn(replicas, services)
        (prometheus,) = load("prometheus/prometheus.yaml")
        (scrape,) = prometheus["scrape_configs"][0]["dns_sd_configs"]
        self.assertEqual(scrape["names"], [replicas])


if __name__ == "__main__":
    unittest.main()
