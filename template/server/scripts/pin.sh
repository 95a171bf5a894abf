#!/bin/sh
# Appends to the tag of each image in the given files the digest that its registry has for it now:
# `image:tag@sha256:...`. Docker then uses exactly that image, until this runs again or Dependabot or
# Renovate proposes another.
set -eu

before='^([[:space:]]*(image:[[:space:]]+["'\'']?|FROM[[:space:]]+(--[^[:space:]]+[[:space:]]+)*|COPY[[:space:]]+--from=))'
image='([a-z0-9][a-z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*)'
digest='(@sha256:[0-9a-f]{64})?'
after='(["'\'']?([[:space:]].*)?)$'

fail() {
	echo "error: $* Nothing was changed." >&2
	exit 1
}

docker buildx version >/dev/null 2>&1 || fail 'Docker with its plugin Buildx is needed to ask registries.'

names=$(sed -nE "s,$before$image$digest$after,\4,p" "$@" | sort -u)
[ -n "$names" ] || fail "Found no image with a tag in $*."
changes=
for name in $names; do
	found=$(docker buildx imagetools inspect "$name" | sed -n 's/^Digest: *//p')
	echo "$found" | grep -qxE 'sha256:[0-9a-f]{64}' ||
		fail "The registry of $name gave no digest: is the tag right, and can this host reach the registry?"
	echo "$name@$found"
	quoted=$(echo "$name" | sed 's/[.]/[.]/g')
	changes="$changes
s,$before($quoted)$digest$after,\1\4@$found\6,"
done

trap 'for file in "$@"; do rm -f "$file.new"; done' EXIT
for file in "$@"; do
	# Copied first, so that the new file has the old one's mode.
	cp -p "$file" "$file.new"
	sed -E "$changes" "$file" >"$file.new"
done
for file in "$@"; do
	mv "$file.new" "$file"
done
