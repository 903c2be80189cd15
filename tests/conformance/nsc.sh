#!/usr/bin/env bash
# What operators and users do with material that nsc made: push, lists, creds files, roles,
# revocations, deletion.
#
#   nsc.sh NATS-BINARY NSC-BINARY
#
# SERVER and SHARDS are those of server.sh. The last line is "N passed, N failed".
set -euo pipefail
# shellcheck source=tests/conformance/run.sh
. "$(dirname "$0")/run.sh"

nats=$1 nsc=$2
sources=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp --directory)
export HOME=$folder XDG_CONFIG_HOME=$folder/config XDG_DATA_HOME=$folder/data
export NKEYS_PATH=$folder/keys NSC_HOME=$folder/nsc NSC_NO_GIT_IGNORE=true
finish() {
    "$sources/server.sh" stop "$folder/server" > /dev/null 2>&1 || true
    rm --recursive --force "$folder"
}
trap finish EXIT

creds() { echo "$folder/keys/creds/OP/$1.creds"; } # ACCOUNT/USER

as() { # ACCOUNT/USER ARGUMENT...
    local user=$1
    shift
    timeout 20 "$nats" --server "$url" --creds "$(creds "$user")" --timeout 5s "$@" < /dev/null
}

shows() { # PATTERN COMMAND...
    local pattern=$1 output
    shift
    output=$("$@" 2>&1 || true)
    echo "$output"
    grep --quiet --regexp "$pattern" <<< "$output"
}

# An operator with a system account, an account and a user in each, and a server that knows only the
# operator and its system account.
prepare() {
    "$nsc" init --name OP --dir "$folder/stores"
    "$nsc" generate config --nats-resolver --config-file "$folder/server.conf" --force
    sed --in-place --regexp-extended \
        -e "s|^( *)dir: .*|\1dir: \"$folder/jwt\"|; s|allow_delete: false|allow_delete: true|" \
        "$folder/server.conf"
    url=$("$sources/server.sh" start "$folder/server" -c "$folder/server.conf")
    "$nsc" edit operator --account-jwt-server-url "$url"
} > "$folder/prepare" 2>&1

push() { shows 'jwt updated' "$nsc" push --all; }
pull() { shows 'stored account "OP"' "$nsc" pull --all; }

publish_and_subscribe() {
    as OP/OP sub foo --count 1 > "$folder/heard" 2>&1 &
    local listener=$!
    for _ in $(seq 100); do
        as OP/OP pub foo hello > /dev/null
        kill -0 $listener 2> /dev/null || break
        sleep 0.1
    done
    grep --quiet hello "$folder/heard"
}

system_account() { shows 'Cluster Overview\|Server Overview' as SYS/sys server list; }

role() {
    "$nsc" edit signing-key --account OP --role worker --sk generate \
        --allow-pub 'w.{{name()}}.>' --allow-sub '_INBOX.>'
    "$nsc" add user --account OP --name joe -K worker
    shows 'jwt updated' "$nsc" push --account OP
    shows 'Published' as OP/joe pub w.joe.x hi
    shows 'Permissions Violation for Publish to "w.eve.x"' as OP/joe pub w.eve.x hi
}

revoked() {
    "$nsc" add user --account OP --name gone
    as OP/gone sub foo > "$folder/gone" 2>&1 &
    sleep 1
    "$nsc" revocations add-user --account OP --name gone
    shows 'jwt updated' "$nsc" push --account OP
    for _ in $(seq 100); do
        grep --quiet --ignore-case 'revoked\|disconnected' "$folder/gone" && break
        sleep 0.1
    done
    shows 'Authorization Violation' as OP/gone pub foo hi
}

deleted() {
    "$nsc" delete account --name OP --force --rm-creds=false
    shows 'pruned\|deleted 1 accounts' "$nsc" push --prune --all
    shows 'Authorization Violation' as OP/OP pub foo hi
}

prepare
run_all push pull publish_and_subscribe system_account role revoked deleted
