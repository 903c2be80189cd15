#!/usr/bin/env bash
# Builds the package, unpacks it into a root of its own and looks at everything in it:
# scripts/package_check.sh [<number of starts>]
#
# Needs dpkg-deb, lintian, systemd-analyze, strace, jq and man. Starts the packaged binary on a free
# port of the loopback interface. PROFILE is as for scripts/package.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

starts="${1:-200}"
exposure_max=1.5
work="$(mktemp --directory)"
trap 'rm --recursive --force "$work"' EXIT

deb="$(scripts/package.sh "$work")"
root="$work/root"
dpkg-deb --extract "$deb" "$root"
dpkg-deb --control "$deb" "$work/control"
lintian --fail-on error,warning --suppress-tags \
    initial-upload-closes-no-bugs,changelog-file-missing-in-native-package "$deb"
echo "OK lintian $(basename "$deb") $(stat --format=%s "$deb") bytes"

# Installed by dpkg itself, without running what a real system would.
mkdir --parents "$work/dpkg/var/lib/dpkg"/{info,updates}
touch "$work/dpkg/var/lib/dpkg/status"
dpkg --root="$work/dpkg" --force-depends --force-script-chrootless --force-not-root \
    --log="$work/dpkg.log" --unpack "$deb" >"$work/dpkg.out" 2>&1 || {
    cat "$work/dpkg.out"
    exit 1
}
# Not in a pipe: grep would leave at the first match, and dpkg would die of writing on.
files=$(dpkg --root="$work/dpkg" --listfiles ringbus)
grep --quiet --line-regexp /usr/bin/ringbus <<<"$files"
echo "OK dpkg unpacks it"

for script in "$work/control"/{postinst,prerm,postrm}; do
    sh -n "$script"
done
bash -n "$root/usr/share/bash-completion/completions/ringbus"
for shell in zsh:zsh/vendor-completions/_ringbus fish:fish/vendor_completions.d/ringbus.fish; do
    if command -v "${shell%%:*}" >/dev/null; then
        "${shell%%:*}" -n "$root/usr/share/${shell#*:}"
    fi
done
warnings="$(LC_ALL=C.UTF-8 man --warnings --local-file \
    "$root/usr/share/man/man1/ringbus.1.gz" 2>&1 >/dev/null)"
[ -z "$warnings" ] || { echo "$warnings" && exit 1; }
echo "OK scripts, completions, manual page"

"$root/usr/bin/ringbus" -t -c "$root/etc/ringbus/ringbus.conf"
echo "OK configuration"

unit="$root/lib/systemd/system/ringbus.service"
sed "s|/usr/bin/ringbus|$root/usr/bin/ringbus|;/^Documentation/d" "$unit" >"$work/ringbus.service"
sed '/^Documentation/d' "${unit%.service}.socket" >"$work/ringbus.socket"
problems="$(systemd-analyze verify "$work"/ringbus.{service,socket} 2>&1)"
[ -z "$problems" ] || { echo "$problems" && exit 1; }
exposure="$(systemd-analyze security --offline=true "$unit" |
    sed -n 's/.*Overall exposure level for ringbus.service: \([0-9.]*\).*/\1/p')"
awk "BEGIN { exit !($exposure <= $exposure_max) }"
echo "OK exposure $exposure (at most $exposure_max)"

# Every system call of the server, from start to end, passes the filters of unit and container.
expand() {
    systemd-analyze syscall-filter "$1" | tail --lines=+2 | sed 's/^ *//;/^#/d;/^$/d' |
        while read -r name; do
            case "$name" in @*) expand "$name" ;; *) echo "$name" ;; esac
        done
}
sed -n 's/^SystemCallFilter=//p' "$unit" | while read -r line; do
    sign=+
    case "$line" in '~'*) sign=- ;; esac
    for word in ${line#'~'}; do
        case "$word" in @*) expand "$word" ;; *) echo "$word" ;; esac | sed "s/^/$sign/"
    done
done | awk '{ if (/^[+]/) on[substr($0, 2)] = 1; else delete on[substr($0, 2)] }
    END { for (name in on) print name }' | sort >"$work/unit_allows"
jq --raw-output '.syscalls[] | select(.action == "SCMP_ACT_ALLOW") | .names[]' \
    scripts/docker/seccomp.json | cat - <(echo clone3) | sort >"$work/image_allows"
mkdir "$work/run"
strace --follow-forks --quiet=all --output="$work/calls" \
    timeout --signal=TERM 3 "$root/usr/bin/ringbus" -a 127.0.0.1 -p -1 -P "$work/run/pid" \
    -l "$work/run/log" --log_size_limit 500 -DV || [ "$?" = 124 ]
# What timeout itself calls is not the server's: its process is the first.
first="$(head --lines=1 "$work/calls" | cut --delimiter=' ' --fields=1)"
grep --invert-match "^$first " "$work/calls" | sed -n 's/^[0-9]* *\([a-z_0-9]*\)(.*/\1/p' |
    sort --unique >"$work/called"
grep --quiet io_uring_enter "$work/called"
grep --quiet sched_setaffinity "$work/called"
for filter in unit_allows image_allows; do
    missing="$(comm -23 "$work/called" "$work/$filter")"
    [ -z "$missing" ] || { echo "$filter lacks:" $missing && exit 1; }
done
echo "OK $(wc --lines <"$work/called") system calls, all of them allowed"

RINGBUS_STARTS="$starts" cargo test --quiet --locked --package ringbus --test operation \
    ready_is_told -- --nocapture | grep starts:
