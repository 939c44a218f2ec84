#!/bin/sh
# A binary that needs no library of the machine it runs on: target/<target>/release/scimlite
set -eu
cd "$(dirname "$0")/.."

target="$(uname -m)-unknown-linux-gnu"
binary="target/$target/release/scimlite"
# With a target of its own, the flag does not reach build scripts and macros, which cannot be static.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target "$target"
if readelf --program-headers "$binary" | grep -q INTERP; then
    echo "$binary needs a loader: it is not static" >&2
    exit 1
fi
echo "$binary"
