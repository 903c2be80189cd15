#!/usr/bin/env bash
# What operators and users do with material that nsc made: push, lists, creds files, roles,
# revocations, exports and imports with activation tokens, deletion.
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

# Whether a subscriber of account TAKER hears on IN what account GIVER publishes on OUT.
is_taken() { # IN OUT
    local listener
    rm --force "$folder/taken"
    as TAKER/taker sub "$1" --count 1 > "$folder/taken" 2>&1 &
    listener=$!
    for _ in $(seq 30); do
        as GIVER/giver pub "$2" taken > /dev/null
        kill -0 $listener 2> /dev/null || break
        sleep 0.1
    done
    kill $listener 2> /dev/null || true
    grep --quiet '^taken' "$folder/taken"
}

# A public stream, then a service, of another account that is pushed after the one that imports.
imports() {
    for account in GIVER TAKER; do
        "$nsc" add account --name $account
        "$nsc" add user --account $account --name "${account,,}"
    done
    "$nsc" add export --account GIVER --subject 'open.>'
    "$nsc" add export --account GIVER --subject 'help' --service
    local giver
    giver=$("$nsc" describe account --name GIVER --field sub | tr --delete '"')
    "$nsc" add import --account TAKER --src-account "$giver" --remote-subject 'open.>' \
        --local-subject 'in.>'
    "$nsc" add import --account TAKER --src-account "$giver" --remote-subject help \
        --local-subject ask --service
    shows 'jwt updated' "$nsc" push --account TAKER
    shows 'jwt updated' "$nsc" push --account GIVER
    is_taken 'in.>' open.x
    as GIVER/giver reply help 'at once' > "$folder/helper" 2>&1 &
    for _ in $(seq 50); do
        if shows 'at once' as TAKER/taker request ask please; then return; fi
        sleep 0.1
    done
    return 1
}

# A private stream, with a token, which is taken back then.
private_import() {
    local taker
    taker=$("$nsc" describe account --name TAKER --field sub | tr --delete '"')
    "$nsc" add export --account GIVER --subject 'closed.>' --private
    "$nsc" generate activation --account GIVER --subject 'closed.>' --target-account "$taker" \
        --output-file "$folder/activation"
    "$nsc" add import --account TAKER --token "$folder/activation" --local-subject 'priv.>'
    shows 'jwt updated' "$nsc" push --account GIVER
    shows 'jwt updated' "$nsc" push --account TAKER
    is_taken 'priv.>' closed.x
    sleep 1
    "$nsc" revocations add-activation --account GIVER --subject 'closed.>' \
        --target-account "$taker" --at 0
    shows 'jwt updated' "$nsc" push --account GIVER
    ! is_taken 'priv.>' closed.x
    is_taken 'in.>' open.x
}

deleted() {
    "$nsc" delete account --name OP --force --rm-creds=false
    shows 'pruned\|deleted 1 accounts' "$nsc" push --prune --all
    shows 'Authorization Violation' as OP/OP pub foo hi
}

prepare
run_all push pull publish_and_subscribe system_account role revoked imports private_import deleted
