#!/bin/sh
# Pins every Python requirement anew, with hashes: run by `make requirements`.
set -eu

pin() {
	file=$1 python=${2-3.10}
	shift "$(($# < 2 ? $# : 2))"
	.venv/bin/uv pip compile --quiet --universal --python-version "$python" --upgrade \
		--generate-hashes --no-emit-index-url --no-header --no-annotate "$@" "$file.in" \
		--output-file "$file.txt"
}

pin template/server/private_pypi/requirements
# These containers have the Python of their image alone.
pin template/server/private_pypi/requirements-public 3.11
# pip does not find that `pydantic` is pinned where `pydantic[email]` is wanted, unless that stands there.
pin template/server/private_pypi/requirements-attestations 3.13 --no-strip-extras
pin requirements/test 3.10 --no-strip-extras
pin requirements/bench
# The demo runs on the very versions the tests ran on.
.venv/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --constraint requirements/test.txt \
	requirements/demo.in --output-file requirements/demo.txt
