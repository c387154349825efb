#!/usr/bin/env bash
# The random tests of the library for longer than CI runs them, which takes 100 000 texts and 20 000 pairs.
# Usage: scripts/fuzz.sh [texts that the differential of the claims reads] [pairs of cancelled look-ups]
set -euo pipefail
cd "$(dirname "$0")/.."
DIFFERENTIAL_TEXTS=${1:-10000000} cargo test --locked --release --features full --lib -- attack_39
CACHED_PAIRS=${2:-1000000} cargo test --locked --release --features full --test cached -- stress
