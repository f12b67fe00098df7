# Everything a person or a machine does here. `make` alone prints this list.

VENV ?= .venv
PYTHON ?=
ARGS ?=
JOBS ?= 2
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test check faults bench clean lock

help: ## Show this list
	@sed -n 's/^\([a-z%-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.jars ## Make the virtual environment, install the locked packages, fetch the jars, list their classes

demo: setup ## Run the whole platform on this machine for a minute (ARGS=--short for less)
	$(BIN)/tidemark demo $(ARGS)

test: check ## Check, then run all tests (ARGS="-k words" for some, ARGS="-m 'not chaos'" for the quick ones; JOBS at once)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup ## Formatting, linting, types, known vulnerabilities and the lock, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py
	$(BIN)/python -m pytest -q tests/skeleton tests/compose

faults: setup ## Break everything on purpose, and write what came of it into docs/reliability.md (ARGS="--seed 7")
	$(BIN)/python -m pytest tests/faults/fault_matrix.py --table docs/reliability.md $(ARGS)

bench: setup ## Measure (ARGS="drain", ARGS="freshness", ...; nothing lists them)
	$(BIN)/tidemark bench $(ARGS)

example-%: setup ## Run an example of examples/ to its table and picture (example-credit, ...)
	$(BIN)/python -m examples.$(subst -,_,$*).run $(ARGS)

clean: ## Stop the local services, then remove the environment, caches and local data
	@test ! -x $(BIN)/tidemark || $(BIN)/tidemark services stop
	rm -rf $(VENV) .cache var build dist spark-warehouse metastore_db derby.log *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: setup ## Write requirements.lock again from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url \
		--no-header --python-version 3.11 -o requirements.lock

# Each step leaves a stamp, so that a second run has nothing to do.
$(VENV)/.python:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh .ci/bootstrap
	@touch $@

$(VENV)/.packages: requirements.lock $(VENV)/.python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.packages
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	@touch $@

$(VENV)/.jars: conf/ivy.xml conf/jars.sha256 $(VENV)/.project
	$(BIN)/tidemark jars --archive
	@touch $@
