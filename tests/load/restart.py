#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Constant load on one building while the relay is restarted: by SIGUSR2, or with --twice by
running `thinknx-relay serve` once more beside it and ending the first. Exit code 1 if a request
failed.

    TNX_BUILD=build/release tests/load/restart.py [--seconds 60] [--connections 50] [--rate 500]
                                                  [--restarts 3] [--auth digest] [--workers 0]
                                                  [--twice]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from load import Load, Succession, adopt_orphans, fixed_ports, harness

CALL = "powerstatus?guid=1lzPszHWAEuvzxtXBMkzWQ"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--auth", default="digest", help="of the server: digest, basic, query, none")
    parser.add_argument("--workers", type=int, default=0, help="of the relay")
    parser.add_argument("--twice", action="store_true", help="run the new relay by hand")
    return parser.parse_args()


class ByHand:
    """As Succession, with the commands that an operator would type."""

    def __init__(self, building, conf):
        self.relay = building.relay
        self.relay.configure(harness.merged(conf, fixed_ports(self.relay)))

    def replace(self):
        first = self.relay.process
        self.relay.start()
        first.stop()

    def close(self):
        pass  # the building ends the last one


def load_over_restarts(options, building, conf):
    relays = (ByHand if options.twice else Succession)(building, conf)
    try:
        load = Load(
            building.relay.https,
            building.relay.tls_context(),
            building.path(CALL),
            options.connections,
            options.rate,
        )
        try:
            for i in range(options.restarts):
                at = load.started + options.seconds * (i + 1) / (options.restarts + 1)
                time.sleep(max(0, at - time.monotonic()))
                begun = time.monotonic()
                relays.replace()
                print(
                    f"restart {i + 1} at {begun - load.started:.1f} s:"
                    f" the old relay was gone after {time.monotonic() - begun:.2f} s",
                    flush=True,
                )
            time.sleep(max(0, load.started + options.seconds - time.monotonic()))
        finally:
            load.stop()
    finally:
        relays.close()
    return load


def main():
    options = arguments()
    adopt_orphans()
    conf = {"relay": {"workers": options.workers}}
    with tempfile.TemporaryDirectory(prefix="tnx-restart-") as folder:
        building = harness.Building(Path(folder) / "building", auth=options.auth, relay=conf)
        try:
            load = load_over_restarts(options, building, conf)
            building.stop()
        finally:
            building.kill()
    print(load.describe())
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
