#!/usr/bin/env bash
# Builds the release and runs the standard comparison against the NATS servers found.
#
# usage: scripts/bench.sh [--quick] [ringbus-bench options, e.g. --rounds 10]
#
# --quick   one short round per scenario: checks that everything runs, the figures mean little
#
# Peers: nats-server on PATH, or all of NATS_PEERS, for example
#   NATS_PEERS="nats-2.9=/usr/sbin/nats-server nats-2.15=/opt/nats-server-2.15" scripts/bench.sh
# Results for machines (JSON, CSV) and a report with charts (HTML) go to target/bench/.
set -euo pipefail
cd "$(dirname "$0")/.."

options=(--rounds 5 --seconds 2)
if [[ "${1:-}" == "--quick" ]]; then
    shift
    options=(--rounds 1 --seconds 0.2 --warm-up 0.1)
fi

cargo build --release --package ringbus --package ringbus-bench
built="${CARGO_TARGET_DIR:-target}/release"

if [[ -z "${NATS_PEERS:-}" ]]; then
    if ! peer="$(command -v nats-server)"; then
        echo "no nats-server on PATH; install one or set NATS_PEERS=\"NAME=PATH ...\"" >&2
        exit 1
    fi
    NATS_PEERS="nats=$peer"
fi
targets=(--target "ringbus=$built/ringbus")
for peer in $NATS_PEERS; do
    targets+=(--target "$peer")
done

results="${CARGO_TARGET_DIR:-target}/bench/$(date --utc +%Y%m%dT%H%M%SZ)"
mkdir --parents "$results"

# A failed check must not hide the runs that follow.
status=0
compare() {
    local name="$1"
    shift
    "$built/ringbus-bench" compare "${targets[@]}" "${options[@]}" "$@" \
        --json "$results/$name.json" --csv "$results/$name.csv" --html "$results/$name.html" \
        || status=$?
    echo
}

echo "== one core for the server, the others for the clients"
compare core --shards 1 \
    --scenario 'pub-*' --scenario '1to1-*' --scenario '1to4-128B' --scenario '1to10-16B' \
    --scenario '1to50-64B' --scenario '4to4-128B' --scenario '4to1-128B' --scenario 'queue4-16B' \
    --scenario '32to1-*-unbatched' --scenario 'wild-*' --scenario 'reqrep-*-16B' \
    --scenario '*-accounts' --scenario '1to10-16B-*' --scenario '1to1-16B-scrape' \
    --scenario 'idle-*' "$@"

echo "== latency at fixed rates, open loop"
compare latency --shards 1 --scenario 'open-*' "$@"

# What wakes whom across cores decides these two, so they are shown in all three placements.
echo "== server and clients on one core"
compare one-core --shards 1 --server-cpus 0 --client-cpus 0 \
    --scenario '*to1-16B-unbatched' --scenario 'reqrep-1-16B' --scenario 'reqrep-16-16B' "$@"
echo "== placement left to the scheduler, one shard"
compare free --shards 1 --pin none \
    --scenario '*to1-16B-unbatched' --scenario 'reqrep-1-16B' --scenario 'reqrep-16-16B' "$@"

if (( $(nproc) >= 2 )); then
    echo "== two shards"
    compare two-shards --shards 2 --server-cpus 0,1 --client-cpus "0-$(( $(nproc) - 1 ))" \
        --scenario 'pairs*-16B' --scenario '4to4-128B' --scenario '1to10-16B' "$@"
fi
echo "results: $results"
exit "$status"
