#!/usr/bin/env bash
# Asks whether somebody may publish, subscribe or be given something, about random rules, then
# publishes among random accounts that share streams and services, and compares all that comes of it
# with what a judge says that is slow and obviously right.
#
# usage: scripts/oracle.sh [CASES] [FIRST]    1000000 cases, seeds from 0 on, if not told
set -euo pipefail
cd "$(dirname "$0")/.."

ORACLE_CASES="${1:-1000000}" ORACLE_FIRST="${2:-0}" \
    exec cargo test --profile sim --package ringbus-shard --lib -- \
    oracle:: --nocapture
