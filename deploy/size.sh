#!/usr/bin/env bash
#
# Measures the binaries of the image, slim and full, beside stock Caddy, all built
# in the same way: their size, their memory idle, and the time from their start to
# the answer of their first call. Linux. It takes two minutes beyond the builds;
# `deploy/size.sh -runs 30` starts each 30 times instead of 10.

set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
work=$(mktemp -d "${TMPDIR:-/tmp}/convoai-size.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

CDPATH='' cd -- "$root"
deploy/build-image.sh binary ./cmd/caddy-slim "$work/slim"
deploy/build-image.sh binary ./cmd/caddy "$work/full"
deploy/build-image.sh binary ./deploy/measure/stock "$work/stock"
GOWORK=off go build -buildvcs=false -o "$work/measure" ./deploy/measure
"$work/measure" "$@" "slim=$work/slim" "full=$work/full" "stock=$work/stock"
