# SPDX-License-Identifier: Apache-2.0
"""What a monitor sees: the metrics, checked by Prometheus's own tool; health and readiness; and
that the alert rules and the dashboard ask for metrics that there are."""

import json
import re
import subprocess

import pytest

from harness import HOST, ROOT, Building, Connection, bound_port

MONITORING = ROOT / "deploy" / "monitoring"


def promtool(*arguments, text=None):
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=text,
        cwd=MONITORING,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def admin(relay, path):
    runtime = json.loads(relay.runtime_file.read_text())
    with Connection((HOST, bound_port(runtime, "admin"))) as connection:
        return connection.request(path)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A building after some calls, with an admin listener."""
    made = Building(
        tmp_path_factory.mktemp("watched"),
        relay={"admin": {"listen": f"{HOST}:0"}, "timeouts": {"probe": "1"}},
    )
    try:
        assert made.get(made.path("system/serverStatus")).status == 200
        assert made.get("/nobody/api/V1/system/serverStatus").status == 403
        yield made
        made.stop()
    finally:
        made.kill()


def metrics(relay):
    return admin(relay, "/metrics").body.decode()


def names(text):
    """Every series that the metrics have, histogram parts included."""
    return set(re.findall(r"^(thinknx_relay_\w+?)(?:\{.*\})? ", text, re.M))


def test_promtool_finds_no_fault_in_the_metrics(watched):
    text = metrics(watched.relay)
    assert not promtool("check", "metrics", text=text).strip()
    assert 'thinknx_relay_requests_total{status="200"}' in text
    assert "thinknx_relay_keys_refused_total 1\n" in text
    assert "thinknx_relay_servers_enabled 1\n" in text
    for secret in (watched.key, watched.token, watched.password):
        assert secret not in text


def test_the_alert_rules_are_right_and_fire_when_they_should():
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts-test.yml")


def test_each_alert_has_its_cases():
    alerts = set(re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text()))
    cases = (MONITORING / "alerts-test.yml").read_text()
    assert alerts == set(re.findall(r"alertname: (\w+)", cases))
    assert int(re.search(r"exp_samples: \[\{labels: '\{\}', value: (\d+)\}\]", cases)[1]) == len(alerts)


@pytest.mark.parametrize("name", ["alerts.yml", "alerts-test.yml", "grafana-dashboard.json"])
def test_only_metrics_that_there_are_are_asked_for(watched, name):
    asked = set(re.findall(r"thinknx_relay_\w+", (MONITORING / name).read_text()))
    assert len(asked) > 5
    assert asked <= names(metrics(watched.relay))


def test_the_dashboard_is_whole():
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    panels = board["panels"]
    assert len(panels) > 10
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"] and panel["targets"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_every_metric_is_on_the_dashboard_or_in_an_alert(watched):
    shown = (MONITORING / "grafana-dashboard.json").read_text()
    shown += (MONITORING / "alerts.yml").read_text()
    families = set(re.findall(r"^# TYPE (thinknx_relay_\w+) ", metrics(watched.relay), re.M))
    assert {name for name in families if name not in shown} <= {"thinknx_relay_workers"}


def test_health_and_readiness(watched):
    assert admin(watched.relay, "/healthz").body == b"ok\n"
    assert admin(watched.relay, "/readyz").body == b"ready\n"
    assert admin(watched.relay, "/readyz?serial=TNX-0001").status == 200
    assert admin(watched.relay, "/readyz?serial=TNX-0002").status == 503
