# SPDX-License-Identifier: Apache-2.0
"""Run by test_network.py as a process of its own, because it moves into other network namespaces: a
caller whose packets take 20 ms each way, and what the relay's status says of that leg."""

import sys
from pathlib import Path

import harness
from harness import HOST, Connection
from network import NEAR, Network
from test_monitoring import wait_online

WAY_S = 0.02


def call(building, address):
    with Connection(address, building.relay.tls_context()) as caller:
        return caller.request(building.path("system/serverStatus")).status


def run(folder):
    network = Network()
    near = {"https": {"listen": [f"{HOST}:0", f"{NEAR}:0"]}, "admin": {"listen": f"{HOST}:0"},
            "timeouts": {"probe": 1}}
    building = harness.Building(folder, relay=near)
    try:
        bound = harness.json.loads(building.relay.runtime_file.read_text())["https"]
        port = next(int(a.rpartition(":")[2]) for a in bound if a.startswith(NEAR))
        network.delay = (WAY_S, WAY_S)
        assert network.in_far(call, building, (NEAR, port)) == 200
        wait_online(building.relay)
        relay = building.relay.command("status")["relay"]
        assert relay["client_rtt_samples"] == 1, relay
        assert 2 * WAY_S <= relay["client_rtt_us"] / 1e6 < 4 * WAY_S, relay
        building.stop()
    finally:
        building.kill()
        network.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
