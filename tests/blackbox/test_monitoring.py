# SPDX-License-Identifier: Apache-2.0
"""What a monitor sees: the metrics, checked by Prometheus's own tool; health and readiness; and
that the alert rules and the dashboard ask for metrics that there are."""

import json
import re
import signal
import subprocess
import time

import pytest

from harness import DEADLINE, HOST, ROOT, Building, Connection, Process, Relay, Simulator, bound_port, run, wait_until

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


@pytest.fixture(scope="module")
def bounded(tmp_path_factory):
    """A building whose relay gives one building of four series of its own."""
    made = Building(
        tmp_path_factory.mktemp("bounded"),
        relay={"admin": {"listen": f"{HOST}:0", "building_metrics": 1}, "timeouts": {"offline_grace": 0}},
    )
    try:
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


def series(text, family):
    """The family's lines: labels and value."""
    return dict(re.findall(rf"^thinknx_relay_{family}(\{{.*\}})? (\S+)$", text, re.M))


def wait_series(relay, family, value):
    until = time.monotonic() + DEADLINE
    while (seen := series(metrics(relay), family)) != value:
        assert time.monotonic() < until, seen


def test_each_building_has_series_of_its_own(watched):
    wait_series(watched.relay, "building_online", {'{serial="TNX-0001"}': "1"})
    text = metrics(watched.relay)
    assert series(text, "building_up") == {'{serial="TNX-0001"}': "1"}
    for family in ("building_round_trip_seconds", "building_server_seconds", "client_round_trip_seconds"):
        (seconds,) = series(text, family).values()
        assert 0 < float(seconds) < 1
    requests = series(text, "building_requests_total")
    assert int(requests['{serial="TNX-0001",class="2xx"}']) >= 1
    assert set(requests) == {f'{{serial="TNX-0001",class="{n}xx"}}' for n in (2, 3, 4, 5)}
    assert series(text, "other_buildings") == {"": "0"}


def test_many_buildings_do_not_make_many_series(bounded):
    """Those beyond [admin] building_metrics are counted together, and which ones they are depends on
    nothing but the order in which they were added."""
    relay = bounded.relay
    for serial in ("TNX-9", "AAA-1", "AAA-2"):
        relay.command("server", "add", serial)
    key = relay.command("key", "enable", "AAA-1")["key"]
    relay.command("server", "disable", "AAA-2")
    wait_series(relay, "other_buildings", {"": "2"})
    assert bounded.get(bounded.path("system/serverStatus")).status == 200
    # There were two others before the third was added: the relay may not know the key yet.
    wait_until(
        lambda: bounded.get(bounded.path("system/serverStatus", key)).status == 503, "the key's building is known"
    )
    text = metrics(relay)
    assert not promtool("check", "metrics", text=text).strip()
    assert set(re.findall(r'serial="([^"]*)"', text)) == {"TNX-0001"}
    assert series(text, "other_buildings_requests_total")['{class="5xx"}'] == "1"
    assert (series(text, "other_buildings_up"), series(text, "other_buildings_online")) == ({"": "0"}, {"": "0"})
    # One that gets room begins its own series at 0; what it had stays with the others.
    relay.command("server", "remove", "TNX-0001")
    wait_series(relay, "building_up", {'{serial="TNX-9"}': "0"})
    # A changed number is taken over by a reload.
    relay.configure({"admin": {"listen": f"{HOST}:0", "building_metrics": 0}})
    relay.process.signal(signal.SIGHUP)
    wait_series(relay, "building_up", {})
    assert series(metrics(relay), "other_buildings_requests_total")['{class="5xx"}'] == "1"


def wait_online(relay):
    """The status, once the first end-to-end call through the tunnel was answered."""
    until = time.monotonic() + DEADLINE
    while True:
        done = run("thinknx-relay", "status", "--config", relay.conf, expect=(0, 1))
        if done.returncode == 0:
            return done.stdout
        assert time.monotonic() < until, done.stdout


def test_status_shows_all_three_legs(watched):
    text = wait_online(watched.relay)
    assert re.search(
        r"^CLIENT-RELAY ok for \d+ s: \d+ connections, [1-9]\d* TLS handshakes, \d+ failed, "
        r"certificate ends in \d+ d$",
        text,
        re.M,
    ), text
    titles, row = text.splitlines()[-2:]
    for title in ("RELAY-AGENT", "AGENT-SERVER"):
        assert row[titles.index(title) :].startswith("ok ")
    assert re.match(r"TNX-0001 +online", row)
    assert re.search(
        r"^ +round trip \d+\.\d\d ms \(median of [1-9]\d* within 5 min, latest \d+\.\d\d ms\), "
        r"last call \d+ s ago$",
        text,
        re.M,
    ), text
    agent = run("thinknx-agent", "status", "--config", watched.agent.conf).stdout
    assert re.search(r"^relay wss://\S+ +open ", agent, re.M), agent
    assert re.search(r"^server http://\S+ +ok +\S+ +\d+\.\d+ ms ", agent, re.M), agent


