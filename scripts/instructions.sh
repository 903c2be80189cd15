#!/usr/bin/env bash
# Counts the instructions of the data plane per message, and fails if there are more than the table
# in bench/record/instructions.txt allows.
#
# usage: scripts/instructions.sh [--record] [--only TEXT]
#
# What is counted is built as a release is, with whatever compiler is there: a figure holds for the
# compiler in the first line of the table, and less strictly for others.
#
# --record rewrites the table: what is there from then on is what it may cost. Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 1; }
exec cargo run --quiet --locked --release --package ringbus-instructions -- \
    "$@" bench/record/instructions.txt
