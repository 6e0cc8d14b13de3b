#!/usr/bin/env bash
#
# Prints the software bill of materials of a binary, ./caddy by default, as
# CycloneDX JSON: the modules that the Go linker has put into it, with their
# versions and checksums. `./sbom.sh BINARY >sbom.json`.

set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
binary=${1:-$root/caddy}

if [ ! -f "$binary" ]; then
	echo "sbom.sh: there is no $binary; ./xcaddy.sh builds it" >&2
	exit 1
fi
modules=$(go version -m "$binary")

# A module that is replaced is followed by a line with what stands in its place.
awk -F '\t' '
	function quoted(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "\"" s "\"" }
	function flush() {
		if (name == "") return
		printf "%s\n    {\"type\": \"library\", \"name\": %s, \"version\": %s, \"purl\": %s", separator, quoted(name), quoted(version), quoted("pkg:golang/" name "@" version)
		if (sum != "") printf ", \"properties\": [{\"name\": \"go:sum\", \"value\": %s}]", quoted(sum)
		printf "}"
		separator = ","
		name = ""
	}
	NR == 1 {
		n = split($1, word, " ")
		printf "{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,\n"
		printf "  \"metadata\": {\"component\": {\"type\": \"application\", \"name\": \"caddy\", \"description\": \"Caddy with the ConvoAI modules\"}},\n"
		printf "  \"components\": ["
		printf "\n    {\"type\": \"framework\", \"name\": \"go\", \"version\": %s, \"purl\": %s}", quoted(word[n]), quoted("pkg:generic/go@" word[n])
		separator = ","
	}
	$2 == "dep" { flush(); name = $3; version = $4; sum = $5 }
	$2 == "=>" && $4 != "(devel)" && $5 != "" { name = $3; version = $4; sum = $5 }
	END { flush(); printf "\n  ]\n}\n" }
' <<<"$modules"
