#!/usr/bin/env bash
# TLS, certificates, credentials and keys with the nats command line, against servers with the
# configurations that secure.sh made.
#
#   secure_cli.sh NATS-BINARY
#
# SECURE is the folder of secure.sh; NATS_PLAIN_URL and so on are the servers. The last line is "N
# passed, N failed".
set -euo pipefail
# shellcheck source=tests/conformance/run.sh
. "$(dirname "$0")/run.sh"

nats=$1
folder=$(mktemp --directory)
export HOME=$folder XDG_CONFIG_HOME=$folder
trap 'rm --recursive --force "$folder"' EXIT

trusts=(--tlsca "$SECURE/ca.pem")
own=(--tlscert "$SECURE/client.pem" --tlskey "$SECURE/client.key")
stranger=(--tlscert "$SECURE/stranger.pem" --tlskey "$SECURE/stranger.key")

rtt() { # URL ARGUMENT...
    local url=$1 output
    shift
    output=$(timeout 20 "$nats" --server "$url" --timeout 2s "$@" rtt 2>&1 || true)
    echo "$output"
    grep --quiet '[0-9]\(µs\|ms\|s\)$' <<< "$output"
}

refused() { # URL ARGUMENT...
    if rtt "$@"; then return 1; fi
}

tls() {
    rtt "$NATS_PLAIN_URL" "${trusts[@]}" --user ann --password secret
    refused "$NATS_PLAIN_URL" "${trusts[@]}" --user ann --password wrong
    refused "$NATS_PLAIN_URL" --user ann --password secret
}

key() { rtt "$NATS_PLAIN_URL" "${trusts[@]}" --nkey "$SECURE/user.seed"; }

handshake_first() {
    rtt "$NATS_FIRST_URL" "${trusts[@]}" --tlsfirst
    refused "$NATS_FIRST_URL" "${trusts[@]}"
}

certificate() {
    rtt "$NATS_MUTUAL_URL" "${trusts[@]}" "${own[@]}"
    refused "$NATS_MUTUAL_URL" "${trusts[@]}"
    refused "$NATS_MUTUAL_URL" "${trusts[@]}" "${stranger[@]}"
}

user_of_a_certificate() { rtt "$NATS_MAPPED_URL" "${trusts[@]}" "${own[@]}"; }

credentials() {
    rtt "$NATS_OPERATOR_URL" "${trusts[@]}" --creds "$SECURE/user.creds"
    refused "$NATS_OPERATOR_URL" "${trusts[@]}"
}

run_all tls key handshake_first certificate user_of_a_certificate credentials
