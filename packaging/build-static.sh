#!/bin/sh
# Builds a binary that needs no library of the machine it runs on, and prints where it is: packaging/build-static.sh [PROFILE]
#
# PROFILE is release or dev. One thing is not in it: glibc asks the libraries of the machine for names of hosts. Where they
# are missing or of another version, the receiver of `[audit] syslog` has to be named by its address.
set -eu
cd "$(dirname "$0")/.."

profile=${1:-release}
if [ "$profile" = dev ]; then output=debug; else output=$profile; fi
target="$(uname -m)-unknown-linux-gnu"
binary="${CARGO_TARGET_DIR:-target}/$target/$output/scimlite"
# With a target of its own, the flag does not reach build scripts and macros, which cannot be static.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --profile "$profile" --target "$target"
if readelf --program-headers "$binary" | grep -q INTERP; then
    echo "$binary needs a loader: it is not static" >&2
    exit 1
fi
echo "$binary"
