# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: what they hold, what they depend on, and what lintian says. Made of the
release build. tests/package-root installs, upgrades and purges them on an empty machine."""

import os
import re
import subprocess

import pytest

import tools
from harness import ROOT, Connection, Relay, run

RELEASE = ROOT / "build" / "release"
NAMES = ("thinknx-agent", "thinknx-relay", "thinknx-simulator")


def version():
    return re.search(r"project\(thinknx-relay VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """{name: path} of freshly made packages."""
    if not (RELEASE / "bin" / "thinknx-relay").exists():
        tools.missing("there is no release build (tests/run without --fast makes one)")
    out = tmp_path_factory.mktemp("packages")
    done = subprocess.run(
        ["cpack", "-G", "DEB", "-B", out],
        cwd=RELEASE,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        umask=0o022,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    made = {path.name.partition("_")[0]: path for path in out.glob("*.deb")}
    assert tuple(sorted(made)) == NAMES
    return made


def field(package, name):
    return subprocess.run(
        ["dpkg-deb", "-f", package, name], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


@pytest.mark.slow
def test_lintian_is_content(packages):
    # An upgrade hands over by a signal (docs/operations.md), for which there is no other command.
    but = ["--suppress-tags", "maintainer-script-calls-systemctl"]
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", *but, *packages.values()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_what_no_tool_can_see_is_declared(packages):
    # libwebsockets loads it by name at run time; without it the agent does not start.
    assert "libwebsockets-evlib-uv" in field(packages["thinknx-agent"], "Depends")
    for name in ("thinknx-agent", "thinknx-relay"):
        assert "systemd-sysusers" in field(packages[name], "Depends")
        assert "systemd-tmpfiles" in field(packages[name], "Depends")
    assert "libsqlite3-0" in field(packages["thinknx-relay"], "Depends")
    for package in packages.values():
        assert "libsystemd" not in field(package, "Depends")


@pytest.mark.slow
def test_the_packages_hold_what_the_page_promises(packages):
    listed = {
        name: subprocess.run(
            ["dpkg-deb", "-c", path], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        for name, path in packages.items()
    }
    for name in ("thinknx-agent", "thinknx-relay"):
        for part in (
            f"/usr/sbin/{name}",
            f"/usr/lib/systemd/system/{name}.service",
            f"/usr/lib/sysusers.d/{name}.conf",
            f"/usr/lib/tmpfiles.d/{name}.conf",
            f"/usr/share/man/man8/{name}.8.gz",
            f"/usr/share/man/man5/{name}.conf.5.gz",
            f"/usr/share/bash-completion/completions/{name}",
        ):
            assert f".{part}\n" in listed[name], part
    assert "certbot-deploy-hook" in listed["thinknx-relay"]
    assert "alerts.yml" in listed["thinknx-relay"]


@pytest.mark.slow
def test_the_agent_s_package_is_small(packages):
    """148 kB when this was written (docs/decisions.md): nothing of the relay's is to slip in."""
    assert packages["thinknx-agent"].stat().st_size < 160_000
    agent = (RELEASE / "bin" / "thinknx-agent").read_bytes()
    for other in (b"Dygraph", b"sqlite3_", b"/audit.js"):
        assert other not in agent, other


def test_there_is_one_version():
    wanted = version()
    for name in NAMES:
        assert run(name, "--version").stdout == f"{name} {wanted}\n"
    newest = re.search(r"^## ([0-9.]+)", (ROOT / "docs" / "CHANGELOG.md").read_text(), re.M)
    assert newest[1] == wanted


def test_the_certbot_hook_puts_certificate_and_key_where_the_relay_reads_them(tmp_path):
    relay, renewed = tmp_path / "relay", tmp_path / "live"
    run("thinknx-relay", "init", "--dir", relay, "--host", "relay.example")
    run("thinknx-relay", "init", "--dir", renewed, "--host", "relay.example")
    (renewed / "cert.pem").rename(renewed / "fullchain.pem")
    (renewed / "key.pem").rename(renewed / "privkey.pem")

    def hook(**more):
        subprocess.run(
            ["sh", ROOT / "deploy" / "examples" / "certbot-deploy-hook"],
            env={
                "PATH": "/usr/bin:/bin",
                "RENEWED_LINEAGE": str(renewed),
                "THINKNX_RELAY_DIR": str(relay),
                "THINKNX_RELAY_GROUP": str(os.getgid()),
                **more,
            },
            check=True,
        )

    before = (relay / "cert.pem").read_bytes()
    hook(RENEWED_DOMAINS="other.example www.other.example")
    assert (relay / "cert.pem").read_bytes() == before
    hook(RENEWED_DOMAINS="www.relay.example relay.example")
    assert (relay / "cert.pem").read_bytes() == (renewed / "fullchain.pem").read_bytes()
    assert (relay / "key.pem").read_bytes() == (renewed / "privkey.pem").read_bytes()
    assert (relay / "key.pem").stat().st_mode & 0o777 == 0o640
    assert "ok" in run("thinknx-relay", "check", "--config", relay / "relay.conf").stdout


@pytest.mark.parametrize("names", ["the same", "others"])
def test_the_page_renews_the_certificate_of_the_private_authority(tmp_path, names):
    """Its commands, word for word but for the folder; agents and callers that trust ca.pem, or pin the
    key, need not be told, and the relay takes it while it runs."""
    page = (ROOT / "docs" / "operations.md").read_text()
    section = re.search(r"^## The certificate$(.*?)^## ", page, re.M | re.S)[1]
    commands = re.search(r"^```$(.*?)^```$", section, re.M | re.S)[1]
    if names == "others":
        request = re.search(r"`(openssl req .*?)`", section, re.S)[1].replace("\n", " ")
        commands = re.sub(r"^openssl x509 -x509toreq.*$", request, commands, flags=re.M)
    relay = Relay(tmp_path / "relay").start()
    try:
        before = (relay.folder / "cert.pem").read_bytes()
        assert commands.count("/etc/thinknx-relay") == 1
        commands = commands.replace("/etc/thinknx-relay", str(relay.folder))
        subprocess.run(["sh", "-euc", commands], check=True, capture_output=True, text=True)
        relay.process.wait_log("certificates reloaded", deadline=30)
        assert (relay.folder / "cert.pem").read_bytes() != before
        name = "127.0.0.1" if names == "the same" else "relay.example"
        with Connection(relay.https, relay.tls_context(), name) as c:
            assert c.request("/").status == 403
        assert not list(relay.folder.glob("*.new")) and not list(relay.folder.glob("*.csr"))
        relay.process.stop()
    finally:
        relay.process.kill()
