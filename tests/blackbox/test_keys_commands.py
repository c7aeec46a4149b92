# SPDX-License-Identifier: Apache-2.0
"""The commands for servers and keys, beside a running relay and without one; what they change is
live within half a second."""

import datetime
import json
import os
import re
import subprocess
import time

import pytest

import harness
import tools
from harness import HOST, SERIAL, Process, run

STATUS = "system/serverStatus"
LIVE_WITHIN = 0.5  # seconds
# More, on a busy machine with the sanitizers. What is judged strictly is a revocation, by the best of a
# few tries: test_front_keys.py, tests/unit/store/store.c.
BUSY = 1.0
OTHER_SERIAL = "TNX-0002"
KEY = re.compile(r"[A-Za-z0-9]{32}")


def wait_until(found, what, deadline=harness.DEADLINE):
    """Asks again and again; what is asked is a program, which has no event to wait for. Returns how
    long it took."""
    start = time.monotonic()
    while not found():
        assert time.monotonic() < start + deadline, f"not {what} within {deadline:g} s"
    return time.monotonic() - start


def reason(building, key):
    answer = building.get(building.path(STATUS, key))
    return "served" if answer.status == 200 else answer.json()["reason"]


def human(relay, *arguments, expect=0):
    return run("thinknx-relay", *arguments, "--config", relay.conf, expect=expect)


def agent_key(building, *arguments, expect=0):
    return run("thinknx-agent", "key", *arguments, "--config", building.agent.conf, expect=expect)


@tools.needs(os.geteuid() == 0, "sudo and other users need root")
def test_the_trail_names_who_became_root_and_users_without_a_name(tmp_path):
    relay = harness.Relay(tmp_path / "relay")
    for caller in ("alice", "root", "evil) x", "a\nb", "", "x" * 200):
        run("thinknx-relay", "server", "add", f"S-{len(caller)}", "--config", relay.conf,
            variables={"SUDO_USER": caller})
    nobody = 54321  # nobody has this number
    for path in (relay.folder, *relay.folder.iterdir()):
        os.chown(path, nobody, nobody)
    for folder in relay.folder.parents:
        if folder.owner() == "root" and folder.is_relative_to("/tmp/"):
            folder.chmod(0o755)
    subprocess.run(
        ["/usr/bin/setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", "--",
         harness.binary("thinknx-relay"), "server", "add", "S-X", "--config", str(relay.conf)],
        env=harness.environment(), capture_output=True, check=True)
    who = [row["who"] for row in relay.command("audit")]
    assert [w[:60] for w in who] == [f"operator:{nobody}", who[1][:60], "operator:root", "operator:root",
                                     "operator:root", "operator:root", "operator:root(alice)"]
    assert re.fullmatch(r"operator:root\(x{1,64}\)", who[1])


def check_commands(relay, key_works):
    """All of the commands, in the forms that other programs rely on."""
    made = relay.command("server", "add", OTHER_SERIAL, "--name", "House on the hill")
    assert made["serial"] == OTHER_SERIAL and KEY.fullmatch(made["token"])
    (server,) = [s for s in relay.command("server", "list") if s["serial"] == OTHER_SERIAL]
    assert (server["state"], server["name"]) == ("enabled", "House on the hill")
    assert relay.command("server", "show", OTHER_SERIAL) == server
    for verb, state in (("disable", "disabled"), ("enable", "enabled")):
        assert relay.command("server", verb, OTHER_SERIAL)["state"] == state
    first = relay.command("key", "enable", OTHER_SERIAL, "--label", "hotel", "--rate", 5)
    second = relay.command("key", "rotate", first["id"], "--overlap", "1h")
    for key in (first, second):
        assert set(key) == {"id", "serial", "key", "url"} and key["serial"] == OTHER_SERIAL
        assert KEY.fullmatch(key["key"])
        assert key["url"] == f"{harness.PUBLIC_URL}/{key['key']}/api/V1/"
        assert key_works(key["key"])
    listed = {k["id"]: k for k in relay.command("key", "list", OTHER_SERIAL)}
    assert [listed[k["id"]]["state"] for k in (first, second)] == ["rotated", "active"]
    assert all(k["label"] == "hotel" and k["rate"] == 5 for k in listed.values())
    assert relay.command("key", "revoke", second["id"])["id"] == second["id"]
    states = {k["id"]: k["state"] for k in relay.command("key", "list")}
    assert states[second["id"]] == "revoked"
    table = human(relay, "key", "list", OTHER_SERIAL).stdout.splitlines()
    assert table[0].startswith("ID") and len(table) == 3 and "revoked" in table[2]
    assert OTHER_SERIAL in human(relay, "server", "list").stdout
    assert "House on the hill" in human(relay, "server", "show", OTHER_SERIAL).stdout
    trail = relay.command("audit", "--object", OTHER_SERIAL)
    assert [row["what"] for row in trail[::-1]] == [
        "server.add", "server.disable", "server.enable", "key.enable", "key.rotate", "key.revoke"]
    assert relay.command("server", "remove", OTHER_SERIAL)["serial"] == OTHER_SERIAL
    assert relay.command("key", "list") == [] or SERIAL in str(relay.command("key", "list"))
    for key in (first, second, made):
        assert key.get("key", made["token"]) not in str(listed) + str(trail) + "\n".join(table)


