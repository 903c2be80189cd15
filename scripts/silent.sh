#!/usr/bin/env bash
# As many silent clients of a TLS listener as this host allows (20,000 where it allows as many):
# what each costs, and that all are closed at the deadline. A few thousand are part of the tests.
#
#   SILENT=N  so many instead
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
SILENT=${SILENT:-20000} cargo test --profile quick --test tls flood::who_ -- --test-threads=1 \
    --nocapture
