#!/usr/bin/env bash
# Runs real clients against ringbus: nats.go, nats-py, nats.js, the nats command line and nsc, each in
# the version pinned here and in tests/conformance, each with one and with two shards. A client
# that cannot be installed or run is a failure. What is about TLS and keys is run with two shards.
# The last line is "N passed, N failed".
#
#   RINGBUS_BIN=PATH     the server to test, instead of a fresh debug build; may be a nats-server
#   CONFORMANCE_CACHE=D  where clients are installed (default: target/conformance)
#
# Needs go, python3, node, npm and openssl.
set -euo pipefail

cd "$(dirname "$0")/.."
sources=$PWD/tests/conformance
cache=${CONFORMANCE_CACHE:-$PWD/target/conformance}
cli_version=v0.4.0
nsc_version=v2.12.2
mkdir --parents "$cache"

if [ -n "${RINGBUS_BIN:-}" ]; then
    export SERVER=$RINGBUS_BIN
else
    cargo build --quiet
    export SERVER=$PWD/target/debug/ringbus
fi

install_go() { (cd "$sources/go" && go build -o "$cache/go-client" .); }

# In its own module folder the pinned dependencies of the command line hold.
install_cli() {
    mkdir --parents "$cache/empty-module"
    (
        cd "$cache/empty-module"
        [ -f go.mod ] || go mod init empty > /dev/null 2>&1
        module=$(go mod download -json "github.com/nats-io/natscli@$cli_version" |
            sed --quiet 's/.*"Dir": "\(.*\)".*/\1/p')
        cd "$module"
        go build -o "$cache/nats" ./nats
    )
}

install_nsc() {
    (
        cd "$cache/empty-module"
        module=$(go mod download -json "github.com/nats-io/nsc/v2@$nsc_version" |
            sed --quiet 's/.*"Dir": "\(.*\)".*/\1/p')
        cd "$module"
        go build -o "$cache/nsc" .
    )
}

install_python() {
    python3 -m venv "$cache/python"
    "$cache/python/bin/pip" install --quiet --requirement "$sources/python/requirements.txt"
}

install_node() {
    mkdir --parents "$cache/node"
    cp "$sources"/node/* "$cache/node/"
    (cd "$cache/node" && npm ci --silent)
}

passed=0 failed=0
folder=$(mktemp --directory)
servers=()
finish() {
    for server in "${servers[@]}"; do "$sources/server.sh" stop "$server" || true; done
    rm --recursive --force "$folder"
}
trap finish EXIT

# Runs one client program and adds up its last line.
run() { # NAME COMMAND...
    local name=$1 last
    shift
    echo "--- $name, $SHARDS shard(s)"
    timeout 300 "$@" 2> "$folder/stderr" | tee "$folder/output" || true
    last=$(tail --lines 1 "$folder/output")
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] && [ "${BASH_REMATCH[1]}" -gt 0 ]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    else
        echo "FAILED $name did not finish:"
        cat "$folder/stderr"
        failed=$((failed + 1))
    fi
}

for client in go cli nsc python node; do
    if ! "install_$client" > "$folder/install" 2>&1; then
        echo "FAILED to install the $client client:"
        cat "$folder/install"
        failed=$((failed + 1))
    fi
done

for shards in 1 2; do
    export SHARDS=$shards
    open=$folder/open-$shards closed=$folder/closed-$shards
    NATS_URL=$("$sources/server.sh" start "$open")
    servers+=("$open")
    NATS_AUTH_URL=$("$sources/server.sh" start "$closed" -c "$sources/closed.conf")
    servers+=("$closed")
    system=$folder/system-$shards
    NATS_SYSTEM_URL=$("$sources/server.sh" start "$system" -c "$sources/system.conf")
    servers+=("$system")
    export NATS_URL NATS_AUTH_URL NATS_SYSTEM_URL RESTART="$sources/server.sh restart $open"
    run nats.go "$cache/go-client"
    run nats-py "$cache/python/bin/python" "$sources/python/client.py"
    run nats.js node "$cache/node/client.js"
    run 'nats command line' "$sources/cli.sh" "$cache/nats"
    run 'nats command line, operator' "$sources/operator.sh" "$cache/nats"
    run 'nsc' "$sources/nsc.sh" "$cache/nats" "$cache/nsc"
done

# Clients over TLS, with certificates, credentials and keys.
export SECURE=$folder/secure
"$sources/secure.sh" "$SECURE" "$cache/nsc"
for name in plain first mutual mapped operator; do
    server=$folder/server-$name
    url=$("$sources/server.sh" start "$server" -c "$SECURE/$name.conf")
    servers+=("$server")
    export "NATS_${name^^}_URL=$url"
done
run 'nats.go, TLS' "$cache/go-client"
run 'nats-py, TLS' "$cache/python/bin/python" "$sources/python/secure.py"
run 'nats.js, TLS' node "$cache/node/secure.js"
run 'nats command line, TLS' "$sources/secure_cli.sh" "$cache/nats"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
