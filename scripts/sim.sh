#!/usr/bin/env bash
# Simulates runs of whole shards: first among accounts that share, or share nothing, and must not
# feel each other beyond that, then of clients that do what they like. Stops at the first seed that
# fails and says how to repeat it.
#
# usage: scripts/sim.sh [SEEDS] [FIRST]    10000 seeds from 0 on, if not told
set -euo pipefail
cd "$(dirname "$0")/.."

SIM_SEEDS="${1:-10000}" SIM_FIRST="${2:-0}" \
    exec cargo test --profile sim --package ringbus-shard --lib -- \
    --exact sim::isolation::what_one_account_does_is_nothing_to_another \
    sim::simulation::tests::seeds --nocapture --test-threads 1
