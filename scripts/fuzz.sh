#!/usr/bin/env bash
# The random tests of the library for longer than CI runs them. Takes how many texts the differential of the claims
# reads (default: ten million, about ten minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
DIFFERENTIAL_TEXTS=${1:-10000000} cargo test --locked --release --features full --lib -- attack_39
