#!/usr/bin/env bash
# Makes what TLS and keys need: certificates and keys of an authority of its own, configurations of
# servers that want them, and credentials of an operator.
#
#   secure.sh FOLDER NSC-BINARY
#
# In FOLDER then: ca.pem, server.pem and .key, client.pem and .key (ann@example.com), stranger.pem
# and .key (of another authority), user.seed, user.creds; plain.conf, first.conf, mutual.conf,
# mapped.conf and operator.conf.
set -euo pipefail

folder=$1 nsc=$2
mkdir --parents "$folder"
cd "$folder"

authority() { # NAME
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem"
}

certificate() { # NAME AUTHORITY SUBJECT-ALT-NAME
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$1.key" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 2 \
        -extfile <(echo "subjectAltName=$3") -out "$1.pem"
}

{
    authority ca
    authority other
    certificate server ca DNS:localhost,IP:127.0.0.1
    certificate client ca email:ann@example.com
    certificate stranger other email:ann@example.com
} 2> openssl.log

tls="cert_file: \"$folder/server.pem\", key_file: \"$folder/server.key\", ca_file: \"$folder/ca.pem\""
# Those of closed.conf.
users='authorization { users: [
    { user: ann, password: secret }
    { nkey: UBINYEGO2GOZFFKLRPD53UCERVVKIIQBBW3RYEWX274ERT6CMFSZOW6M }
] }'
echo SUAMX7SLAPHXB7Z57KQF4TVZAYLWKDOHUUTJ4GS6ZE72IW7EYLZDM2YVN4 > user.seed

printf 'tls { %s }\n%s\n' "$tls" "$users" > plain.conf
printf 'tls { %s, handshake_first: true }\n' "$tls" > first.conf
printf 'tls { %s, verify: true }\n' "$tls" > mutual.conf
printf 'tls { %s, verify_and_map: true }\nauthorization { users: [ { user: "%s" } ] }\n' \
    "$tls" ann@example.com > mapped.conf

export HOME=$folder XDG_CONFIG_HOME=$folder/config XDG_DATA_HOME=$folder/data
export NKEYS_PATH=$folder/keys NSC_HOME=$folder/nsc NSC_NO_GIT_IGNORE=true
{
    "$nsc" init --name OP --dir "$folder/stores"
    "$nsc" generate creds --account OP --name OP > user.creds
    "$nsc" generate config --mem-resolver --config-file operator.conf --force
    printf '\ntls { %s }\n' "$tls" >> operator.conf
} > nsc.log 2>&1
