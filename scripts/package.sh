#!/usr/bin/env bash
# Builds the Debian package of ringbus: scripts/package.sh [<folder for the .deb>]
#
# PROFILE names the profile of cargo to build with (release). Needs dpkg-deb and gzip; nothing of
# the host but the binary's libraries decides what is in the package.
set -euo pipefail
cd "$(dirname "$0")/.."

out="${1:-target/package}"
profile="${PROFILE:-release}"
version="$(sed -n '/^\[workspace.package\]/,/^version/s/^version = "\(.*\)"/\1/p' Cargo.toml)"
architecture="$(dpkg --print-architecture)"
root="$(mktemp --directory)"
trap 'rm --recursive --force "$root"' EXIT
folder="$profile"
[ "$profile" != dev ] || folder=debug
target="${CARGO_TARGET_DIR:-target}/$folder"

cargo build --quiet --locked --profile "$profile" --bin ringbus --example manual
"$target/examples/manual" "$root/manual"

umask 022
put() { # mode, from, to
    install -D --mode="$1" "$2" "$root/deb/$3"
}
put 755 "$target/ringbus" usr/bin/ringbus
strip --strip-unneeded "$root/deb/usr/bin/ringbus"
put 644 scripts/systemd/ringbus.service lib/systemd/system/ringbus.service
put 644 scripts/systemd/ringbus.socket lib/systemd/system/ringbus.socket
put 644 scripts/systemd/ringbus.sysusers usr/lib/sysusers.d/ringbus.conf
put 644 scripts/systemd/ringbus.tmpfiles usr/lib/tmpfiles.d/ringbus.conf
put 644 scripts/package/ringbus.conf etc/ringbus/ringbus.conf
put 644 "$root/manual/ringbus.1" usr/share/man/man1/ringbus.1
put 644 "$root/manual/ringbus.bash" usr/share/bash-completion/completions/ringbus
put 644 "$root/manual/_ringbus" usr/share/zsh/vendor-completions/_ringbus
put 644 "$root/manual/ringbus.fish" usr/share/fish/vendor_completions.d/ringbus.fish
put 644 README.md usr/share/doc/ringbus/README.md
put 644 linux-only.md usr/share/doc/ringbus/linux-only.md
put 644 scripts/docker/Dockerfile usr/share/doc/ringbus/examples/Dockerfile
put 644 scripts/docker/seccomp.json usr/share/doc/ringbus/examples/seccomp.json
put 644 scripts/package/copyright usr/share/doc/ringbus/copyright
entry='ringbus (%s) unstable; urgency=medium\n\n  * See the history of the sources.\n\n -- %s  %s\n'
printf "$entry" "$version" \
    'ringbus maintainers <maintainers@ringbus.invalid>' \
    "$(date --utc --date="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" --rfc-email)" \
    >"$root/changelog"
put 644 "$root/changelog" usr/share/doc/ringbus/changelog
gzip --best --no-name "$root/deb/usr/share/man/man1/ringbus.1" \
    "$root/deb/usr/share/doc/ringbus/changelog"

for script in postinst prerm postrm; do
    put 755 "scripts/package/$script" "DEBIAN/$script"
done
echo /etc/ringbus/ringbus.conf >"$root/deb/DEBIAN/conffiles"
libc="$(objdump --dynamic-syms "$root/deb/usr/bin/ringbus" |
    sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort --version-sort --unique | tail --lines=1)"
cat >"$root/deb/DEBIAN/control" <<CONTROL
Package: ringbus
Version: $version
Architecture: $architecture
Maintainer: ringbus maintainers <maintainers@ringbus.invalid>
Installed-Size: $(du --summarize --block-size=1024 "$root/deb" | cut --fields=1)
Depends: libc6 (>= $libc), libgcc-s1
Recommends: systemd
Section: net
Priority: optional
Description: NATS server for bare-metal Linux
 A drop-in server for the messaging protocol of NATS. One pinned shard per core
 serves clients through io_uring. It takes the flags and the configuration of
 nats-server, so that every client and tool works with it. It needs Linux 6.1
 or newer: 'ringbus doctor' says what a host lacks.
CONTROL

mkdir --parents "$out"
deb="$out/ringbus_${version}_$architecture.deb"
dpkg-deb --root-owner-group --build "$root/deb" "$deb" >/dev/null
echo "$deb"
