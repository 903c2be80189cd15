#!/usr/bin/env bash
# What people do with the nats command line, against the server at NATS_URL.
#
#   cli.sh NATS-BINARY
#
# NATS_AUTH_URL is a server that wants ann/secret. The last line is "N passed, N failed".
set -euo pipefail
# shellcheck source=tests/conformance/run.sh
. "$(dirname "$0")/run.sh"

nats=$1
folder=$(mktemp --directory)
export HOME=$folder XDG_CONFIG_HOME=$folder
trap 'rm --recursive --force "$folder"' EXIT

# Runs the command line against the server, with a deadline.
cli() { timeout 20 "$nats" --server "$NATS_URL" --timeout 2s "$@"; }

# Runs the command line and wants to read this. Not in a pipe, which grep would close too early.
shows() { # PATTERN ARGUMENT...
    local pattern=$1 output
    shift
    output=$(cli "$@" 2>&1)
    echo "$output"
    grep --quiet "$pattern" <<< "$output"
}

# Waits until a command succeeds.
eventually() {
    for _ in $(seq 200); do
        if "$@"; then return 0; fi
        sleep 0.05
    done
    echo "never: $*"
    return 1
}

# A request that somebody hears: times out without an answer, but not with "no responders".
somebody_hears() {
    ! timeout 20 "$nats" --server "$NATS_URL" --timeout 100ms request "$1" probe 2>&1 |
        grep --quiet --ignore-case 'no responders'
}

lines() { wc --lines < "$1"; }
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }

pub_and_sub() {
    timeout 20 "$nats" --server "$NATS_URL" sub 'cli.>' --raw --count 4 > "$folder/sub" &
    local subscriber=$!
    eventually somebody_hears cli.probe
    cli pub cli.a 'message {{Count}}' --count 3
    wait "$subscriber"
    diff <(printf '%s\n' probe 'message 1' 'message 2' 'message 3') "$folder/sub"
}

pub_with_headers() {
    timeout 20 "$nats" --server "$NATS_URL" sub head.a --headers-only --count 2 > "$folder/head" &
    local subscriber=$!
    eventually somebody_hears head.a
    cli pub head.a body --header Colour:red
    wait "$subscriber"
    grep --quiet 'Colour: red' "$folder/head"
}

request_and_reply() {
    timeout 20 "$nats" --server "$NATS_URL" reply help --echo --count 2 > "$folder/reply" 2>&1 &
    eventually somebody_hears help
    [ "$(cli request help 'a question' --raw)" = 'a question' ]
}

request_nobody() {
    local output
    output=$(cli request nobody.home hi 2>&1) || true
    grep --quiet --ignore-case 'no responders' <<< "$output"
}

sub_queue() {
    local first=$folder/first second=$folder/second before
    "$nats" --server "$NATS_URL" sub work --queue workers --raw > "$first" &
    "$nats" --server "$NATS_URL" sub work --queue workers --raw > "$second" &
    both_hear() {
        somebody_hears work
        has_lines "$first" 1 && has_lines "$second" 1
    }
    eventually both_hear
    before=$(($(lines "$first") + $(lines "$second")))
    cli pub work job --count 200
    all_came() { [ $(($(lines "$first") + $(lines "$second"))) -ge $((before + 200)) ]; }
    eventually all_came
    sleep 0.2
    [ $(($(lines "$first") + $(lines "$second"))) -eq $((before + 200)) ]
    [ "$(grep --count job "$first")" -gt 40 ]
    [ "$(grep --count job "$second")" -gt 40 ]
}

bench() {
    timeout 60 "$nats" --server "$NATS_URL" bench sub bench.a --msgs 20000 --size 128 \
        --clients 2 --no-progress > "$folder/bench" 2>&1 &
    local subscriber=$!
    eventually somebody_hears bench.a
    cli bench pub bench.a --msgs 20000 --size 128 --clients 2 --no-progress
    wait "$subscriber"
    grep --quiet 'msgs/sec' "$folder/bench"
}

bench_request() {
    timeout 60 "$nats" --server "$NATS_URL" bench service serve bench.service --size 16 \
        --no-progress > "$folder/serve" 2>&1 &
    eventually somebody_hears bench.service
    shows 'msgs/sec' bench service request bench.service --msgs 2000 --clients 4 --no-progress
}

rtt() { shows "$NATS_URL" rtt; }

check_connection() { shows '^OK' server check connection; }

wrong_password() {
    local authorized=("$nats" --server "$NATS_AUTH_URL" --user ann)
    timeout 20 "${authorized[@]}" --password secret pub foo bar
    ! timeout 20 "${authorized[@]}" --password wrong pub foo bar 2> "$folder/refused"
    grep --quiet --ignore-case 'authorization violation' "$folder/refused"
}

a_key() {
    local key=("$nats" --server "$NATS_AUTH_URL" --nkey "$folder/seed")
    echo SUAMX7SLAPHXB7Z57KQF4TVZAYLWKDOHUUTJ4GS6ZE72IW7EYLZDM2YVN4 > "$folder/seed"
    timeout 20 "${key[@]}" pub foo bar
    echo SUAIPW2A7OUIZ34J4ONUPNQMOQFO3UYVF33TQNJ2GNVS62EWNG4LORB5YE > "$folder/seed"
    ! timeout 20 "${key[@]}" pub foo bar 2> "$folder/refused"
    grep --quiet --ignore-case 'authorization violation' "$folder/refused"
}

run_all pub_and_sub pub_with_headers request_and_reply request_nobody sub_queue bench \
    bench_request rtt check_connection wrong_password a_key
