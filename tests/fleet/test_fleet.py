"""Three replicas behind a balancer: none of what happens to a replica loses a request.

The short form: `table` does it all at length.
"""

import re
import unittest

import scenarios
from fleet import DEPLOY, Fleet, HAProxy, Nginx

RATE = 6  # requests a second, that two slow replicas can carry
IMPATIENT = ("--max-wait", "3")


class FleetTest(unittest.TestCase):
    def test_haproxy(self):
        with Fleet(3) as fleet, HAProxy(fleet) as balancer:
            self.check_metric_names(balancer)
            scenarios.closed_to_the_outside(balancer)
            scenarios.same_request(balancer, 30)
            scenarios.kill_in_turn(balancer, RATE, 3)
            scenarios.stopped_replica(balancer, RATE)
            scenarios.cut_stream(balancer)
            scenarios.rolling_restarts(balancer, RATE, 1)
            scenarios.one_more(balancer)

    def test_overload(self):
        with Fleet(3, *IMPATIENT) as fleet, HAProxy(fleet) as balancer:
            scenarios.overload(balancer, 300, 1)

    def test_nginx(self):
        with Fleet(3) as fleet, Nginx(fleet) as balancer:
            scenarios.closed_to_the_outside(balancer)
            scenarios.same_request(balancer, 30)
            scenarios.kill_in_turn(balancer, RATE, 2)

    def check_metric_names(self, balancer):
        """What the rules and the dashboard ask of HAProxy is there."""
        has = {name for name, _, _ in balancer.metrics().samples}
        for path in ("prometheus/rules.yaml", "grafana/sluice.json"):
            used = set(re.findall(r"\bhaproxy_\w+", (DEPLOY / path).read_text()))
            self.assertTrue(used, path)
            self.assertEqual(used - has, set(), path)


if __name__ == "__main__":
    unittest.main()
