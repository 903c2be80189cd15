#!/usr/bin/env bash
# Builds the release, fetches the NATS servers to compare with, and runs the standard comparison.
#
# usage: scripts/bench.sh [--quick] [--record NAME] [ringbus-bench options, e.g. --rounds 10]
#
# --quick         one short round per scenario: checks that everything runs, the figures mean little
# --record NAME   keep the results in bench/record/DATE-NAME too (see bench/record/README.md)
#
# Peers are fetched with the tools of the machine into target/bench/peers: nats-server of the
# distribution (apt-get, unpacked, not installed) and the release that ringbus behaves like (go),
# and the official CLI for the part with `nats bench`. What cannot be fetched is left out, with a
# word. Or name them, and nothing is fetched:
#   NATS_PEERS="nats-2.9=/usr/sbin/nats-server nats-2.15=/opt/nats-server-2.15" \
#   NATS_CLI=/opt/nats scripts/bench.sh
# RINGBUS=PATH measures a binary that is there already.
#
# Results for machines (JSON, CSV), the tables and a report with charts (HTML) go to target/bench/.
# The exit code is that of ringbus-bench: 2 if a server lost, repeated or reordered something.
set -euo pipefail
cd "$(dirname "$0")/.."

release=2.15.1
cli_release=0.4.0
options=(--rounds 5 --seconds 2)
record=
while [[ "${1:-}" == --quick || "${1:-}" == --record ]]; do
    if [[ "$1" == --record ]]; then
        record="${2:?--record needs a name}"
        shift
    else
        options=(--rounds 1 --seconds 0.2 --warm-up 0.1)
    fi
    shift
done

target="${CARGO_TARGET_DIR:-target}"
peers="$target/bench/peers"
mkdir --parents "$peers"

# Clients and server need a file for each connection of a crowd.
ulimit -n "$(ulimit -Hn)"

cargo build --release --package ringbus-bench
bench="$target/release/ringbus-bench"
if [[ -z "${RINGBUS:-}" ]]; then
    cargo build --release --package ringbus
    RINGBUS="$target/release/ringbus"
fi

from_distribution() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    local unpacked="$peers/distribution"
    if [[ ! -x "$unpacked/usr/sbin/nats-server" ]]; then
        mkdir --parents "$unpacked"
        (cd "$unpacked" && apt-get download --quiet=2 nats-server && dpkg-deb -x nats-server_*.deb .) \
            >&2 || return 1
    fi
    echo "$unpacked/usr/sbin/nats-server"
}

from_go() {
    local module="$1" binary="$2"
    command -v go >/dev/null || return 1
    if [[ ! -x "$peers/$binary" ]]; then
        GOBIN="$(realpath "$peers")" go install "$module" >&2 || return 1
    fi
    echo "$peers/$binary"
}

if [[ -z "${NATS_PEERS:-}" ]]; then
    found=()
    for path in "$(from_distribution || true)" \
        "$(from_go "github.com/nats-io/nats-server/v2@v$release" nats-server || true)" \
        "$(command -v nats-server || true)"; do
        [[ -n "$path" ]] || continue
        name="nats-$("$path" -v | sed 's/.*v//')"
        [[ " ${found[*]-}" == *" $name="* ]] || found+=("$name=$path")
    done
    NATS_PEERS="${found[*]-}"
fi
if [[ -z "${NATS_CLI:-}" ]]; then
    NATS_CLI="$(command -v nats || from_go "github.com/nats-io/natscli/nats@v$cli_release" nats || true)"
fi
if [[ -z "$NATS_PEERS" ]]; then
    echo "no nats-server found or fetched: install one, or apt-get or go, or set NATS_PEERS" >&2
    exit 1
fi
echo "comparing with $NATS_PEERS"
targets=(--target "ringbus=$RINGBUS")
for peer in $NATS_PEERS; do
    targets+=(--target "$peer")
done

note="commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
[[ -z "$(git status --porcelain 2>/dev/null)" ]] || note+=" with changes"
results="$target/bench/$(date --utc +%Y%m%dT%H%M%SZ)"
mkdir --parents "$results"

# A failed check must not hide the runs that follow.
status=0
compare() {
    local name="$1"
    shift
    "$bench" compare "${targets[@]}" "${options[@]}" --note "$note" "$@" \
        --json "$results/$name.json" --csv "$results/$name.csv" --html "$results/$name.html" \
        | tee "$results/$name.txt" || status=$?
    echo
}

echo "== one core for the server, the others for the clients"
compare core --shards 1 \
    --scenario 'pub-*' --scenario '1to1-*' --scenario '1to4-128B' --scenario '1to10-16B*' \
    --scenario '1to50-64B' --scenario '4to4-128B' --scenario '4to1-128B' --scenario 'queue4-16B' \
    --scenario '32to1-*-unbatched' --scenario 'wild-*' --scenario 'reqrep-*-16B' \
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

# Powers of two up to the CPUs there are.
cpus="$(nproc)"
shards=1
for ((count = 2; count <= cpus; count *= 2)); do
    shards+=",$count"
done
if (( cpus >= 2 )); then
    echo "== $shards shards, as many CPUs for the server, the clients on all"
    compare shards --shards "$shards" --server-cpus "0-$((cpus - 1))" \
        --client-cpus "0-$((cpus - 1))" \
        --scenario 'pairs*-16B' --scenario '4to4-128B' --scenario '1to10-16B' \
        --scenario '1to1-16B' "$@"
fi

if [[ -n "${NATS_CLI:-}" ]]; then
    echo "== the load made by nats bench"
    compare nats-bench --shards 1 --nats-cli "$NATS_CLI" \
        --scenario 'pub-16B' --scenario '1to1-16B' --scenario '1to1-1024B' --scenario '1to10-16B' \
        --scenario '4to4-128B' --scenario 'reqrep-1-16B' --scenario 'reqrep-50-16B' "$@"
else
    echo "no nats CLI found or fetched: the part with nats bench is left out" >&2
fi

echo "== figures to reach"
"$bench" judge "$results"/*.json | tee "$results/goals.txt" || true

if [[ -n "$record" ]]; then
    kept="bench/record/$(date --utc +%Y-%m-%d)-$record"
    mkdir --parents "$kept"
    cp "$results"/*.json "$results"/*.html "$results"/*.txt "$kept/"
    echo "recorded in $kept: say in its README.md what was measured and what it shows"
fi
echo "results: $results"
exit "$status"
