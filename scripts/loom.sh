#!/usr/bin/env bash
# Tries every interleaving of the lock-free parts of the mesh, with the loom model checker.
#
# usage: scripts/loom.sh [test name or part of it]
#
# It has a target directory of its own: a build for loom shares nothing with other builds.
set -euo pipefail
cd "$(dirname "$0")/.."

RUSTFLAGS='--cfg loom' cargo test --profile quick --target-dir target/loom \
    --package ringbus-shard --lib "mesh::models::${1:-}"
