#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Constant load on one building while the relay is restarted (SIGUSR2). Exit code 1 if a request
failed.

    TNX_BUILD=build/release tests/load/restart.py [--seconds 60] [--connections 50] [--rate 500]
                                                  [--restarts 3] [--auth digest] [--workers 0]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from load import Load, Succession, adopt_orphans, harness

CALL = "powerstatus?guid=1lzPszHWAEuvzxtXBMkzWQ"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--auth", default="digest", help="of the server: digest, basic, query, none")
    parser.add_argument("--workers", type=int, default=0, help="of the relay")
    return parser.parse_args()


def load_over_restarts(options, building, conf):
    relays = Succession(building, conf)
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
