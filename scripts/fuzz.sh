#!/usr/bin/env bash
# Fuzzes every target for a while, starting from the committed corpus.
#
# usage: scripts/fuzz.sh SECONDS [TARGET]...
#
# Needs a nightly toolchain and cargo-fuzz. New inputs stay under target/fuzz; a crash leaves its
# input under tests/fuzz/artifacts and ends the script.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:?how many seconds per target}"
shift
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
    mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir tests/fuzz)
fi
for target in "${targets[@]}"; do
    found="target/fuzz/$target"
    mkdir --parents "$found"
    cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" "$found" "tests/fuzz/corpus/$target" \
        -- -max_total_time="$seconds" -print_final_stats=1
done
