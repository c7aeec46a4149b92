#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# testssl.sh (Debian) against a relay of its own: protocols and classes of ciphers.
# Fails on any finding above INFO. (The private CA of the test is not looked at.)
# Usage: [TNX_BUILD=build/release] [TNX_SECONDS=110] tests/hardening/testssl.sh
set -euo pipefail
. "$(dirname "$0")/relay.sh"
need testssl testssl.sh
need jq jq

start_relay '[limits]' 'refused_rate = 0'
# Each of its findings is one object with a severity; OK and INFO are none.
timeout "${TNX_SECONDS:-110}" testssl --quiet --color 0 --warnings off --nodns none \
    --protocols --std \
    --jsonfile "$folder/findings.json" "127.0.0.1:$port" >"$folder/testssl.txt" </dev/null || true
jq -e . "$folder/findings.json" >/dev/null 2>&1 || {
    cat "$folder/testssl.txt" >&2
    echo "the scan is not complete" >&2
    exit 1
}

jq -r '.[] | [.severity, .id, .finding] | @tsv' "$folder/findings.json" >"$folder/findings.tsv"
echo "findings by severity:"
cut -f1 "$folder/findings.tsv" | sort | uniq -c
grep -E '^[A-Z]+	(TLS1|TLS1_1|TLS1_2|TLS1_3|SSLv2|SSLv3|secure_renego|ALPN)	' \
    "$folder/findings.tsv" || true
# engine_problem is about this machine's openssl program, which knows no GOST; not about the relay.
bad=$(grep -vE '^((OK|INFO|DEBUG)	|WARN	engine_problem	)' "$folder/findings.tsv" || true)
if [ -n "$bad" ]; then
    echo "above INFO:" >&2
    echo "$bad" >&2
    exit 1
fi
grep -q '^OK	TLS1_3	' "$folder/findings.tsv" || { echo "the scan is not complete" >&2; exit 1; }
echo "testssl: nothing above INFO"
