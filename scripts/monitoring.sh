#!/usr/bin/env bash
# Runs the tools that read a NATS server's monitoring port against ringbus, and takes pictures of the
# status page. Each check is a line; the last line is "N passed, N failed, N without their tool".
#
#   RINGBUS_BIN=PATH   the server to test, instead of a fresh debug build
#   MONITORING_OUT=D   where pictures and answers go (default: target/monitoring)
#
# Uses what is on the PATH of: promtool, prometheus-nats-exporter, nats-top, nats, chromium.
set -euo pipefail

cd "$(dirname "$0")/.."
out=${MONITORING_OUT:-$PWD/target/monitoring}
mkdir --parents "$out"
rm --force "$out"/*
server=${RINGBUS_BIN:-}
if [ -z "$server" ]; then
    cargo build --quiet
    server=$PWD/target/debug/ringbus
fi

started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
    wait
}
trap finish EXIT

"$server" -a 127.0.0.1 -p -1 -m -1 --shards 2 -n pictured --ports_file_dir "$out" 2> "$out/log" &
started+=($!)
for _ in $(seq 200); do
    ls "$out"/*.ports > /dev/null 2>&1 && break
    sleep 0.05
done
url() { sed --quiet "s/.*\"$1\":\[\"\([^\"]*\)\".*/\1/p" "$out"/*.ports; }
clients=$(url nats)
monitor=$(url monitoring)
port=${monitor##*:}

passed=0 failed=0 absent=0
# check <name> <tool> <command...>
check() {
    local name=$1 tool=$2
    shift 2
    if ! command -v "$tool" > /dev/null; then
        echo "absent  $name: there is no $tool"
        absent=$((absent + 1))
    elif "$@" > "$out/${name// /-}.txt" 2>&1; then
        echo "ok      $name"
        passed=$((passed + 1))
    else
        echo "FAILED  $name: see $out/${name// /-}.txt"
        failed=$((failed + 1))
    fi
}

if command -v nats > /dev/null; then
    for queue in a b; do
        nats --server "$clients" subscribe 'orders.>' --queue "$queue" > /dev/null 2>&1 &
        started+=($!)
    done
    nats --server "$clients" bench pub orders.new --msgs 1000000 --size 64 --sleep 500us \
        > /dev/null 2>&1 &
    started+=($!)
    sleep 1
fi

metrics() { curl --silent --fail "$monitor/metrics" | promtool check metrics; }
rules() { promtool check rules scripts/alerts.yaml; }
dashboard() { python3 -m json.tool scripts/grafana/ringbus.json; }
top() { nats-top -s 127.0.0.1 -m "$port" -o "$out/top" && grep Connections "$out/top"; }

# Whatever the exporter makes of our pages, we say ourselves under the same names. Two tell only how
# long a page of /connz is.
exporter() {
    local exporter_port=$((20000 + RANDOM % 10000))
    prometheus-nats-exporter -addr 127.0.0.1 -port "$exporter_port" \
        -varz -connz -subz -healthz -accstatz "$monitor" &
    started+=($!)
    for _ in $(seq 100); do
        curl --silent --fail "http://127.0.0.1:$exporter_port/metrics" > "$out/exported" && break
        sleep 0.1
    done
    names() { sed --quiet 's/^# TYPE \(gnatsd_[a-z0-9_]*\) .*/\1/p' | sort --unique; }
    names < "$out/exported" > "$out/exported.names"
    curl --silent --fail "$monitor/metrics" | names > "$out/own.names"
    wc --lines "$out/exported.names" "$out/own.names"
    local missing
    missing=$(comm -23 "$out/exported.names" "$out/own.names" |
        grep --invert-match --extended-regexp '^gnatsd_(connz|subsz)_(limit|offset)$' || true)
    echo "missing: $missing"
    [ -z "$missing" ] && grep --quiet gnatsd_varz_connections "$out/exported.names"
}

picture() {
    local name=$1 size=$2
    shift 2
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --hide-scrollbars --user-data-dir="$out/profile-$name" --window-size="$size" \
        --virtual-time-budget=8000 --enable-logging=stderr "$@" \
        --screenshot="$out/$name.png" "$monitor/" 2>&1 | tee "$out/$name.log"
    rm --recursive --force "$out/profile-$name"
    # Scripts that fail, and whatever the page's policy has stopped, are logged by the console.
    ! grep --quiet --extended-regexp 'CONSOLE.*(Error|Refused|violates)' "$out/$name.log" &&
        [ "$(stat --format=%s "$out/$name.png")" -gt 20000 ]
}

# What a reader of the page sees after a while: the script has run and found everything well.
content() {
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --user-data-dir="$out/profile-dom" --virtual-time-budget=5000 --dump-dom "$monitor/" \
        > "$out/page.html" 2> "$out/page.log"
    rm --recursive --force "$out/profile-dom"
    grep --quiet 'all shards answer' "$out/page.html" &&
        grep --quiet 'load of shard 1' "$out/page.html"
}

check "prometheus text format" promtool metrics
check "alert rules" promtool rules
check "dashboard is JSON" python3 dashboard
check "nats-top" nats-top top
check "exporter" prometheus-nats-exporter exporter
check "page content" chromium content
check "page wide" chromium picture wide 1100,1700
check "page on a phone in the dark" chromium picture phone 390,2200 \
    --force-dark-mode --blink-settings=preferredColorScheme=0

echo "$passed passed, $failed failed, $absent without their tool"
[ "$failed" -eq 0 ]
