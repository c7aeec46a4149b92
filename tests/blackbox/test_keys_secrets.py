# SPDX-License-Identifier: Apache-2.0
"""After a full run, no secret is in anything that the three programs leave behind or show of
themselves: database and its journals, backups, logs, metrics, status, /proc."""

import os
import re
import time
from pathlib import Path

import pytest

import harness
from harness import HOST, SERIAL, Process, run

STATUS = "system/serverStatus"


class Watched:
    """Collects the command lines, environments and core limits of processes."""

    def __init__(self):
        self.seen = {}

    def look(self, process):
        folder = Path("/proc") / str(process.pid)
        # Only root may look at the environment of one that is not dumpable.
        for name in ("cmdline", "environ", "comm", "status"):
            try:
                self.seen[f"{process.name} {name}"] = (folder / name).read_bytes()
            except PermissionError:
                assert os.geteuid() != 0
        core = [line for line in (folder / "limits").read_text().splitlines()
                if line.startswith("Max core file size")]
        assert core[0].split()[4:6] == ["0", "0"], f"{process.name} may write a core file"


def secrets_of(building, made):
    """Each secret also in the forms in which it travels."""
    found = {"key": building.key, "token": building.token, "password": building.password}
    found |= {f"key {i}": key for i, key in enumerate(made)}
    return found


def is_in(secret, data):
    forms = [secret, secret[:16], secret[-16:], secret.encode().hex()]
    return [form for form in forms if form.encode() in data]


def full_run(building):
    """Every kind of act and call that has a secret in it; returns the keys that were made."""
    relay, conf = building.relay, building.agent.conf
    made = []
    for options in ((), ("--label", "panel"), ("--read-only", "--guids", "a")):
        made.append(relay.command("key", "enable", SERIAL, *options))
    rotated = relay.command("key", "rotate", made[0]["id"], "--overlap", "1h")
    by_agent = harness.json.loads(run("thinknx-agent", "key", "enable", "--json", "--config",
                                      conf).stdout)
    keys = [m["key"] for m in (*made, rotated, by_agent)]
    relay.command("key", "revoke", made[1]["id"])
    text = building.key
    for arguments in (("key", "revoke", text), ("key", "list", text), ("server", "show", text),
                      ("key", "enable", text), ("server", "disable", building.token)):
        run("thinknx-relay", *arguments, "--config", relay.conf, expect=(1, 2))
    with building.connect() as c:
        until = time.monotonic() + harness.DEADLINE
        while c.request(building.path(STATUS, rotated["key"])).status != 200:
            assert time.monotonic() < until
        for key in (building.key, *keys):
            for call in (STATUS, "power?guid=a&cmd=1", f"{key}/api/V1/power", "unknown", ""):
                c.request(building.path(call, key))
            c.request(f"/{key}?x=1")
            c.request(f"/{key}x/api/V1/power")
        form = ("Content-Type: application/x-www-form-urlencoded",)
        c.request(building.path("power"), "POST", form, b"guid=a&cmd=1")
        c.request(building.path(STATUS), "DELETE")
    for raw in (f"GET {building.path(STATUS)} HTTP/1.1\r\n\r\n",
                f"GET {building.path(STATUS)}\r\n\r\n", f"get\t{building.path(STATUS)} x\r\n\r\n"):
        with building.connect() as c:
            c.send(raw.encode())
            c.rest()
    with building.connect_plain() as c:
        c.request(building.path(STATUS))
    return keys


@pytest.mark.parametrize("auth", ["digest", "basic", "query"])
def test_no_secret_is_left_anywhere(start_building, tmp_path, auth):
    levels = {"relay": {"log_level": "debug"}, "admin": {"listen": f"{HOST}:0"}}
    building = start_building(auth=auth, relay=levels, agent={"agent": {"log_level": "debug"}})
    keys = full_run(building)
    watched = Watched()
    for part in (building.simulator, building.relay, building.agent):
        watched.look(part.process)
    dump = dict(watched.seen)
    runtime = harness.json.loads(building.relay.runtime_file.read_text())
    for page in ("/metrics", "/status", "/readyz", "/healthz"):
        with harness.Connection((HOST, harness.bound_port(runtime, "admin"))) as c:
            dump[page] = c.request(page).body
    for arguments in (("server", "list"), ("key", "list"), ("audit", "--last", "0")):
        for form in ((), ("--json",)):
            done = run("thinknx-relay", *arguments, *form, "--config", building.relay.conf)
            dump[f"{arguments} {form}"] = done.stdout.encode()
    done = run("thinknx-agent", "status", "--json", "--config", building.agent.conf)
    dump["agent status"] = done.stdout.encode()
    building.relay.command("backup", tmp_path / "copy.db")
    # The journal before the end takes it over.
    for path in building.relay.folder.glob("relay.db*"):
        dump[f"running {path.name}"] = path.read_bytes()
    assert any(name.endswith("-wal") for name in dump)
    building.stop()
    for path in [*building.relay.folder.glob("relay.db*"), tmp_path / "copy.db",
                 building.relay.runtime_file, building.relay.conf, building.agent.conf]:
        dump[path.name] = path.read_bytes()
    for part in (building.simulator, building.relay, building.agent):
        dump[f"log of {part.process.name}"] = part.process.log.text().encode()
    assert dump["log of thinknx-relay"].count(b"msg=request") > 40
    for what, data in dump.items():
        for name, secret in secrets_of(building, keys).items():
            found = is_in(secret, data)
            assert not found, f"{name} is in {what}, as {found}"


def test_what_a_command_prints_is_all_that_holds_a_new_key(tmp_path):
    relay = harness.Relay(tmp_path / "relay")
    token = relay.command("server", "add", SERIAL)["token"]
    key = relay.command("key", "enable", SERIAL)["key"]
    for path in relay.folder.rglob("*"):
        for secret in (token, key):
            assert not is_in(secret, path.read_bytes()), path


@pytest.mark.parametrize("end", [lambda process: process.wait_end(expect=2), Process.kill],
                         ids=["ended", "killed"])
@pytest.mark.parametrize("kind", ["key", "token", "password", "private key"])
def test_a_secret_in_the_log_of_any_program_fails_the_test_that_ran_it(tmp_path, kind, end):
    """One of a relay without a building; it stands in the log because it was given as a file's name."""
    relay = harness.Relay(tmp_path / "relay")
    text = {
        "key": lambda: relay.command("server", "add", SERIAL) and relay.command("key", "enable", SERIAL)["key"],
        "token": lambda: re.search(r"\b[A-Za-z0-9]{32}\b", run("thinknx-relay", "server", "add", SERIAL,
                                                              "--config", relay.conf).stdout)[0],
        "password": lambda: harness.secret_file(tmp_path / "password", "pw" * 8).read_text().strip(),
        "private key": lambda: (relay.folder / "key.pem").read_text().splitlines()[1],
    }[kind]()
    process = Process("thinknx-relay", "serve", "--config", f"/nonexistent/{text}")
    process.wait_log("cannot open")
    with pytest.raises(AssertionError, match="a secret is in the log of thinknx-relay"):
        end(process)
