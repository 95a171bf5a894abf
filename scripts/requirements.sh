#!/bin/sh
# Pins every Python requirement anew, with hashes: run by `make requirements`.
set -eu

pin() {
	.venv/bin/uv pip compile --quiet --universal --python-version "${2-3.10}" --upgrade \
		--generate-hashes --no-emit-index-url --no-header --no-annotate "$1.in" --output-file "$1.txt"
}

pin template/server/private_pypi/requirements
# These containers have the Python of their image alone.
pin template/server/private_pypi/requirements-public 3.11
pin template/server/private_pypi/requirements-attestations 3.13
pin requirements/test
pin requirements/bench
# The demo runs on the very versions the tests ran on.
.venv/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --constraint requirements/test.txt \
	requirements/demo.in --output-file requirements/demo.txt
