#!/usr/bin/env bash
#
# Builds ./caddy, Caddy with the ConvoAI modules of this working copy, by the
# xcaddy that tools/go.mod pins and the Caddy version that go.mod names; and
# runs it. `./xcaddy.sh help` tells the rest.

set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
module=github.com/caddy-convoai/convoai
binary=$root/caddy
stamp=

# A credential of any mode, directly or in a file, makes `run` the sidecar; the
# secret of a half-given Basic credential too, so that `caddy convoai run` gets
# to say what is missing.
credentials=(AGORA_APP_CERTIFICATE APP_CERTIFICATE AGORA_CUSTOMER_ID AGORA_CUSTOMER_SECRET AGORA_AUTH_TOKEN)

usage() {
	cat <<'EOF'
Usage:
  ./xcaddy.sh [build]       build ./caddy
  ./xcaddy.sh run [ARG...]  build ./caddy if it is missing or older than the
                            sources, then run it: `caddy convoai run ARG...`
                            if the environment holds a credential, otherwise
                            `caddy convoai demo ARG...`
  ./xcaddy.sh help          show this text

A credential is any of AGORA_APP_CERTIFICATE, APP_CERTIFICATE,
AGORA_CUSTOMER_ID, AGORA_CUSTOMER_SECRET and AGORA_AUTH_TOKEN, or the same
name with _FILE added. xcaddy's own variables (XCADDY_...), GOOS, GOARCH and
CGO_ENABLED (default 0) apply to the build.
EOF
}

say() { printf 'xcaddy.sh: %s\n' "$*" >&2; }

die() {
	say "$@"
	exit 1
}

clean_up() { if [ -n "$stamp" ]; then rm -f -- "$stamp" "$stamp.new"; fi; }

# go_directive prints the Go version that go.mod asks for, such as 1.26.0.
go_directive() { awk '$1 == "go" { print $2; exit }' "$root/go.mod"; }

# caddy_version prints the Caddy version that go.mod requires, such as v2.11.9.
caddy_version() {
	awk '{ for (i = 1; i < NF; i++) if ($i == "github.com/caddyserver/caddy/v2") { print $(i + 1); exit } }' "$root/go.mod"
}

# at_least A B succeeds if version A is B or later. Only the numbers count:
# 1.27rc1 is at least 1.26.0, and 1.26 is 1.26.0.
at_least() {
	local have want i
	IFS=. read -r -a have <<<"${1%%[!0-9.]*}"
	IFS=. read -r -a want <<<"${2%%[!0-9.]*}"
	for i in 0 1 2; do
		if ((10#${have[i]:-0} != 10#${want[i]:-0})); then
			((10#${have[i]:-0} > 10#${want[i]:-0}))
			return
		fi
	done
}

# require_go makes sure that a Go toolchain of the wanted version is there. From
# Go 1.21 on, an older one fetches the wanted one itself, unless GOTOOLCHAIN
# forbids it or nothing can be downloaded; `go env` says what would really run.
require_go() {
	local want have
	want=$(go_directive)
	if ! command -v go >/dev/null 2>&1; then
		die "Go $want or later is needed to build, and no go command is in the PATH. Install it from https://go.dev/dl/ and run this again."
	fi
	if ! have=$(CDPATH='' cd -- "$root" && GOWORK=off go env GOVERSION); then
		die "Go $want or later is needed to build; the installed $(command -v go) is not, and could not fetch it (see above). Install it from https://go.dev/dl/ and run this again."
	fi
	if [ -z "$have" ] || ! at_least "${have#go}" "$want"; then
		die "Go $want or later is needed to build; $(command -v go) is ${have:-of an unknown version}. Install it from https://go.dev/dl/ and run this again."
	fi
}

# build leaves the binary in place only once it is whole. Its time is that of the
# start, so that a source saved during the build counts as newer.
build() {
	local caddy
	require_go
	caddy=$(caddy_version)
	[ -n "$caddy" ] || die "go.mod does not name a version of github.com/caddyserver/caddy/v2"
	say "building $binary with Caddy $caddy; the first time takes some minutes"
	stamp=$(mktemp "$root/.caddy-build.XXXXXX")
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	# A go.work around this folder must not have a say. xcaddy itself is built for
	# this machine, whatever GOOS and GOARCH ask for. It takes the module from the
	# folder; the version is only a name for it.
	(
		CDPATH='' cd -- "$root" &&
			export GOWORK=off CGO_ENABLED="${CGO_ENABLED:-0}" &&
			xcaddy=$(GOOS='' GOARCH='' go tool -modfile=tools/go.mod -n xcaddy) &&
			"$xcaddy" build "$caddy" --with "$module@v0.0.0=$root" --output "$stamp.new"
	) </dev/null >&2 || die "the build failed (see above)"
	[ -f "$stamp.new" ] || die "xcaddy built nothing (is XCADDY_SKIP_BUILD set?)"
	touch -r "$stamp" "$stamp.new"
	mv -f -- "$stamp.new" "$binary"
	clean_up
	say "built $binary"
}

# stale succeeds if there is no binary, or something that goes into it is newer.
stale() {
	[ -x "$binary" ] || return 0
	local newer
	newer=$(
		CDPATH='' cd -- "$root"
		find . \( -name '.?*' -o -name testdata -o -name 'buildenv_*' -o -path ./docs -o -path ./deploy -o -path ./integration \) -prune \
			-o -type f \( -name '*.go' -o -name go.mod -o -name go.sum -o -path './*/*' -o -path ./xcaddy.sh \) \
			! -name '*_test.go' ! -name '*.md' -newer "$binary" -print \
			-o -type d -path './*' -newer "$binary" -print | head -n 1
	)
	[ -n "$newer" ]
}

has_credential() {
	local name file
	for name in "${credentials[@]}"; do
		file=${name}_FILE
		if [ -n "${!name:-}" ] || [ -n "${!file:-}" ]; then
			return 0
		fi
	done
	return 1
}

run() {
	if stale; then
		build
	fi
	if has_credential; then
		say "a credential is in the environment: starting the sidecar (caddy convoai run)"
		exec "$binary" convoai run "$@"
	fi
	say "no credential in the environment (${credentials[*]}, or one of them with _FILE): starting the demo (caddy convoai demo), with a simulator in the place of the vendor's API"
	exec "$binary" convoai demo "$@"
}

case ${1:-build} in
build)
	if [ $# -gt 1 ]; then
		usage >&2
		exit 2
	fi
	build
	;;
run)
	shift
	run "$@"
	;;
help | -h | --help)
	usage
	;;
*)
	usage >&2
	exit 2
	;;
esac
