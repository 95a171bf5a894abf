# The commands of this repository: `make` lists them.

PYTHON ?= python3
PYTEST_ARGUMENTS ?=
WORKERS ?= 4
SCALE ?= full
ROWS ?= all
VERSION ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs screenshots bench requirements release clean

help: ## List the targets
	@bold= cyan= plain=; if [ -t 1 ]; then \
		bold=$$(printf '\033[1m') cyan=$$(printf '\033[36m') plain=$$(printf '\033[0m'); \
	fi; \
	awk -v bold="$$bold" -v cyan="$$cyan" -v plain="$$plain" -F ':.*## ' ' \
		/^##@ / { printf "\n%s%s%s\n", bold, substr($$0, 5), plain } \
		/^[a-z-]+:.*## / { printf "  %s%-19s%s %s\n", cyan, $$1, plain, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

##@ Try it

demo: .venv/demo ## Render both templates, publish a package, install it; no Docker
	@.venv/bin/python demo/demo.py

##@ Work on it

test: .venv/test .venv/peers/installed ## Run every test this machine can run
	@.venv/bin/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
		$(PYTEST_ARGUMENTS)

lint: .venv/test ## Check style, types, YAML, shell, workflows and docs
	@sh scripts/lint.sh

format: .venv/test ## Format the Python code
	@.venv/bin/ruff check --quiet --fix . && .venv/bin/ruff format --quiet .

docs: .venv/demo ## Write docs/questions.md from copier.yml
	@.venv/bin/python scripts/questions.py > docs/questions.md

screenshots: .venv/test ## Take the pictures in docs/images anew; needs chromium
	@.venv/bin/python scripts/screenshots.py

bench: .venv/test .venv/peers/installed ## Measure the server beside its peers (SCALE=small: quickly; ROWS=mirror: only that)
	@.venv/bin/python bench/bench.py --scale $(SCALE) --rows $(ROWS)

requirements: .venv/test ## Pin every Python requirement anew, with hashes
	@sh scripts/requirements.sh

release: ## Release VERSION=1.2.3: changelog, commit and tag; nothing is pushed
	@$(PYTHON) scripts/release.py -- "$$VERSION"

clean: ## Delete everything that make created
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'error: $(PYTHON) is older than Python 3.10: say which to use with PYTHON=' >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ echo 'error: $(PYTHON) has no venv module: install python3-venv' >&2; exit 1; }

# The peers have an environment of their own, as some need another passlib. The tests run its devpi.
.venv/peers/installed: requirements/bench.txt | .venv/bin/pip
	@echo 'Installing requirements/bench.txt into .venv/peers'
	@$(PYTHON) -m venv .venv/peers
	@.venv/peers/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.venv/%: requirements/%.txt | .venv/bin/pip
	@echo 'Installing requirements/$*.txt into .venv'
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@
