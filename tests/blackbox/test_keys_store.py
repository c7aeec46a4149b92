# SPDX-License-Identifier: Apache-2.0
"""The database under bad circumstances: processes that are killed, a full disk, a read-only one, a
file of a newer version, a backup in the middle of it all."""

import concurrent.futures
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

import harness
import known_secrets
import tools
from admin_api import admin_of
from harness import HOST, SERIAL, binary, run

STATUS = "system/serverStatus"
CREATIONS = 200
CREATORS = 3
RELAY_KILLS = (50, 100, 150)  # after so many creations
DISK_BYTES = 2 << 20

needs_mount = tools.needs(
    os.geteuid() == 0 and subprocess.run(["/usr/bin/unshare", "-m", "/bin/true"], stderr=subprocess.DEVNULL,
                                         check=False).returncode == 0,
    "mounting needs root")


def wait_until(found, what, deadline=harness.DEADLINE):
    until = time.monotonic() + deadline
    while not found():
        assert time.monotonic() < until, f"not {what} within {deadline:g} s"


def query(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def assert_sound(path):
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA foreign_key_check") == []


def restart(building, **conf):
    """The same port again, so that the agent finds it."""
    merged = {"https": {"listen": f"{HOST}:{building.relay.https[1]}"}, **conf}
    building.relay.configure(merged)
    start = time.monotonic()
    building.relay.start()
    building.relay.wait_tunnel()
    return time.monotonic() - start


def works(building, key):
    return building.get(building.path(STATUS, key)).status == 200


# --- the connection history ---------------------------------------------------------------------


def test_the_connection_history_outlives_a_restart_and_a_kill(start_building):
    admin = {"admin": {"listen": f"{HOST}:0"}}
    building = start_building(auth="none", relay={**admin, "timeouts": {"probe": 1}})

    def history():
        return [(e["leg"], e["up"]) for e in admin_of(building.relay).get(f"/servers/{SERIAL}/history")]

    first = [("server", True), ("tunnel", True)]
    wait_until(lambda: history() == first, "written")
    building.relay.process.stop()
    restart(building, **admin)
    wait_until(lambda: ("tunnel", True) in history()[:2], "back")
    assert history()[-4:] == [("relay", True), ("tunnel", False), *first]
    down = admin_of(building.relay).get(f"/servers/{SERIAL}/history")[-3]
    assert down["reason"] == "shutdown"
    kept = len(history())
    building.agent.process.stop()
    wait_until(lambda: history()[0] == ("tunnel", False), "written")
    last = admin_of(building.relay).get(f"/servers/{SERIAL}")["tunnel"]
    building.relay.process.kill()
    building.relay.configure(admin)
    building.relay.start()
    assert history()[0] == ("relay", True) and history()[-4:] == [("relay", True), ("tunnel", False), *first]
    assert len(history()) >= kept + 2
    # Since when it is away is known without having seen it go.
    now = admin_of(building.relay).get(f"/servers/{SERIAL}")["tunnel"]
    assert (now["tunnel_since"], now["tunnel_reason"]) == (last["tunnel_since"], last["tunnel_reason"])
    assert not now["tunnel_up"] and now["connections"] == 0
    assert_sound(building.relay.folder / "relay.db")


# --- kill -9 ------------------------------------------------------------------------------------


def kill_by_output(process):
    """From now on the kernel sends the process SIGKILL when it writes to its pipe: what it has written
    can be read, and it does nothing more."""
    fd = process.stdout.fileno()
    fcntl.fcntl(fd, fcntl.F_SETOWN, process.pid)
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)


