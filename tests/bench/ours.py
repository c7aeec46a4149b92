# SPDX-License-Identifier: Apache-2.0
"""Relay and agent as a user installs them, in a folder of their own, with one building and one key.
All settings are the defaults but for the key's rate, the ports, and what a run is told to change."""

import json
import os
import subprocess
from pathlib import Path

from processes import HOST, Process, free_port

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("TNX_BUILD", "build/release")
SERIAL = "TNX-BENCH"
CALL = "/api/V1/powerstatus?guid=1lzPszHWAEuvzxtXBMkzWQ"
ENOUGH = 1000000  # requests a second: the key's limit is counted, and never reached


def binary(name, build=BUILD):
    return build / "bin" / name


def prepare_relay(folder, build=BUILD):
    """A folder with configuration, certificate (the peers use it too) and one building, made by the
    programs that are to use it. Returns the port."""
    port = free_port()
    init = ["init", "--dir", folder, "--host", HOST, "--listen", f"{HOST}:{port}"]
    init += ["--http-listen", f"{HOST}:0", "--admin-listen", f"{HOST}:0"]
    run_relay(*init, "--runtime-file", "relay.json", build=build)
    command(folder, build, "server", "add", SERIAL, into="agent.token", what="token")
    limits = ["--rate", str(ENOUGH), "--burst", str(ENOUGH)]
    command(folder, build, "key", "enable", SERIAL, *limits, into="key", what="key")
    return port


def run_relay(*arguments, build=BUILD):
    program = binary("thinknx-relay", build)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"thinknx-relay {arguments[0]}: {done.stderr}")
    return done.stdout


def command(folder, build, *arguments, into, what):
    out = run_relay(*arguments, "--json", "--config", folder / "relay.conf", build=build)
    path = folder / into
    path.touch(mode=0o600)
    path.write_text(json.loads(out)[what])


def configure(folder, section, **settings):
    """Sets keys of a section of relay.conf that `init` left out or wrote."""
    path = folder / "relay.conf"
    lines, inside = [], False
    for line in path.read_text().splitlines():
        if line.startswith("["):
            inside = line == f"[{section}]"
        if not (inside and line.split("=")[0].strip() in settings):
            lines.append(line)
        if line == f"[{section}]":
            lines += [f"{name} = {value}" for name, value in settings.items()]
    if f"[{section}]" not in lines:
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in settings.items())]
    path.write_text("\n".join(lines) + "\n")


def start_relay(folder, core, port, build=BUILD):
    program = binary("thinknx-relay", build)
    process = Process("relay", core, folder, program, "serve", "--config", folder / "relay.conf")
    process.wait_port(port)
    return process


def start_agent(folder, core, port, backend, build=BUILD):
    (folder / "agent.conf").write_text(
        f"[relay]\nurl = wss://{HOST}:{port}\nserial = {SERIAL}\ntoken_file = agent.token\n"
        f"ca_file = ca.pem\n[server]\nurl = http://{HOST}:{backend}\n"
        f"[agent]\nstatus_socket = agent.sock\n"
    )
    program = binary("thinknx-agent", build)
    process = Process("agent", core, folder, program, "run", "--config", folder / "agent.conf")
    process.wait_log("tunnel up")
    return process


def target(folder):
    return "/" + (folder / "key").read_text() + CALL
