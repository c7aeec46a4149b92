#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client that behaves: makes calls on one kept connection and on fresh ones for some seconds, and
prints "calls failures p50_us p99_us".

Usage: good_client.py PORT KEY CA SECONDS"""

import http.client
import ssl
import sys
import time

PAUSE = 0.005  # seconds between calls
FRESH_EVERY = 20  # calls
FAILURES_SHOWN = 3


def call(connection, path):
    start = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    return time.perf_counter() - start


def main(port, key, ca, seconds):
    context = ssl.create_default_context(cafile=ca)
    path = f"/{key}/api/V1/system/serverStatus"

    def connect():
        return http.client.HTTPSConnection("127.0.0.1", int(port), timeout=10, context=context)

    kept, latencies, failures = connect(), [], 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        fresh = connect() if len(latencies) % FRESH_EVERY == 0 else None
        try:
            latencies.append(call(fresh or kept, path))
        except (OSError, http.client.HTTPException) as why:
            if failures < FAILURES_SHOWN:
                print(why, file=sys.stderr)
            failures += 1
            kept.close()
        finally:
            if fresh:
                fresh.close()
        time.sleep(PAUSE)
    kept.close()
    latencies = sorted(latencies) or [0]
    p50, p99 = (latencies[int(len(latencies) * part)] * 1e6 for part in (0.5, 0.99))
    print(len(latencies) + failures, failures, round(p50), round(p99))


if __name__ == "__main__":
    main(*sys.argv[1:])
