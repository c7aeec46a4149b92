#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Constant load on one URL of a relay that runs already, until standard input ends. Prints what
came of it; exit code 1 if a request failed.

    tests/load/url.py --ca FILE [--connections 20] [--rate 200] https://ADDRESS[:PORT]/TARGET
"""

import argparse
import ssl
import sys
from urllib.parse import urlsplit

from load import Load


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ca", required=True, help="certificates to trust")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200, help="requests a second, together")
    parser.add_argument("url")
    options = parser.parse_args()
    url = urlsplit(options.url)
    target = url.path + (f"?{url.query}" if url.query else "")
    load = Load(
        (url.hostname, url.port or 443),
        ssl.create_default_context(cafile=options.ca),
        target,
        options.connections,
        options.rate,
    )
    load.wait_done(options.connections)
    print("running", flush=True)
    sys.stdin.read()
    load.stop()
    print(load.describe())
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
