#!/usr/bin/env bash
# What operators do with the nats command line, against the server at NATS_SYSTEM_URL, which reads
# system.conf.
#
#   operator.sh NATS-BINARY
#
# The last line is "N passed, N failed".
set -euo pipefail
# shellcheck source=tests/conformance/run.sh
. "$(dirname "$0")/run.sh"

nats=$1
folder=$(mktemp --directory)
export HOME=$folder XDG_CONFIG_HOME=$folder
trap 'rm --recursive --force "$folder"' EXIT

as() { # USER ARGUMENT...
    local user=$1
    shift
    timeout 20 "$nats" --server "$NATS_SYSTEM_URL" --user "$user" --password secret \
        --timeout 2s "$@" < /dev/null
}

# Runs the command line as this user and wants to read this. Not in a pipe: grep would leave at the
# first match, and the command line would die of writing on.
shows_to() { # USER PATTERN ARGUMENT...
    local user=$1 pattern=$2 output
    shift 2
    output=$(as "$user" "$@" 2>&1)
    echo "$output"
    grep --quiet --regexp "$pattern" <<< "$output"
}

shows() { shows_to admin "$@"; } # PATTERN ARGUMENT...

id() { as admin request '$SYS.REQ.SERVER.PING.IDZ' '' --raw 2> /dev/null | json "['id']"; }

# A part of the JSON on standard input.
json() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# A client of account A that stays until the test ends; waits until it is there.
client() {
    timeout 30 "$nats" --server "$NATS_SYSTEM_URL" --user ann --password secret \
        sub 'some.>' --queue workers > "$folder/client" 2>&1 &
    for _ in $(seq 200); do
        cid=$(as admin request '$SYS.REQ.ACCOUNT.A.CONNZ' '' --raw 2> /dev/null |
            json "['data']['connections'][0]['cid']" 2> /dev/null) && return
        sleep 0.05
    done
    return 1
}

server_list() { shows 'conformance' server list; }
server_ping() { shows '^conformance .*rtt=' server ping; }
server_info() { shows 'Server information for conformance' server info; }
report_connections() { client; shows '127.0.0.1:.*| A \|│ A ' server report connections; }
report_accounts() { client; shows 'Accounts Overview' server report accounts; }
report_jetstream() { shows 'JetStream Summary' server report jetstream; }
check_connection() { shows '^OK' server check connection; }
check_server() { shows '^OK conformance' server check server --name conformance; }
account_info() { client; shows 'Account information for account A' server account info A; }
own_account() { shows_to ann 'Account: A' account info; }

# Every kind of figures, each with something of its own in it.
requests() {
    local what
    for what in connections:num_connections variables:max_payload \
        subscriptions:num_subscriptions accounts:system_account gateways:outbound_gateways \
        leafnodes:leafs routes:num_routes jetstream:disabled jetstream-health:status_code \
        ipqueue:data raft:data; do
        shows "\"${what#*:}\"" server request "${what%%:*}"
    done
}

# Answers come packed if the client can unpack them, which this one asks for by default.
filters() {
    shows '"num_connections":1' server request connections --name conformance --limit 1
    ! shows . server request variables --name another
}

kick() {
    client
    shows 'conformance' server request kick "$cid" "$(id)"
    # It comes back, as somebody else.
    for _ in $(seq 100); do
        grep --quiet --ignore-case 'disconnect' "$folder/client" && return
        sleep 0.05
    done
    return 1
}

reload() { shows 'conformance' server config reload "$(id)" --force; }

events() {
    timeout 30 "$nats" --server "$NATS_SYSTEM_URL" --user admin --password secret \
        events --all --json > "$folder/events" 2>&1 &
    for _ in $(seq 100); do
        as ann pub x y > /dev/null 2>&1
        grep --quiet 'client_disconnect' "$folder/events" && return
        sleep 0.1
    done
    cat "$folder/events"
    return 1
}

run_all server_list server_ping server_info report_connections report_accounts \
    report_jetstream check_connection check_server account_info own_account requests filters \
    kick reload events
