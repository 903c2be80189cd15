#!/usr/bin/env bash
# Starts and stops a server under test for the conformance programs.
#
#   server.sh start FOLDER [FLAG...]   starts on a free port; prints the URL. The port is not one
#                                      that the kernel hands out, to be free for a restart
#   server.sh restart FOLDER           stops it and starts it again on the same port
#   server.sh stop FOLDER
#
# SERVER is the binary, SHARDS the number of shards (ignored by a nats-server, which has none).
set -euo pipefail

launch() { # FOLDER PORT
    local folder=$1 port=$2 shards=() flags=()
    mapfile -t flags < "$folder/flags"
    case $(basename "$SERVER") in
        nats-server*) ;;
        *) shards=(--shards "$SHARDS") ;;
    esac
    rm --force "$folder"/*.ports
    "$SERVER" -a 127.0.0.1 -p "$port" --ports_file_dir "$folder" "${shards[@]}" "${flags[@]}" \
        >> "$folder/log" 2>&1 < /dev/null &
    echo $! > "$folder/pid"
    for _ in $(seq 1000); do
        if grep --quiet '://[^"]*"' "$folder"/*.ports 2> /dev/null; then
            # A server with TLS has another scheme there, which not every client knows.
            grep --no-filename --only-matching '\(nats\|tls\)://[^"]*' "$folder"/*.ports |
                sed 's|^tls:|nats:|' | tee "$folder/url"
            return
        fi
        kill -0 "$(< "$folder/pid")" 2> /dev/null || break
        sleep 0.01
    done
    echo "the server does not start:" >&2
    cat "$folder/log" >&2
    exit 1
}

halt() { # FOLDER
    local pid
    pid=$(< "$1/pid")
    kill "$pid" 2> /dev/null || true
    for _ in $(seq 500); do
        kill -0 "$pid" 2> /dev/null || return 0
        sleep 0.01
    done
    echo "the server does not stop" >&2
    exit 1
}

command=$1 folder=$2
shift 2
case $command in
    start)
        mkdir --parents "$folder"
        printf '%s\n' "$@" > "$folder/flags"
        [ $# -gt 0 ] || : > "$folder/flags"
        for attempt in 1 2 3 4 5; do
            if (launch "$folder" $((20000 + RANDOM % 10000))); then exit 0; fi
            echo "attempt $attempt failed" >&2
        done
        exit 1
        ;;
    restart)
        url=$(< "$folder/url")
        halt "$folder"
        launch "$folder" "${url##*:}"
        ;;
    stop) halt "$folder" ;;
    *)
        echo "unknown command $command" >&2
        exit 1
        ;;
esac