class Creators:
    """Threads that make keys with the command. Of ten, three are killed at any moment of the time that
    one takes, and two by the kernel in the very call with which they print their key."""

    def __init__(self, building, n, seed):
        self.building = building
        self.left = n
        self.done = 0
        self.printed = []
        self.killed = 0  # before they printed
        self.killed_printing = 0
        self.random = random.Random(seed)
        start = time.monotonic()
        building.relay.command("key", "list")
        self.takes = time.monotonic() - start
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.make, daemon=True) for _ in range(CREATORS)]
        for thread in self.threads:
            thread.start()

    def make(self):
        while True:
            with self.changed:
                if self.left == 0:
                    return
                self.left -= 1
                fate = self.random.random()
                # Three at once take longer than one.
                patience = self.random.uniform(0, 2 * self.takes) if fate < 0.3 else None
            self.make_one(patience, fate > 0.8)

    def make_one(self, patience, dies_printing):
        command = [binary("thinknx-relay"), "key", "enable", SERIAL, "--json"]
        with subprocess.Popen([*command, "--config", str(self.building.relay.conf)],
                              env=harness.environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            if dies_printing:
                kill_by_output(process)
            try:
                out, err = process.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
        with self.changed:
            self.done += 1
            if out:
                self.printed.append(json.loads(out))
                self.killed_printing += dies_printing and process.returncode == -9
                known_secrets.keep_made(self.printed[-1])
            elif process.returncode == -9:
                self.killed += 1
            else:
                raise AssertionError(err)
            self.changed.notify_all()

    def wait(self, n):
        with self.changed:
            assert self.changed.wait_for(lambda: self.done >= n, 240)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_key_that_was_printed_works_though_all_are_killed(start_building):
    building = start_building(auth="none")
    creators = Creators(building, CREATIONS, seed=5)
    for n in RELAY_KILLS:
        creators.wait(n)
        building.relay.process.kill()
        restart(building)
    creators.wait(CREATIONS)
    for thread in creators.threads:
        thread.join()
    assert creators.killed > 5, "nothing was killed"
    assert creators.killed_printing > 5, "nothing was killed as it printed"
    assert len(creators.printed) + creators.killed == CREATIONS
    building.relay.process.kill()
    path = building.relay.folder / "relay.db"
    assert_sound(path)
    restart(building)
    with building.connect() as c:
        for made in creators.printed:
            assert c.request(building.path(STATUS, made["key"])).status == 200
    # A key and its row in the trail are one: both or neither.
    (rows,), = query(path, "SELECT count(*) FROM audit WHERE what = 'key.enable'")
    (keys,), = query(path, "SELECT count(*) FROM keys")
    assert rows == keys and len(creators.printed) + 1 <= keys <= CREATIONS + 1
    ids = [made["id"] for made in creators.printed]
    assert len(set(ids)) == len(ids)


# --- disks --------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(*arguments, at):
    subprocess.run(["/usr/bin/mount", *arguments, str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["/usr/bin/umount", "--lazy", str(at)], check=True)


def fill(path):
    """Takes all that is left of the disk."""
    with open(path, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"x" * 4096)
    with open(path, "ab", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"x")


def fails(building, *arguments, sentence):
    """An act that must fail loudly, and say why."""
    done = run("thinknx-relay", *arguments, "--config", building.relay.conf, expect=1)
    assert sentence in done.stderr and done.stdout == "", done.stderr


def admin(building, target):
    runtime = json.loads(building.relay.runtime_file.read_text())
    with harness.Connection((HOST, harness.bound_port(runtime, "admin"))) as c:
        return c.request(target)


@needs_mount
def test_a_full_disk_stops_no_call_and_every_act_says_so(start_building, tmp_path):
    building = start_building(auth="none")
    disk = tmp_path / "disk"
    disk.mkdir()
    building.relay.process.stop()
    with mounted("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", at=disk):
        shutil.move(building.relay.folder / "relay.db", disk / "relay.db")
        moved = {"relay": {"database": str(disk / "relay.db")},
                 "admin": {"listen": f"{HOST}:0"}}
        restart(building, **moved)
        assert works(building, building.key)
        before = building.relay.command("key", "list")
        fill(disk / "filler")
        full = "disk"
        for arguments in (("key", "enable", SERIAL), ("server", "add", "TNX-0009"),
                          ("server", "disable", SERIAL), ("key", "revoke", building.key_id)):
            fails(building, *arguments, sentence=full)
        run("thinknx-agent", "key", "enable", "--config", building.agent.conf, expect=1)
        # Serving goes on, also when the last-used times cannot be written.
        building.relay.process.wait_log("store fails")
        with building.connect() as c:
            for _ in range(20):
                assert c.request(building.path(STATUS)).status == 200
        assert admin(building, "/readyz").status == 503
        listed = building.relay.command("key", "list")
        assert [k["id"] for k in listed] == [k["id"] for k in before]
        (disk / "filler").unlink()
        start = building.relay.process.log.count()
        made = building.relay.command("key", "enable", SERIAL)
        wait_until(lambda: works(building, made["key"]), "live")
        building.relay.process.wait_log("store works again", start)
        wait_until(lambda: admin(building, "/readyz").status == 200, "ready")
        building.relay.process.stop()
        assert_sound(disk / "relay.db")
        shutil.move(disk / "relay.db", building.relay.folder / "relay.db")
    restart(building)


@needs_mount
def test_an_init_that_finds_no_room_leaves_nothing_and_can_be_repeated(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    init = ("init", "--dir", disk, "--host", "localhost")
    # Enough files for the database with what it needs meanwhile, but not for all certificates.
    with mounted("-t", "tmpfs", "-o", "nr_inodes=5", "tmpfs", at=disk):
        done = run("thinknx-relay", *init, expect=1)
        assert "cannot create" in done.stderr and "No space left" in done.stderr
        assert list(disk.iterdir()) == []
        subprocess.run(["/usr/bin/mount", "-o", "remount,nr_inodes=100", str(disk)], check=True)
        run("thinknx-relay", *init)
        run("thinknx-relay", "check", "--config", disk / "relay.conf")


@needs_mount
def test_a_relay_starts_and_serves_from_a_read_only_disk(start_building, tmp_path):
    building = start_building(auth="none")
    disk = tmp_path / "a disk?%41#"  # nothing in a path may be taken for a part of a URI
    disk.mkdir()
    building.relay.process.stop()
    shutil.move(building.relay.folder / "relay.db", disk / "relay.db")
    moved = {"relay": {"database": str(disk / "relay.db")}}
    with mounted("--bind", str(disk), at=disk):
        subprocess.run(["/usr/bin/mount", "-o", "remount,ro,bind", str(disk)], check=True)
        restart(building, **moved)
        building.relay.process.wait_log("read-only")
        assert works(building, building.key)
        fails(building, "key", "enable", SERIAL, sentence="read-only")
        fails(building, "server", "disable", SERIAL, sentence="read-only")
        run("thinknx-agent", "key", "enable", "--config", building.agent.conf, expect=1)
        assert len(building.relay.command("key", "list")) == 1
        # What is left to do with such a disk.
        copy = tmp_path / "copy.db"
        done = run("thinknx-relay", "backup", copy, "--config", building.relay.conf)
        assert "not in the audit trail" in done.stderr
        assert_sound(copy)
        building.relay.process.wait_log("store fails")
        assert works(building, building.key)
        building.relay.process.stop()
    assert_sound(disk / "relay.db")
    restart(building, **moved)
    building.relay.command("key", "enable", SERIAL)


def test_a_database_that_another_process_keeps_locked_stops_no_call_and_every_act_says_so(start_building, tmp_path):
    building = start_building(auth="none", relay={"admin": {"listen": f"{HOST}:0"}})
    conf, before = building.relay.conf, building.relay.command("key", "list")
    password = harness.secret_file(tmp_path / "password", "a good password")
    run("thinknx-relay", "operator", "add", "alice", "--password-file", password, "--config", conf)
    acts = [
        ("key", "enable", SERIAL), ("key", "rotate", building.key_id), ("key", "revoke", building.key_id),
        ("key", "change", building.key_id, "--label", "x"),
        ("server", "add", "TNX-0009"), ("server", "change", SERIAL, "--name", "x"), ("server", "token", SERIAL),
        ("server", "disable", SERIAL), ("server", "remove", SERIAL),
        ("operator", "add", "bob", "--password-file", password), ("operator", "remove", "alice"),
        ("operator", "password", "alice", "--password-file", password),
    ]
    with contextlib.closing(sqlite3.connect(building.relay.folder / "relay.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with concurrent.futures.ThreadPoolExecutor(len(acts) + 1) as pool:
            tried = [pool.submit(fails, building, *act, sentence="locked by another process") for act in acts]
            asked = pool.submit(run, "thinknx-agent", "key", "enable", "--config", building.agent.conf, expect=1)
            with building.connect() as c:
                while concurrent.futures.wait(tried, 0.05).not_done:
                    assert c.request(building.path(STATUS)).status == 200
            for one in (*tried, asked):
                one.result()
        listed = building.relay.command("key", "list")
        other.execute("ROLLBACK")
    assert [k["id"] for k in listed] == [k["id"] for k in before]
    made = building.relay.command("key", "enable", SERIAL)
    wait_until(lambda: works(building, made["key"]), "live")
    wait_until(lambda: admin(building, "/readyz").status == 200, "ready")
    assert len(building.relay.command("operator", "list")) == 1


@tools.needs(os.geteuid() == 0, "becoming another user needs root")
def test_another_user_can_change_and_read_nothing(tmp_path):
    relay = harness.Relay(tmp_path / "relay")
    for folder in (relay.folder, *relay.folder.parents):
        if folder.owner() == "root" and folder.is_relative_to("/tmp/"):
            folder.chmod(0o755)
    relay.conf.chmod(0o644)
    for arguments in (("key", "list"), ("server", "add", SERIAL), ("backup", "/tmp/no.db")):
        done = subprocess.run(
            ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
             binary("thinknx-relay"), *arguments, "--config", str(relay.conf)],
            env=harness.environment(), capture_output=True, text=True, check=False)
        assert done.returncode in (1, 126, 127) and done.stdout == "", done
    assert query(relay.folder / "relay.db", "SELECT count(*) FROM servers") == [(0,)]


# --- versions, backups --------------------------------------------------------------------------


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path):
    relay = harness.Relay(tmp_path / "relay")
    relay.command("server", "add", SERIAL)
    path = relay.folder / "relay.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    for arguments in (("server", "list"), ("key", "enable", SERIAL), ("audit",), ("serve",)):
        done = run("thinknx-relay", *arguments, "--config", relay.conf, expect=(1, 2))
        assert "newer thinknx-relay" in done.stderr and "99" in done.stderr
    assert path.read_bytes() == before


def test_a_damaged_database_is_found_at_start(tmp_path):
    relay = harness.Relay(tmp_path / "relay")
    relay.command("server", "add", SERIAL)
    for _ in range(3):
        relay.command("key", "enable", SERIAL, "--label", "x" * 100)
    path = relay.folder / "relay.db"
    (root,), = query(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'keys'")
    (size,), = query(path, "PRAGMA page_size")
    with open(path, "r+b") as f:
        f.seek((root - 1) * size + 8)
        f.write(os.urandom(200))
    done = run("thinknx-relay", "serve", "--config", relay.conf, expect=(1, 2))
    assert "damaged" in done.stderr and "backup" in done.stderr


def test_a_backup_made_while_keys_are_made_is_whole_and_restores(start_building, tmp_path):
    building = start_building(auth="none")
    before = building.relay.command("key", "enable", SERIAL)
    creators = Creators(building, 12, seed=7)
    copies = []
    while creators.done < 12:
        copies.append(tmp_path / f"copy-{len(copies)}.db")
        made = building.relay.command("backup", copies[-1])
        assert made["bytes"] == copies[-1].stat().st_size
    creators.wait(12)
    for thread in creators.threads:
        thread.join()
    for copy in copies:
        assert_sound(copy)
        assert copy.stat().st_mode & 0o777 == 0o600
        assert not copy.with_name(copy.name + "-wal").exists()
    after = building.relay.command("key", "enable", SERIAL)
    # As docs/operations.md has it.
    building.relay.process.stop()
    path = building.relay.folder / "relay.db"
    shutil.copy(copies[0], path)
    for left in ("relay.db-wal", "relay.db-shm"):
        (building.relay.folder / left).unlink(missing_ok=True)
    restart(building)
    assert works(building, before["key"])
    assert not works(building, after["key"])


# --- the trail ----------------------------------------------------------------------------------


def test_the_trail_names_who_did_what_and_what_was_refused(start_building):
    building = start_building(auth="none")
    relay = building.relay
    made = relay.command("key", "enable", SERIAL, "--label", "panel")
    relay.command("key", "revoke", made["id"])
    for arguments in (("key", "rotate", made["id"]), ("key", "enable", "TNX-0404"),
                      ("server", "add", SERIAL), ("key", "enable", SERIAL, "--guids", "a b")):
        run("thinknx-relay", *arguments, "--config", relay.conf, expect=(1, 2))
    run("thinknx-agent", "key", "revoke", "k_99", "--config", building.agent.conf, expect=1)
    rows = relay.command("audit")
    told = [(r["what"], r["refused"]) for r in rows[::-1]]
    assert told == [("server.add", False), ("key.enable", False), ("key.enable", False),
                    ("key.revoke", False), ("key.rotate", True), ("key.enable", True),
                    ("server.add", True), ("key.enable", True), ("key.revoke", True)]
    by = subprocess.run(["/usr/bin/id", "-un"], capture_output=True, text=True,
                        check=True).stdout.strip()
    assert all(r["who"].startswith(f"operator:{by}") for r in rows[1:])
    assert rows[0]["who"] == f"agent:{SERIAL}"
    assert made["id"] in rows[5]["object"] and SERIAL in rows[5]["object"]
    assert "revoked" in rows[4]["detail"]
    assert {r["what"] for r in relay.command("audit", "--refused")} == {
        "key.rotate", "key.enable", "server.add", "key.revoke"}
    assert len(relay.command("audit", "--who", "agent:")) == 1
    assert len(relay.command("audit", "--what", "server")) == 2
    assert len(relay.command("audit", "--object", made["id"])) == 3
    assert len(relay.command("audit", "--last", 2)) == 2
    assert relay.command("audit", "--until", "1h") == []
    assert len(relay.command("audit", "--since", "1h")) == len(rows)
    table = run("thinknx-relay", "audit", "--config", relay.conf).stdout.splitlines()
    assert table[0].startswith("TIME (UTC)") and len(table) == len(rows) + 1
