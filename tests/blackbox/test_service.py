# SPDX-License-Identifier: Apache-2.0
"""The programs as services: what they tell systemd, and the units that start them."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

import harness
from admin_api import admin_of
from harness import DEADLINE, HOST, ROOT, Process, Relay, binary, closed_port, run, secret_file, write_conf

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
EXPOSURE_MAX = 2.0


class Listener:
    """A socket in systemd's place. A thread takes the messages as they come, as systemd would: few
    of them fit into the socket, and those that do not are lost."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="tnx-notify-")
        self.path = f"{self._folder.name}/s"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._changed = threading.Condition()
        self._lines = []
        self._next = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while message := self._socket.recv(4096):
            with self._changed:
                self._lines += message.decode().split("\n")
                self._changed.notify_all()

    def seen(self):
        with self._changed:
            return list(self._lines)

    def wait(self, wanted):
        """The next line that matches `wanted`, behind the one that was waited for before."""
        until = time.monotonic() + DEADLINE
        with self._changed:
            while True:
                while self._next < len(self._lines):
                    line = self._lines[self._next]
                    self._next += 1
                    if re.fullmatch(wanted, line):
                        return line
                left = until - time.monotonic()
                assert left > 0, f"no {wanted} within {DEADLINE:g} s, but {self._lines}"
                self._changed.wait(left)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.path)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        self._socket.close()
        self._folder.cleanup()


@pytest.fixture
def listener(monkeypatch):
    made = Listener()
    monkeypatch.setitem(harness.ENVIRONMENT, "NOTIFY_SOCKET", made.path)
    monkeypatch.setitem(harness.ENVIRONMENT, "WATCHDOG_USEC", "600000")
    yield made
    made.close()


@pytest.fixture
def relay(tmp_path, listener):
    made = Relay(tmp_path / "relay")
    yield made
    if made.process:
        made.process.kill()


@pytest.fixture
def agent(tmp_path, listener):
    secret_file(tmp_path / "token", "tok" * 11)
    with closed_port() as port:
        conf = write_conf(
            tmp_path / "agent.conf",
            {
                "relay": {
                    "url": f"wss://{HOST}:{port}",
                    "serial": "TNX-0001",
                    "token_file": "token",
                },
                "server": {"url": f"http://{HOST}:{port}"},
                "agent": {"status_socket": Path(listener.path).parent / "status"},
            },
        )
        process = Process("thinknx-agent", "run", "--config", conf)
        yield process, conf
        process.kill()


def service_life(process, conf, listener):
    listener.wait("READY=1")
    for _ in range(3):
        listener.wait("WATCHDOG=1")
    process.signal(signal.SIGHUP)
    listener.wait("RELOADING=1")
    listener.wait("MONOTONIC_USEC=[0-9]+")
    listener.wait("READY=1")
    process.wait_log("configuration reloaded")
    # A broken configuration: the old one stays, and systemd is told that the reload is over.
    good = conf.read_text()
    conf.write_text(good + "\n[nonsense]\nkey = value\n")
    process.signal(signal.SIGHUP)
    listener.wait("RELOADING=1")
    listener.wait("READY=1")
    process.wait_log(r"level=error.*the old one stays.*nonsense")
    process.signal(signal.SIGTERM)
    listener.wait("STOPPING=1")
    process.wait_end()


def test_the_relay_tells_systemd_its_life(relay, listener):
    relay.start()
    service_life(relay.process, relay.conf, listener)


def test_the_agent_tells_systemd_its_life(agent, listener):
    process, conf = agent
    service_life(process, conf, listener)


