# Two to start with: `make demo` and `make test`. They need Python 3.11 or newer, git and make.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
VENV := .venv
RUN := $(VENV)/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml runtime/pyproject.toml witness/pyproject.toml verifier/pyproject.toml cli/pyproject.toml))
INSTALL := $(RUN)/uv pip install --quiet --python $(RUN)/python
SOURCES := libs services runtime witness verifier cli tests tools deploy/offline deploy/images deploy/compose deploy/helm $(wildcard benchmarks examples)

# What is handed on to the program: `make demo ARGS=--once`, `make test ARGS="-k outbox"`.
ARGS ?=

# Three processes, each with servers of its own: on two processors one of them mostly waits. A file's tests stay
# together, since they share what takes long to start, and the longest come first.
PARALLEL := --numprocesses 3 --dist loadfile --no-loadscope-reorder

# Where it is set, each of a thousand processes compiles again all that it imports, and pytest every test.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up check test test-unit test-system test-large test-kubernetes soak fuzz bench flow docs screenshots images lock servers

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.platform ## From an example model's folder to a URL that answers; ARGS=--once stops after one request
	@$(RUN)/placet demo $(ARGS)

up: $(VENV)/.platform ## The whole platform in one process, until Ctrl-C
	@$(RUN)/placet up $(ARGS)

check: $(VENV)/.dev ## Lint, format, types, import contracts, generated pages, locked requirements
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy $(SOURCES)
	$(RUN)/lint-imports
	$(RUN)/python -m tools.flow --check
	$(RUN)/python -m tools.dashboards --check
	$(RUN)/python -m tools.requirements

test: $(VENV)/.dev servers ## Every test, the soak among them, on real servers where a test needs one
	@$(RUN)/pytest $(PARALLEL) -m "not large" $(ARGS)

test-unit: $(VENV)/.dev ## The tests that need no server and little time
	@$(RUN)/pytest tests/unit tests/contract tests/architecture -m "not server and not slow" $(ARGS)

test-system: $(VENV)/.dev servers ## The whole stream and its faults: embedded, and as six processes on real servers
	@$(RUN)/pytest tests/system tests/faults $(ARGS)

test-large: ## What needs PyTorch: 6 GB, in an environment of its own, .venv-large
	@$(MAKE) --no-print-directory VENV=.venv-large .venv-large/.large
	@.venv-large/bin/pytest -m large tests/large $(ARGS)

soak: $(VENV)/.dev servers ## Everything at once for PLACET_SOAK_SECONDS: kills, pauses, cuts, full disks, stepped clocks
	@$(RUN)/pytest -m soak tests/faults $(ARGS)

fuzz: $(VENV)/.dev ## Whatever may be sent to the REST API, PLACET_FUZZ_EXAMPLES times a call, never the same twice
	@PLACET_FUZZ_EXAMPLES=$${PLACET_FUZZ_EXAMPLES:-200} $(RUN)/pytest -s --timeout 0 tests/system/test_fuzzed.py $(ARGS)

test-kubernetes: $(VENV)/.dev servers ## The suites of a cluster, on the tests' own API server and on the one KUBECONFIG names
	@$(RUN)/pytest tests/contract/test_kubernetes_api.py tests/contract/test_model_host_kubernetes.py tests/deploy/test_models_run_on_kubernetes.py tests/deploy/test_a_platform_that_runs_on_kubernetes.py tests/deploy/test_the_chart_on_a_cluster.py $(ARGS)

bench: $(VENV)/.dev servers ## Measure, beside the peers, on this machine
	@tools/servers.sh debootstrap
	@$(RUN)/python -m benchmarks $(ARGS)

flow: $(VENV)/.dev ## Generate docs/reference/flow.md and asyncapi.json from what the services hear and say
	@$(RUN)/python -m tools.flow $(ARGS)

docs: flow ## Generate every page of docs/reference that comes from code, and Grafana's dashboards
	@$(RUN)/python -m tools.dashboards

screenshots: $(VENV)/.dev servers ## Pictures of every page of the console, in both themes and two widths
	@$(RUN)/python -m tools.screenshots

images: $(VENV)/.dev ## An image of each service, in the Docker Engine; ARGS="builder --tag T" builds one
	@$(RUN)/python -m tools.images $(ARGS)

lock: $(VENV)/.dev ## Lock the requirements again, with the newest versions that fit; ARGS=--complete keeps the locked ones
	@$(RUN)/python -m tools.requirements $(or $(ARGS),--write)

servers: ## Install what the tests' servers need, on Debian as root; elsewhere say what is missing
	@tools/servers.sh

# The environment, made again when what it is made from changes.

$(VENV)/.dev: requirements/dev.txt $(VENV)/.platform
	@echo "Installing what the tests and checks need …"
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.large: requirements/large.txt $(VENV)/.dev
	@echo "Installing what the large tests need …"
	@$(INSTALL) --require-hashes -r requirements/large.txt
	@touch $@

$(VENV)/.platform: requirements/platform.txt $(VENV)/.uv pyproject.toml $(PACKAGES:%=%/pyproject.toml)
	@echo "Installing the platform and what it needs …"
	@$(INSTALL) --require-hashes -r requirements/platform.txt
	@$(INSTALL) --no-deps --no-build-isolation $(PACKAGES:%=--editable ./%)
	@touch $@

$(VENV)/.uv: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "placet needs Python 3.11 or newer; found: $$(python3 --version 2>&1 || true)" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@
