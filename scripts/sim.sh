#!/usr/bin/env bash
# Simulates runs of whole shards. Stops at the first seed that fails and says how to repeat it.
#
# usage: scripts/sim.sh [SEEDS] [FIRST]    10000 seeds from 0 on, if not told
set -euo pipefail
cd "$(dirname "$0")/.."

SIM_SEEDS="${1:-10000}" SIM_FIRST="${2:-0}" \
    exec cargo test --profile sim --package ringbus-shard --lib -- \
    --exact sim::simulation::tests::seeds --nocapture