def test_a_relay_that_takes_over_says_who_is_the_main_process(relay, listener):
    with closed_port() as port:
        relay.configure({"https": {"listen": f"{HOST}:{port}"}, "http": {"listen": None}})
        first = Process("thinknx-relay", "serve", "--config", relay.conf)
        try:
            listener.wait("READY=1")
            first.signal(signal.SIGUSR2)
            listener.wait("READY=1")
            pid = int(listener.wait("MAINPID=[0-9]+").partition("=")[2])
            assert pid != first.pid
            # The old one has ended when the new one, which holds its log, is the only one left.
            first.wait_log(r"msg=stopped")
            listener.wait("WATCHDOG=1")
            # For systemd the service goes on: an old process that is "stopping" would end it.
            assert "STOPPING=1" not in listener.seen()
        finally:
            with contextlib.suppress(UnboundLocalError, ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            first.wait_end()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_is_verified(tmp_path, unit):
    program = unit.stem
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(f"/usr/sbin/{program}", binary(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # It also looks at what the unit wants; that is the machine's.
    complaints = [line for line in done.stdout.splitlines() if unit.name in line]
    assert not complaints, done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_exposes_little(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", unit],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert exposure, done.stdout
    assert float(exposure[1]) <= EXPOSURE_MAX, done.stdout


def test_the_units_are_there():
    assert [unit.stem for unit in UNITS] == ["thinknx-agent", "thinknx-relay"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_waits_longer_for_the_end_than_the_program(unit):
    """systemd would cut what drains: TimeoutStopSec is above the default of [timeouts] drain."""
    stop = int(re.search(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.M)[1])
    settings = harness.run(unit.stem, "check", "--settings").stdout
    drain = int(re.search(r"^drain = (\d+) ", settings, re.M)[1])
    assert stop >= drain + 10


def reload(relay, settings):
    """Gives the names of the settings of which the log says that they stay as they are."""
    start = relay.process.log.count()
    relay.configure(settings)
    relay.process.signal(signal.SIGHUP)
    relay.process.wait_log("configuration reloaded", start)
    lines = relay.process.log.since(start)
    return re.findall(r'changes only with a restart" setting="(.*?)"', "\n".join(lines))


def test_a_reload_says_what_only_a_restart_changes(tmp_path):
    """Those that the manual page marks with an asterisk, and no others."""
    page = (ROOT / "deploy" / "man" / "thinknx-relay.conf.5").read_text()
    marked = {
        f"[{section}] {key}"
        for section, text in re.findall(r"^\.Sh \[(\w+)\]\n(.*?)(?=^\.Sh )", page, re.M | re.S)
        for key in re.findall(r"^\.It Cm (\w+) No =.*\n(?:Required, )?\*\.$", text, re.M)
    }
    relay = Relay(tmp_path / "relay").start()
    other = f"{HOST}:1"
    settings = {
        "relay": {"database": "other.db", "workers": 3, "runtime_file": "other.json", "log_level": "debug",
                  "public_url": "https://other.example"},
        "https": {"listen": other, "plain_listen": other},
        "http": {"listen": [other, f"{HOST}:2"]},
        "limits": {"key_rate": 7, "connections": 77},
        "timeouts": {"server": 7, "drain": 7},
        "admin": {"listen": other, "tls": "yes", "login": "always", "building_metrics": 7},
        "proxy": {"protocol": "forwarded", "trusted": "192.0.2.1"},
    }
    try:
        assert set(reload(relay, settings)) == marked
        relay.process.stop()
    finally:
        relay.process.kill()


def test_a_reload_says_what_stays_beside_what_runs_not_beside_the_last_file(tmp_path):
    relay = Relay(tmp_path / "relay", {"relay": {"workers": 1, "log_level": "error"}})
    relay.process = harness.Process("thinknx-relay", "serve", "--config", relay.conf)
    other = {"relay": {"workers": 2, "log_level": "info"}}
    try:
        harness.wait_until(relay.runtime_file.exists, "started")
        assert reload(relay, other) == ["[relay] workers"]  # at the new level
        assert reload(relay, other) == ["[relay] workers"]  # it still waits
        assert reload(relay, {"relay": {"workers": 1}}) == []  # now nothing does
        relay.process.stop()
    finally:
        relay.process.kill()


def test_a_quiet_log_leaves_out_requests_but_the_pages_have_them(tmp_path):
    admin_listen = {"admin": {"listen": f"{HOST}:0"}}
    building = harness.Building(tmp_path / "building", relay=admin_listen)
    try:
        admin = admin_of(building.relay)
        building.relay.configure({**admin_listen, "relay": {"log_level": "warn"}, "limits": {"key_rate": 777}})
        building.relay.process.signal(signal.SIGHUP)
        harness.wait_until(lambda: admin.get("/limits")["key"]["rate"] == 777, "reloaded")
        start = building.relay.process.log.count()
        assert building.get(building.path("system/serverStatus?quiet")).status == 200
        assert admin.get("/requests")[0]["controller"] == "system/serverStatus"
        building.stop()
        assert building.relay.process.log.since(start) == []
    finally:
        building.kill()


def test_a_reload_changes_the_url_that_a_building_is_told(tmp_path):
    building = harness.Building(tmp_path / "building")
    try:
        assert reload(building.relay, {"relay": {"public_url": "https://moved.example"}}) == []
        made = run("thinknx-agent", "key", "enable", "--json", "--config", building.agent.conf).stdout
        assert json.loads(made)["url"].startswith("https://moved.example/")
        building.stop()
    finally:
        building.kill()
