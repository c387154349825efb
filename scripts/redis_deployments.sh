#!/usr/bin/env bash
# The stores in Redis on Redis as it is deployed: a failover by three sentinels, a replica that is promoted by hand, a
# Unix socket, a TLS server with a CA and client certificates of its own, a TLS cluster, an evicting policy, and a
# connection of one's own. Once on Redis, and once on each program that is named, such as a valkey-server:
#
#     scripts/redis_deployments.sh [/path/to/valkey-server ...]
#
# It needs redis-server (which is the sentinel too) and redis-cli, built with TLS, as those of Debian are.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v redis-server >/dev/null && command -v redis-cli >/dev/null || {
    echo "redis-server and redis-cli are not installed: apt-get install redis-server redis-tools" >&2
    exit 1
}
servers=(redis-server "$@")
if [ "$#" = 0 ]; then
    if command -v valkey-server >/dev/null; then
        servers+=("$(command -v valkey-server)")
    else
        echo "valkey-server is not installed: Valkey is left out"
    fi
fi
for server in "${servers[@]}"; do
    echo "=== $("$server" --version)"
    REDIS_SERVER="$server" cargo test --locked --features full --test token_service -- \
        --ignored --nocapture deployment
done