def test_status_for_programs_has_all_three_legs_with_their_times(watched):
    wait_online(watched.relay)
    status = watched.relay.command("status")
    relay, (server,) = status["relay"], status["servers"]
    now = time.time()
    assert relay["client_leg"] == "ok" and now - DEADLINE < relay["client_since"] <= now + 1
    assert relay["client_rtt_samples"] >= 1 and relay["client_since"] - 1 <= relay["last_call"] <= now + 1
    for us in (relay["client_rtt_us"], relay["client_rtt_latest_us"], server["agent_rtt_us"], server["server_us"]):
        assert 0 < us < 1_000_000
    assert (server["tunnel_up"], server["server_leg"]) == (True, "ok")
    agent = json.loads(run("thinknx-agent", "status", "--json", "--config", watched.agent.conf).stdout)
    assert 0 < agent["relays"][0]["rtt_ms"] < 1000 and 0 < agent["server"]["answer_ms"] < 1000


def test_status_of_a_relay_that_nobody_has_called(tmp_path):
    """And of one of two buildings, of none, and from another admin listener, or none."""
    relay = Relay(tmp_path / "relay", {"admin": {"listen": f"{HOST}:0"}})
    simulator = Simulator(tmp_path / "simulator")

    def status(*words, expect=1):
        done = run("thinknx-relay", "status", *words, "--config", relay.conf, expect=expect)
        return done.stdout, done.stderr

    relay.command("server", "add", "TNX-0001")
    relay.command("server", "add", "TNX-0002")
    assert "the relay does not run" in status()[1]
    relay.start()
    try:
        shown = status()[0]
        assert "not known: no call within 5 min, last call none yet" in shown
        assert re.findall(r"^(TNX-\d+) +OFFLINE", shown, re.M) == ["TNX-0001", "TNX-0002"]
        shown = status("TNX-0002")[0]
        assert "TNX-0001" not in shown and "CLIENT-RELAY" not in shown
        assert re.findall(r"^(TNX-\d+) ", shown, re.M) == ["TNX-0002"]
        assert [s["serial"] for s in json.loads(status("TNX-0002", "--json")[0])["servers"]] == ["TNX-0002"]
        assert status("NOBODY") == ("", "thinknx-relay: there is no server NOBODY\n")
        assert "one SERIAL at most" in status("A", "B", expect=2)[1]
        simulator.start()
        for listen, told in ((f"{HOST}:{simulator.port}", "this is no answer of a relay's admin listener"),
                             (f"{HOST}:0", "the admin listener has no fixed port and the relay does not run"),
                             (None, "has no [admin] listen: nothing can be asked")):
            relay.configure({"admin": {"listen": listen}, "relay": {"runtime_file": None}})
            assert told in status()[1]
        simulator.process.stop()
        relay.process.stop()
    finally:
        for part in (simulator, relay):
            if part.process:
                part.process.kill()
        simulator.close()


CA_CONF = """\
[ca]
default_ca = d
[d]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = p
[p]
commonName = supplied
"""


def test_a_certificate_that_has_ended_is_a_broken_leg(tmp_path):
    relay = Relay(tmp_path / "relay", {"admin": {"listen": f"{HOST}:0"}}).start()
    (tmp_path / "index").touch()
    (tmp_path / "ca.conf").write_text(CA_CONF)
    try:
        for command in (
            ("req", "-new", "-key", relay.folder / "key.pem", "-subj", "/CN=localhost", "-out", "request.pem"),
            ("ca", "-batch", "-selfsign", "-config", "ca.conf", "-keyfile", relay.folder / "key.pem", "-notext",
             "-in", "request.pem", "-out", relay.folder / "cert.pem", "-startdate", "20010101000000Z",
             "-enddate", "20010102000000Z"),
        ):
            subprocess.run(["openssl", *map(str, command)], cwd=tmp_path, check=True, capture_output=True)
        start = relay.process.log.count()
        relay.process.signal(signal.SIGHUP)
        relay.process.wait_log("configuration reloaded", start)
        shown = run("thinknx-relay", "status", "--config", relay.conf).stdout
        assert re.search(r"^CLIENT-RELAY broken for \d+ d: .*, certificate has ended$", shown, re.M), shown
        assert relay.command("status")["relay"]["client_since"] == 978393600
        assert "thinknx_relay_certificate_expiry_time_seconds 978393600\n" in metrics(relay)
        relay.process.stop()
    finally:
        relay.process.kill()


@pytest.mark.parametrize("program", ["thinknx-relay", "thinknx-agent"])
def test_status_is_watched_over_and_over(watched, program):
    conf = watched.relay.conf if program == "thinknx-relay" else watched.agent.conf
    watching = Process(program, "status", "--watch", "--config", conf)
    try:
        shown = "RELAY-AGENT" if program == "thinknx-relay" else "ROUND TRIP"
        watching.wait_log(shown)
        start = watching.log.count()
        watching.wait_log(shown, start)
    finally:
        watching.kill()
