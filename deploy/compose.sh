#!/usr/bin/env bash
#
# Runs compose with deploy/compose.yaml, after building the images that are not
# there: `deploy/compose.sh up`, `deploy/compose.sh logs -f app`,
# `deploy/compose.sh down --volumes`. With `unchanged` in front of these, it is
# with deploy/compose.unchanged.yaml on top. Images are of this working copy; call
# deploy/build-image.sh to have later changes in them.

set -euo pipefail

deploy=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
files=(--file "$deploy/compose.yaml")

# ensure IMAGE WHAT builds an image that is missing.
ensure() {
	docker image inspect "$1" >/dev/null 2>&1 || "$deploy/build-image.sh" "$2" "$1" >/dev/null
}

if [ "${1:-}" = unchanged ]; then
	files+=(--file "$deploy/compose.unchanged.yaml")
	shift
fi
case ${1:-} in
up | create | run)
	ensure "${CONVOAI_IMAGE:-caddy-convoai:slim}" slim
	ensure "${CONVOAI_APP_IMAGE:-caddy-convoai-example-app}" example-app
	;;
'')
	sed -n '3,8s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac

if docker compose version >/dev/null 2>&1; then
	exec docker compose "${files[@]}" "$@"
elif command -v docker-compose >/dev/null; then
	exec docker-compose "${files[@]}" "$@"
fi
echo "compose.sh: neither docker compose nor docker-compose is installed" >&2
exit 1
