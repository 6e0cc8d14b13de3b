#!/usr/bin/env bash
#
# Builds the container image, or only the binary that is in it. It needs Go, and
# for an image Docker; no registry. `deploy/build-image.sh help` tells the rest.

set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
name=caddy-convoai
context=

usage() {
	cat <<'EOT'
Usage:
  deploy/build-image.sh [slim|full] [TAG...]   build the image; without TAG,
                                               caddy-convoai:slim (or :full);
                                               slim is caddy-convoai:latest too
  deploy/build-image.sh example-app [TAG...]   build the application of
                                               deploy/compose.yaml, by default
                                               caddy-convoai-example-app:latest
  deploy/build-image.sh binary PACKAGE FILE    build only the binary of a package,
                                               such as ./cmd/caddy-slim, into FILE
  deploy/build-image.sh help                   show this text

slim is Caddy with what a sidecar needs, full has all standard modules; see
docs/container.md. The tags are printed on standard output.

GOARCH       architecture, amd64 or arm64 (default: the Docker daemon's)
CA_FILE      PEM file with the CAs for the image (default: those of this system)
EOT
}

say() { printf 'build-image.sh: %s\n' "$*" >&2; }

die() {
	say "$@"
	exit 1
}

clean_up() { if [ -n "$context" ]; then rm -rf -- "$context"; fi; }

# binary PACKAGE FILE builds a static binary as it is in the image. The tags leave
# out databases of Caddy's certificate authority, as xcaddy does, and pages about
# gRPC calls that nobody serves.
binary() {
	local file
	case $2 in
	/*) file=$2 ;;
	*) file=$PWD/$2 ;;
	esac
	(
		CDPATH='' cd -- "$root" &&
			GOWORK=off CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -tags nobadger,nomysql,nopgx,grpcnotrace -ldflags '-s -w' -o "$file" "$1"
	) || die "the build failed (see above)"
}

# ca_file prints the name of the PEM file whose CAs go into the image.
ca_file() {
	local file
	for file in ${CA_FILE:+"$CA_FILE"} /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
		if [ -s "$file" ]; then
			echo "$file"
			return
		fi
		[ "$file" != "${CA_FILE:-}" ] || break
	done
	die "no CA certificates: install ca-certificates, or name a PEM file with CA_FILE"
}

# architecture settles GOARCH.
architecture() {
	local daemon
	daemon=$(docker version --format '{{.Server.Arch}}' 2>/dev/null) || die "the Docker daemon does not answer"
	export GOARCH=${GOARCH:-$daemon}
	platform=()
	if [ "$GOARCH" != "$daemon" ]; then
		platform=(--platform "linux/$GOARCH")
	fi
}

# build DOCKERFILE TAG... builds an image from the context.
build() {
	local dockerfile=$1 tag tags=() built
	shift
	for tag; do tags+=(--tag "$tag"); done
	# The times of the files shall not make an image another one.
	find "$context" -exec touch -h -d '@0' {} + 2>/dev/null || true
	docker build ${platform[@]+"${platform[@]}"} --file "$dockerfile" "${labels[@]}" "${tags[@]}" "$context" >&2 || die "docker build failed (see above)"
	built=$(docker image inspect --format '{{.Architecture}}' "$1")
	[ "$built" = "$GOARCH" ] || die "the image is for $built and its binary for $GOARCH: other architectures need BuildKit (docker buildx)"
	printf '%s\n' "$@"
}

# labels are what registries show of an image.
set_labels() {
	local version revision
	version=$(awk '{ for (i = 1; i < NF; i++) if ($i == "github.com/caddyserver/caddy/v2") { print $(i + 1); exit } }' "$root/go.mod")
	revision=$(git -C "$root" rev-parse HEAD 2>/dev/null) || revision=unknown
	labels=(
		--label "org.opencontainers.image.title=$1"
		--label "org.opencontainers.image.description=$2"
		--label "org.opencontainers.image.source=https://github.com/caddy-convoai/convoai"
		--label "org.opencontainers.image.licenses=Apache-2.0"
		--label "org.opencontainers.image.revision=$revision"
		--label "com.caddyserver.version=$version"
	)
}

sidecar() {
	local variant=$1 package=./cmd/caddy
	shift
	if [ "$variant" = slim ]; then package=./cmd/caddy-slim; fi
	if [ $# = 0 ]; then
		set -- "$name:$variant"
		if [ "$variant" = slim ]; then set -- "$@" "$name:latest"; fi
	fi
	set_labels "$name" "Caddy with the ConvoAI modules, $variant"
	mkdir -p "$context/run/convoai" "$context/data"
	chmod 1777 "$context/run/convoai"
	cp -- "$(ca_file)" "$context/ca-certificates.crt"
	chmod 0644 "$context/ca-certificates.crt"
	binary "$package" "$context/caddy"
	build "$root/deploy/Dockerfile" "$@"
}

example_app() {
	if [ $# = 0 ]; then
		set -- "$name-example-app:latest"
	fi
	set_labels "$name-example-app" "An application that calls ConvoAI without credentials"
	binary ./deploy/example-app "$context/app"
	build "$root/deploy/example-app/Dockerfile" "$@"
}

main() {
	local what=${1:-slim}
	[ $# = 0 ] || shift
	case $what in
	slim | full | example-app)
		command -v docker >/dev/null || die "docker is not installed"
		command -v go >/dev/null || die "Go is not installed; see https://go.dev/dl/"
		architecture
		context=$(mktemp -d "${TMPDIR:-/tmp}/convoai-image.XXXXXX")
		trap clean_up EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM
		case $what in
		example-app) example_app "$@" ;;
		*) sidecar "$what" "$@" ;;
		esac
		;;
	binary)
		if [ $# != 2 ]; then
			usage >&2
			exit 2
		fi
		binary "$@"
		;;
	help | -h | --help) usage ;;
	*)
		usage >&2
		exit 2
		;;
	esac
}

main "$@"
