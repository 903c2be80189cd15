#!/usr/bin/env bash
# Builds the release, fetches the NATS servers to compare with, and runs the standard comparison.
#
# usage: scripts/bench.sh [--quick | --full] [--only PART]... [--record NAME] [ringbus-bench options]
#
# The standard comparison is what goals.toml is about and little more: five rounds of a second, about
# 25 minutes with two other servers on two CPUs.
#
# --full          every size and variant, five rounds of two seconds: more than an hour
# --quick         one short round of the standard: checks that everything runs, the figures mean little
# --only PART     core, secured, crowds, latency, one-core, free, shards or nats-bench; repeatable
# --record NAME   keep the results in bench/record/DATE-NAME too (see bench/record/README.md)
#
# Options of ringbus-bench go to every part, for example --rounds 10.
#
# Peers are fetched with the tools of the machine into target/bench/peers: nats-server of the
# distribution (apt-get, unpacked, not installed) and the release that ringbus behaves like (go),
# and the official CLI for the part with `nats bench`. What cannot be fetched is left out, with a
# word. Or name them, and nothing is fetched:
#   NATS_PEERS="nats-2.9=/usr/sbin/nats-server nats-2.15=/opt/nats-server-2.15" \
#   NATS_CLI=/opt/nats scripts/bench.sh
# RINGBUS=PATH measures a binary that is there already, BENCH=PATH with a harness that is.
#
# Results for machines (JSON, CSV), the tables and a report with charts (HTML) go to target/bench/.
# The exit code is that of ringbus-bench: 2 if a server lost, repeated or reordered something.
set -euo pipefail
cd "$(dirname "$0")/.."

release=2.15.1
cli_release=0.4.0
parts=(core secured crowds latency one-core free shards nats-bench)
options=(--rounds 5 --seconds 1 --warm-up 0.3)
fewer=(--rounds 3)
full=
record=
only=()
while [[ $# -gt 0 ]]; do
    case "$1" in
    --quick)
        options=(--rounds 1 --seconds 0.2 --warm-up 0.1)
        fewer=()
        ;;
    --full)
        options=(--rounds 5 --seconds 2)
        fewer=()
        full=yes
        ;;
    --only)
        only+=("${2:?--only needs the name of a part: ${parts[*]}}")
        [[ " ${parts[*]} " == *" $2 "* ]] || { echo "no part $2; valid: ${parts[*]}" >&2; exit 1; }
        shift
        ;;
    --record)
        record="${2:?--record needs a name}"
        shift
        ;;
    *) break ;;
    esac
    shift
done
wanted() { (( ${#only[@]} == 0 )) || [[ " ${only[*]} " == *" $1 "* ]]; }

target="${CARGO_TARGET_DIR:-target}"
peers="$target/bench/peers"
mkdir --parents "$peers"

# Clients and server need a file for each connection of a crowd.
ulimit -n "$(ulimit -Hn)"

bench="${BENCH:-$target/release/ringbus-bench}"
[[ -n "${BENCH:-}" ]] || cargo build --release --package ringbus-bench
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

# The scenarios of a part: those of the standard, then those that only the full comparison has.
standard=()
more=()
scenarios() {
    chosen=()
    local all=("${standard[@]}")
    [[ -z "$full" ]] || all+=("${more[@]}")
    for name in "${all[@]}"; do chosen+=(--scenario "$name"); done
}

if wanted core; then
    echo "== one core for the server, the others for the clients"
    standard=(pub-16B 1to1-16B 1to1-128B 1to1-1024B 1to1-16384B 1to4-128B 1to10-16B 1to50-64B
        4to4-128B 4to1-128B queue4-16B 1to1-16B-unbatched 32to1-16B-unbatched wild-100k-16B
        wild-100k-128B wild-100k-128B-churn 1to1-16B-churn reqrep-1-16B reqrep-16-16B reqrep-256-16B)
    more=('pub-*B' '1to1-*B' '*-unbatched' 'wild-*' 'reqrep-50-16B')
    scenarios
    compare core --shards 1 "${chosen[@]}" "$@"
fi

if wanted secured; then
    echo "== accounts, rules, imported services, TLS"
    standard=(1to1-16B-accounts 1to1-16B-permissions reqrep-16-16B reqrep-16-16B-import
        1to1-16B-tls 1to1-16384B-tls)
    more=('*-accounts' '*-permissions' '*-import' '*-tls')
    scenarios
    compare secured --shards 1 "${chosen[@]}" "$@"
fi

if wanted crowds; then
    echo "== many connections, and one that reads nothing"
    standard=(1to10-16B 1to10-16B-stalled reqrep-2000-16B reqrep-10k-16B idle-20k)
    more=('1to10-16B-idle10k' '1to1-16B-scrape' 'idle-*')
    scenarios
    compare crowds --shards 1 "${chosen[@]}" "${fewer[@]}" "$@"
fi

if wanted latency; then
    echo "== latency at fixed rates, open loop"
    standard=(open-1to1-16B-10pct open-1to1-16B-50pct open-1to1-16B-80pct open-1to10-16B-100k
        open-1to10-16B-100k-stalled open-1to10-16B-100k-idle1000 open-1to10-16B-100k-idle1000-scrape)
    more=('open-*')
    scenarios
    compare latency --shards 1 "${chosen[@]}" "${fewer[@]}" "$@"
fi

# What wakes whom across cores decides these, so they are shown in all three placements.
standard=('*to1-16B-unbatched' reqrep-1-16B reqrep-16-16B)
more=()
scenarios
if wanted one-core; then
    echo "== server and clients on one core"
    compare one-core --shards 1 --server-cpus 0 --client-cpus 0 "${chosen[@]}" "$@"
fi
if wanted free; then
    echo "== placement left to the scheduler, one shard"
    compare free --shards 1 --pin none "${chosen[@]}" "$@"
fi

# Powers of two up to the CPUs there are.
cpus="$(nproc)"
shards=1
for ((count = 2; count <= cpus; count *= 2)); do
    shards+=",$count"
done
if wanted shards && (( cpus >= 2 )); then
    echo "== $shards shards, as many CPUs for the server, the clients on all"
    standard=(pairs8-16B 4to4-128B 1to10-16B 1to1-16B)
    more=('pairs*-16B')
    scenarios
    compare shards --shards "$shards" --server-cpus "0-$((cpus - 1))" \
        --client-cpus "0-$((cpus - 1))" "${chosen[@]}" "$@"
fi

if wanted nats-bench && [[ -n "${NATS_CLI:-}" ]]; then
    echo "== the load made by nats bench"
    standard=(1to1-16B 1to10-16B 4to4-128B reqrep-1-16B)
    more=(pub-16B 1to1-1024B reqrep-50-16B)
    scenarios
    compare nats-bench --shards 1 --nats-cli "$NATS_CLI" "${chosen[@]}" "${fewer[@]}" "$@"
elif wanted nats-bench; then
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
