#!/bin/sh
# Simulates SEEDS runs of whole shards (10000 if not told), from seed FIRST (0) on. Stops at the
# first seed that fails and says how to repeat it.
#
#   scripts/sim.sh [SEEDS] [FIRST]
set -eu
cd "$(dirname "$0")/.."
SIM_SEEDS="${1:-10000}" SIM_FIRST="${2:-0}" \
    exec cargo test --profile sim --package ringbus-shard --lib -- \
    --exact sim::simulation::tests::seeds --nocapture
