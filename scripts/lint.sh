#!/bin/sh
# Runs every check of .pre-commit-config.yaml over all files: run by `make lint`.
set -eu

exec .venv/bin/pre-commit run --all-files