def test_all_commands_work_without_a_running_relay(tmp_path):
    check_commands(harness.Relay(tmp_path / "relay"), lambda key: True)


def test_all_commands_work_beside_a_running_relay(start_building):
    building = start_building(auth="none")

    def key_works(key):
        wait_until(lambda: reason(building, key) != "key_refused", "known")
        return reason(building, key) == "server_offline"

    check_commands(building.relay, key_works)
    assert reason(building, building.key) == "served"


def test_a_new_key_works_and_a_revoked_one_ends_within_half_a_second(start_building):
    building = start_building(auth="none")
    with building.connect() as c:
        made = building.relay.command("key", "enable", SERIAL)
        path = building.path(STATUS, made["key"])
        assert wait_until(lambda: c.request(path).status == 200, "live") < LIVE_WITHIN + BUSY
        building.relay.command("key", "revoke", made["id"])
        # On a connection that stays open.
        assert wait_until(lambda: c.request(path).status == 403, "over") < LIVE_WITHIN + BUSY
        assert c.request(building.path(STATUS)).status == 200


def test_a_changed_key_is_another_within_half_a_second_and_keeps_its_text(start_building):
    building = start_building(auth="none")
    made = building.relay.command("key", "enable", SERIAL, "--label", "old")
    command = building.path("system/sendKNXbit?group=1/2/3&value=1", made["key"])

    def change(*options):
        return human(building.relay, "key", "change", made["id"], *options).stdout

    with building.connect() as c:
        wait_until(lambda: c.request(command).status == 200, "live")
        # On a connection that stays open, each way.
        shown = change("--read-only")
        assert wait_until(lambda: c.request(command).status == 403, "restricted") < LIVE_WITHIN + BUSY
        shown += change("--everything", "--cidrs", "192.0.2.0/24")
        path = building.path(STATUS, made["key"])
        assert wait_until(lambda: c.request(path).status == 403, "shut out") < LIVE_WITHIN + BUSY
        shown += change("--everything", "--rate", 1, "--burst", 1)

        def is_limited():
            return [c.request(path).status for _ in range(3)][-1] == 429

        assert wait_until(is_limited, "limited") < LIVE_WITHIN + BUSY
        shown += change("--rate", 0, "--label", "new", "--json")
        assert wait_until(lambda: c.request(path).status == 200 and not is_limited(), "free") < LIVE_WITHIN + BUSY
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        shown += change("--expires", soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
        wait_until(lambda: c.request(path).status == 403, "over")
    assert made["key"] not in shown
    rows = [r["detail"] for r in building.relay.command("audit", "--what", "key.change")]
    assert rows[-1] == "read_only none to true"
    assert rows[2] == 'rate default to 1/1, cidrs ["192.0.2.0/24"] to none'
    assert rows[1] == 'label "old" to "new", rate 1/1 to default'
    assert "has expired" in human(building.relay, "key", "change", made["id"], "--expires", "never", expect=1).stderr


def test_a_renewed_token_ends_the_tunnel_that_has_the_old_one(start_building):
    building = start_building(auth="none")
    start, at_agent = building.relay.process.log.count(), building.agent.process.log.count()
    token = building.relay.command("server", "token", SERIAL)["token"]
    done = time.monotonic()
    building.relay.process.wait_log("tunnel closed", start)
    assert time.monotonic() - done < LIVE_WITHIN + BUSY
    # Whoever held the old one may not come back with it.
    building.relay.process.wait_log("agent refused", start)
    building.agent.process.wait_log("token", at_agent)
    assert reason(building, building.key) == "server_offline"
    harness.secret_file(building.agent.folder / "agent.token", token)
    building.agent.process.signal(harness.signal.SIGHUP)
    building.relay.wait_tunnel(start)
    wait_until(lambda: reason(building, building.key) == "served", "served")
    building.token = token


def test_changes_of_a_server_that_do_not_concern_its_tunnel_leave_it_alone(start_building):
    building = start_building(auth="none")
    start = building.relay.process.log.count()
    building.relay.command("server", "change", SERIAL, "--name", "x", "--command-rate", 1000)
    # The limit is seen to be live, so the change has arrived.
    made = building.relay.command("key", "enable", SERIAL)["key"]
    wait_until(lambda: reason(building, made) == "served", "served")
    assert not [line for line in building.relay.process.log.since(start) if "tunnel" in line]


def test_both_keys_work_during_the_overlap_of_a_rotation(start_building):
    building = start_building(auth="none")
    old = building.relay.command("key", "enable", SERIAL)
    new = building.relay.command("key", "rotate", old["id"], "--overlap", "3s")
    rotated = time.monotonic()
    wait_until(lambda: reason(building, new["key"]) == "served", "served")
    assert reason(building, old["key"]) == "served" or time.monotonic() - rotated > 2
    wait_until(lambda: reason(building, old["key"]) == "key_refused", "over")
    assert time.monotonic() - rotated > 1.9  # whole seconds of the wall clock
    assert reason(building, new["key"]) == "served"
    human(building.relay, "key", "rotate", old["id"], expect=1)
    newest = building.relay.command("key", "rotate", new["id"], "--overlap", 0)
    wait_until(lambda: reason(building, newest["key"]) == "served", "served")
    assert reason(building, new["key"]) == "key_refused"


def test_a_key_expires_on_an_open_connection(start_building):
    building = start_building(auth="none")
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    made = building.relay.command("key", "enable", SERIAL, "--expires",
                                  soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    with building.connect() as c:
        path = building.path(STATUS, made["key"])
        wait_until(lambda: c.request(path).status == 200, "live")
        wait_until(lambda: c.request(path).status == 403, "over")
    (key,) = [k for k in building.relay.command("key", "list") if k["id"] == made["id"]]
    assert key["state"] == "expired"


def test_last_use_is_told_within_seconds_and_at_the_end(start_building):
    building = start_building(auth="none")
    unused = building.relay.command("key", "enable", SERIAL)["id"]

    def last_used():
        return {k["id"]: k["last_used_at"] for k in building.relay.command("key", "list")}

    assert last_used()[building.key_id] is None
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    assert reason(building, building.key) == "served"
    wait_until(lambda: last_used()[building.key_id] is not None, "written")
    told = datetime.datetime.fromisoformat(last_used()[building.key_id].replace("Z", "+00:00"))
    assert before <= told <= datetime.datetime.now(datetime.timezone.utc)
    assert last_used()[unused] is None
    second = building.relay.command("key", "enable", SERIAL)
    wait_until(lambda: reason(building, second["key"]) == "served", "served")
    building.relay.process.stop()
    assert last_used()[second["id"]] is not None


def test_a_building_enables_lists_and_revokes_its_keys(start_building):
    building = start_building(auth="none")
    made = json.loads(agent_key(building, "enable", "--label", "panel", "--json").stdout)
    assert set(made) == {"id", "serial", "key", "url"} and made["serial"] == SERIAL
    assert made["url"] == f"{harness.PUBLIC_URL}/{made['key']}/api/V1/"
    # Told only when it works already.
    assert reason(building, made["key"]) == "served"
    listed = json.loads(agent_key(building, "list", "--json").stdout)
    assert [k["id"] for k in listed] == [building.key_id, made["id"]]
    assert listed[1]["label"] == "panel" and made["key"] not in str(listed)
    assert made["id"] in agent_key(building, "list").stdout
    assert "panel" in agent_key(building, "list").stdout
    agent_key(building, "revoke", made["id"])
    assert reason(building, made["key"]) == "key_refused"
    shown = agent_key(building, "enable").stdout
    key = KEY.search(shown)[0]
    assert reason(building, key) == "served" and f"{harness.PUBLIC_URL}/{key}/api/V1/" in shown
    rows = building.relay.command("audit", "--who", f"agent:{SERIAL}")
    assert [r["what"] for r in rows[::-1]] == ["key.enable", "key.revoke", "key.enable"]
    assert not any(r["refused"] for r in rows)


def test_the_operator_may_forbid_it(start_building):
    building = start_building(auth="none")
    building.relay.command("server", "change", SERIAL, "--building-keys", "no")
    n = len(building.relay.command("key", "list"))

    def is_refused():
        done = agent_key(building, "enable", expect=(0, 1))
        return done.returncode == 1 and "operator" in done.stderr

    wait_until(is_refused, "refused")
    made = building.relay.command("key", "list")[n:]
    agent_key(building, "enable", expect=1)
    assert building.relay.command("key", "list")[n:] == made
    # Taking away is always allowed; what is another building's is nobody's.
    building.relay.command("server", "add", OTHER_SERIAL)
    foreign = building.relay.command("key", "enable", OTHER_SERIAL)
    done = agent_key(building, "revoke", foreign["id"], expect=1)
    assert "no key" in done.stderr
    agent_key(building, "revoke", building.key_id)
    assert reason(building, building.key) == "key_refused"
    refused = building.relay.command("audit", "--who", f"agent:{SERIAL}", "--refused")
    assert {r["what"] for r in refused} == {"key.enable", "key.revoke"}
    building.relay.command("server", "change", SERIAL, "--building-keys", "yes")
    wait_until(lambda: agent_key(building, "enable", expect=(0, 1)).returncode == 0, "allowed")


def test_server_add_makes_a_folder_that_an_agent_runs_from(start_building, tmp_path):
    """The installer copies one thing and says where the server is."""
    building = start_building(auth="none", start=False)
    relay, folder = building.relay, tmp_path / "kit"
    public_url = f"https://{HOST}:{relay.https[1]}"
    relay.configure({"relay": {"public_url": public_url}})
    human(relay, "server", "add", OTHER_SERIAL, "--out", folder)
    conf = folder / "agent.conf"
    assert (folder / "agent.token").stat().st_mode & 0o777 == 0o600
    assert re.search(r"SHA-256 of ca.pem: ([0-9A-F]{2}:){31}[0-9A-F]{2}", conf.read_text())
    text = conf.read_text().replace("http://127.0.0.1:5051", building.simulator.url)
    conf.write_text(text + f"[agent]\nstatus_socket = {tmp_path}/s\n")
    key = relay.command("key", "enable", OTHER_SERIAL)
    assert key["url"].startswith(public_url)
    agent = Process("thinknx-agent", "run", "--config", conf)
    try:
        relay.wait_tunnel(serial=OTHER_SERIAL)
        wait_until(lambda: reason(building, key["key"]) == "served", "served")
        agent.stop()
    finally:
        agent.kill()


def test_two_processes_may_add_the_same_server_and_one_is_told(tmp_path):
    relay = harness.Relay(tmp_path / "relay")
    adding = [Process("thinknx-relay", "server", "add", SERIAL, "--config", relay.conf)
              for _ in range(4)]
    codes = []
    for process in adding:
        process.log.join()
        codes.append(process._popen.wait())  # pylint: disable=protected-access
        process.wait_end(expect=codes[-1])
    assert sorted(codes) == [0, 1, 1, 1]


@pytest.mark.parametrize("secret", ["key", "token"])
def test_a_secret_given_in_the_wrong_place_is_not_repeated(start_building, secret):
    building = start_building(auth="none")
    text = building.key if secret == "key" else building.token
    shown = ""
    for arguments in (("key", "revoke", text), ("key", "rotate", text), ("key", "list", text),
                      ("server", "show", text), ("server", "disable", text),
                      ("key", "enable", text)):
        done = human(building.relay, *arguments, expect=(1, 2))
        shown += done.stdout + done.stderr
    shown += str(building.relay.command("audit", "--last", 0))
    assert text not in shown
    # Nor where a client puts it.
    for call in (f"{text}/api/V1/power", f"power/{text}", text):
        building.get(building.path(call))
    building.get(f"/{text}x/{text}")
    assert text not in building.relay.process.log.text()


def test_a_name_that_is_no_utf8_hides_no_building_from_status(start_building):
    """Typed in a terminal with an old encoding."""
    building = start_building(relay={"admin": {"listen": f"{HOST}:0"}})
    building.relay.command("server", "add", OTHER_SERIAL, "--name", "M\udcfcller")
    done = human(building.relay, "status", "--json", expect=(0, 1))
    names = {server["serial"]: server["name"] for server in json.loads(done.stdout)["servers"]}
    assert names == {SERIAL: "", OTHER_SERIAL: "M?ller"}
