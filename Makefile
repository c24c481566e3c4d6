# `make` lists the targets. PYTHON=… chooses the interpreter for the environment in .venv.

VENV := .venv
INSTALLED := $(VENV)/.installed
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help venv dist sbom demo test check quick test-pythons mutants chaos storm bench bounds docs map image services lint types lock clean

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

venv: $(INSTALLED) ## Install Callboard and its tools into .venv

dist: $(INSTALLED) ## Build the source archive and the wheel into dist/
	@$(BIN)/python -m build --no-isolation --outdir dist

sbom: $(INSTALLED) ## Write the bill of materials of a release into dist/
	@mkdir -p dist
	@$(BIN)/python .ci/sbom > dist/callboard.cdx.json

demo: $(INSTALLED) ## Run the whole system on this machine, without any server
	@$(BIN)/callboard demo

test: $(INSTALLED) ## Run all tests, WORKERS=5 at a time; those whose server is missing are skipped
	@$(COUCHDB) $(BIN)/python -m pytest $(PARALLEL)

# CALLBOARD_COUCHDB_URL is a setting, which the commands under test would take.
COUCHDB = $(if $(CALLBOARD_COUCHDB_URL),env -u CALLBOARD_COUCHDB_URL CALLBOARD_TEST_COUCHDB_URL='$(CALLBOARD_COUCHDB_URL)')
PARALLEL = --numprocesses $(or $(WORKERS),5) --dist loadgroup --no-loadscope-reorder

check: $(INSTALLED) ## Check style and types, and run the quick tests, which start no processes
	@$(MAKE) --silent lint types quick

quick: $(INSTALLED) ## Run the quick tests alone
	@$(BIN)/python -m pytest $(PARALLEL) -m 'not (multiprocess or rabbitmq or couchdb or browser or slow)'

test-pythons: ## Run the quick tests and the demo on each Python that is found, from 3.11 on
	@.ci/pythons

mutants: $(INSTALLED) ## Change the code SAMPLE=200 times by SEED and count what tests detect; IN="web cli" SINCE=main HOLES=1
	@PYTHONPATH=tests $(BIN)/python -m mutation $(if $(SEED),--seed $(SEED)) \
		$(if $(HOLES),--holes) $(if $(SINCE),--since $(SINCE),--sample $(or $(SAMPLE),200)) $(if $(IN),--within $(IN))

chaos: $(INSTALLED) ## Kill processes at random while 20,000 events flow: nothing may be lost
	@CALLBOARD_CHAOS=full $(BIN)/python -m pytest -s --timeout 3600 tests/faults/test_chaos.py

storm: $(INSTALLED) ## Cut cables, freeze and kill three nodes for ten minutes: nothing may be lost or overtake
	@CALLBOARD_STORM=full $(BIN)/python -m pytest -s -p no:logging --timeout 3600 tests/faults/test_storm.py

bench: $(VENV)/.bench ## Compare it with the common alternatives; BENCH="throughput …" RUNS=1 QUICK=1
	@$(BIN)/python bench/run.py $(if $(RUNS),--runs $(RUNS)) $(if $(QUICK),--quick) \
		$(if $(BACKLOG),--backlog $(BACKLOG)) $(if $(INTO),--into $(INTO)) $(BENCH)

bounds: $(INSTALLED) ## Count the cost of an event again, and make it the new bound
	@CALLBOARD_RENEW_BOUNDS=1 $(BIN)/python -m pytest tests/performance

docs: $(INSTALLED) ## Build the documentation into build/docs; a broken link fails the build
	@$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning docs build/docs

map: $(INSTALLED) ## Print the rooms of the code, what each is for, and what it imports
	@$(BIN)/python docs/_generate/rooms.py

image: $(INSTALLED) ## Build the container image IMAGE=callboard with ENGINE=docker or podman, and try it; LOCK="requirements.lock …"
	@$(ENGINE) build $(if $(findstring podman,$(ENGINE)),--format docker) $(if $(LOCK),--build-arg LOCK="$(LOCK)") \
		--file deploy/Dockerfile --tag $(IMAGE) .
	@CALLBOARD_TEST_ENGINE=$(ENGINE) CALLBOARD_TEST_IMAGE=$(IMAGE) $(BIN)/python -m pytest tests/e2e/test_image.py

ENGINE = $(shell docker info >/dev/null 2>&1 && echo docker || echo podman)
IMAGE = callboard

services: ## Install RabbitMQ, a CouchDB, nginx, strace, promtool, TypeScript and Chromium for tests and benchmarks; starts nothing
	@.ci/services

lint: $(INSTALLED) ## Check style, the direction of imports, and the words of the documentation
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --cache-dir $(VENV)/import_linter
	@$(BIN)/python -m pytest --no-header tests/test_prose.py

types: $(INSTALLED) ## Check types
	@mkdir -p $(VENV)/types
	@ln -sfn ../.. $(VENV)/types/callboard
	@cd $(VENV)/types && ../bin/mypy --config-file ../../pyproject.toml -p callboard

lock: $(INSTALLED) ## Pin the dependencies again; UPGRADE=--upgrade for newer versions
	@$(PIP) uv==$(UV_VERSION)
	@$(call pin,requirements.lock)
	@$(call pin,requirements-tracing.lock --extra tracing --constraints requirements.lock)
	@$(call pin,requirements-async.lock --extra async --constraints requirements.lock)
	@$(call pin,requirements-dev.lock --extra dev --constraints requirements-tracing.lock \
		--constraints requirements-async.lock)
	@$(call pin,requirements-bench.lock --extra bench --constraints requirements-dev.lock)

pin = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command 'make lock' $(UPGRADE) pyproject.toml --output-file $(1)

clean: ## Remove everything that make created, including .venv and .services
	rm -rf $(VENV) .services build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Creates the environment with the first of these that is a working Python, 3.11 or later. The name
# alone is not enough: version managers put a python3.13 on the path that only prints an error.
$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(BIN)/python -c '' 2>/dev/null && exit; \
	for python in $(or $(PYTHON),python3.13 python3.14 python3.12 python3.11 python3); do \
		if "$$python" -c 'import sys, ensurepip, venv; exit(sys.version_info < (3, 11))' \
			2>/dev/null; then exec "$$python" -m venv --clear $(VENV); fi; \
	done; \
	echo 'Python 3.11 or later is needed, with venv (Debian: apt-get install python3-venv);' \
		'name one with PYTHON=/path/to/python' >&2; exit 1
	@$(PIP) --require-hashes -r requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# The alternatives that Callboard is compared with (bench/contenders), and the tools that measure.
$(VENV)/.bench: $(INSTALLED) requirements-bench.lock
	@$(PIP) --require-hashes -r requirements-bench.lock
	@touch $@
