#!/bin/sh
# Checks style, types, YAML, shell and workflows: run by `make lint`. The rendered files are
# checked by the tests, for every answer.
set -eu
PATH="$PWD/.venv/bin:$PATH"

ruff check --quiet .
ruff format --check --quiet .
mypy --no-error-summary .ci/stand_ins.py extensions tasks bench demo docs tests template/server/private_pypi/private_pypi
mypy --no-error-summary --python-version 3.11 template/client/tools
yamllint --strict copier.yml examples .github .yamllint.yml
git ls-files -z '*.sh' .ci/run .ci/docker | xargs -0 shellcheck
zizmor --quiet --offline --no-progress .github
actionlint
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
.venv/bin/python docs/questions.py | diff -u docs/questions.md - ||
	{ echo 'error: docs/questions.md is not what copier.yml says: run make docs' >&2; exit 1; }
