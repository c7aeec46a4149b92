# SPDX-License-Identifier: Apache-2.0
"""Run by test_network.py as a process of its own, because it moves into other network namespaces:
commands with unique values while real packets are lost, delayed, overtaken, doubled, too large,
swallowed and answered with resets. Ends with the checker of test_tunnel_faults.py; exit code 1 if it
finds anything."""

import collections
import hashlib
import subprocess
import sys
import time
from pathlib import Path

import harness
import test_tunnel_faults as checker
from harness import DEADLINE, HOST, assert_clean, merged
from network import NEAR, Network


def pin_of(certificate):
    """SHA-256 of the public key: the certificate is not for the address in the namespace."""
    key = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True
    ).stdout
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True
    ).stdout
    return hashlib.sha256(der).hexdigest()


class FarSimulator(harness.Simulator):
    network = None

    def start(self):
        return self.network.in_far(super().start)


class FarAgent(harness.Agent):
    network = None

    def start(self):
        return self.network.in_far(super().start)


class NetworkFaults(checker.Faults):
    """Each lasts a moment, then the network is well again."""

    def __init__(self, run, network):
        super().__init__(run)
        self.network = network
        self.kinds = [
            (self.net_loses_a_tenth, 3),
            (self.net_loses_half, 2),
            (self.net_is_slow, 2),
            (self.net_reorders, 3),
            (self.net_doubles, 2),
            (self.net_has_a_small_mtu, 2),
            (self.net_swallows_all, 3),
            (self.net_swallows_one_way, 3),
            (self.net_resets, 3),
            (self.net_does_it_all, 2),
        ]

    def for_a_while(self, longest, **wrong):
        for name, value in wrong.items():
            setattr(self.network, name, value)
        self.run.pass_time(self.random.uniform(0.3, longest))
        self.network.heal()

    def net_loses_a_tenth(self):
        self.for_a_while(3, loss=0.1)

    def net_loses_half(self):
        self.for_a_while(3, loss=0.5)

    def net_is_slow(self):
        self.for_a_while(2, delay=(0.2, 0.25))

    def net_reorders(self):
        self.for_a_while(2, delay=(0.0, 0.08))

    def net_doubles(self):
        self.for_a_while(2, double=0.5)

    def net_has_a_small_mtu(self):
        self.for_a_while(3, largest=300)

    def net_swallows_all(self):
        self.for_a_while(4, dead=(True, True))

    def net_swallows_one_way(self):
        self.for_a_while(4, dead=self.random.choice([(True, False), (False, True)]))

    def net_resets(self):
        self.for_a_while(0.5, reset=True)

    def net_does_it_all(self):
        self.for_a_while(3, loss=0.05, delay=(0.0, 0.1), double=0.1)


def build(folder, network, simulator=checker.SIMULATOR, relay=checker.RELAY, agent=checker.AGENT):
    FarSimulator.network = FarAgent.network = network
    harness.Simulator, harness.Agent = FarSimulator, FarAgent
    near = {"https": {"listen": [f"{HOST}:0", f"{NEAR}:0"]}}
    building = harness.Building(
        folder,
        simulator=simulator,
        relay=merged(relay, near),
        agent=agent,
        start=False,
    )
    relay = building.relay
    text = building.agent.conf.read_text()
    text = text.replace(f"ca_file = {building.ca}", f"pin_sha256 = {pin_of(relay.folder / 'cert.pem')}")
    near_port = next(
        address.rpartition(":")[2]
        for address in harness.json.loads(relay.runtime_file.read_text())["https"]
        if address.startswith(NEAR)
    )
    text = text.replace(f"wss://{HOST}:{relay.https[1]}", f"wss://{NEAR}:{near_port}")
    building.agent.conf.write_text(text)
    return building


def run(folder):
    network = Network()
    building = build(folder, network)
    try:
        building.start_agent()
        shared = checker.Run(building, network)
        faults = NetworkFaults(shared, network)
        clients = [checker.Client(shared, i) for i in range(checker.CLIENTS)]
        begun = time.monotonic()
        for client in clients:
            client.start()
        faults.until_over()
        for client in clients:
            client.join(checker.ANSWER_DEADLINE + DEADLINE)
            assert not client.is_alive(), f"{client.name} hangs"
        building.stop()
        for name, text in faults.logs:
            assert_clean(text, name)
        executed = collections.Counter(
            int(line["value"]) for line in building.commands() if "sendKNX" in line["controller"]
        )
        print(checker.report(shared, faults, executed))
        print(f"packets: {network.counts}; {time.monotonic() - begun:.0f} s")
        wrong = checker.check(shared, faults, executed)
        for what in wrong[:20]:
            print(f"WRONG: {what}")
        return 1 if wrong else 0
    finally:
        building.kill()
        network.close()


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
