# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts here: starts a relay of its own on loopback and ends it with the script.
# TNX_BUILD is the build folder (default build/release). Sets $folder, $port and $relay_pid.

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${TNX_BUILD:-$root/build/release}
relay=$build/bin/thinknx-relay
folder=$(mktemp -d "${TMPDIR:-/tmp}/tnx-hardening.XXXXXX")

need() {
    command -v "$1" >/dev/null || { echo "$1 is missing: apt-get install $2" >&2; exit 2; }
}

stop_all() {
    for pid in ${attack_pid:-} ${agent_pid:-} ${relay_pid:-} ${simulator_pid:-}; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap stop_all EXIT
trap "exit 143" INT TERM

# start_relay LINE...: further lines of the configuration.
start_relay() {
    [ -x "$relay" ] || { echo "$relay is not built (TNX_BUILD)" >&2; exit 2; }
    "$relay" init --dir "$folder" --host localhost --host 127.0.0.1 >/dev/null
    {
        printf '[relay]\ndatabase = relay.db\npublic_url = https://localhost\n'
        printf 'runtime_file = runtime.json\n'
        printf '[https]\nlisten = 127.0.0.1:0\ncertificate = cert.pem\nprivate_key = key.pem\n'
        printf '%s\n' "$@"
    } >"$folder/relay.conf"
    "$relay" serve --config "$folder/relay.conf" 2>"$folder/log" &
    relay_pid=$!
    until grep -q msg=ready "$folder/log"; do
        kill -0 "$relay_pid" || { cat "$folder/log" >&2; exit 1; }
        sleep 0.1
    done
    port=$(sed -n 's/.*"127\.0\.0\.1:\([0-9]*\)".*/\1/p' "$folder/runtime.json" | head -n 1)
}

# After start_relay: a simulated server and its agent. Sets $key.
start_building() {
    "$build/bin/thinknx-simulator" --listen 127.0.0.1:0 --runtime-file "$folder/simulator.json" \
        >"$folder/simulator.log" 2>&1 &
    simulator_pid=$!
    until grep -qs '"port"' "$folder/simulator.json"; do
        kill -0 "$simulator_pid" || { cat "$folder/simulator.log" >&2; exit 1; }
        sleep 0.1
    done
    local server
    server=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$folder/simulator.json")
    "$relay" server add TNX-0001 --json --config "$folder/relay.conf" |
        sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' >"$folder/agent.token"
    chmod 600 "$folder/agent.token"
    key=$("$relay" key enable TNX-0001 --rate 100000 --json --config "$folder/relay.conf" |
        sed -n 's/.*"key": *"\([^"]*\)".*/\1/p')
    printf '%s\n' '[relay]' "url = wss://127.0.0.1:$port" 'serial = TNX-0001' \
        'token_file = agent.token' 'ca_file = ca.pem' \
        '[server]' "url = http://127.0.0.1:$server" 'auth = none' \
        '[agent]' "status_socket = $folder/status" >"$folder/agent.conf"
    "$build/bin/thinknx-agent" run --config "$folder/agent.conf" >"$folder/agent.log" 2>&1 &
    agent_pid=$!
    until grep -q 'tunnel up' "$folder/log"; do
        kill -0 "$agent_pid" || { cat "$folder/agent.log" >&2; exit 1; }
        sleep 0.1
    done
}
