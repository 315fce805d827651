# Lamina's workshop. `make demo` and `make test` set up what they need; the rest is listed by
# `make help`, which prints the comments behind the targets below.

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check lint types floors crash differential real-builds matrices test-vm bench bench-drivers docs reference wheel lock clean
MAKEFLAGS += --no-print-directory

VENV := .venv/bin
PYTHON = $$(sh scripts/python.sh)
TESTS ?= tests
SPREAD := -n auto --dist worksteal  # a file's tests stay together: what they share is made once
CODE := src tests demo bench scripts
SUITE := tests/conformance/test_drivers.py
VM_TESTS := $(SUITE)::TestOverlay2 $(SUITE)::TestErofs $(SUITE)::TestDevicemapper \
  tests/conformance/test_devicemapper.py tests/conformance/test_project_quota.py \
  tests/integration/test_limits.py

##@ The two commands
demo: setup ## two real Debian images on one shared base, from nothing (BASE=archive, FRESH=1)
	@$(VENV)/python -m demo $(if $(BASE),--base "$(BASE)") $(if $(FRESH),--fresh)

test: check ## lint, types, import floors and the tests (TESTS=tests/unit for a part)
	@$(VENV)/pytest -q $(SPREAD) \
	  -m "not matrix and not exhaustive and not differential and not real_builds and not vm" $(TESTS)

##@ The rest
setup: ## the command alone, at .venv/bin/lamina
	@python="$(PYTHON)" && "$$python" -m scripts.setup runtime

setup-dev: ## the command and what developing needs
	@python="$(PYTHON)" && "$$python" -m scripts.setup dev

check: lint types floors docs ## all that is checked without running the product

lint: setup-dev ## style and formatting
	@$(VENV)/ruff check --quiet --output-format concise $(CODE)
	@$(VENV)/ruff format --quiet --check $(CODE)

types: setup-dev ## mypy --strict
	@$(VENV)/mypy
	@$(VENV)/mypy demo bench scripts

floors: setup-dev ## imports run one way down
	@$(VENV)/lint-imports --no-cache --no-logo

reference: setup ## docs/reference/cli.md, written anew from the command's parsers
	@$(VENV)/python -m scripts.cli_reference

docs: setup ## links, commands and snippets of the documentation hold
	@$(VENV)/python -m scripts.check_docs

matrices: setup-dev ## a kill at every named point, stores moved between every two drivers
	@$(VENV)/pytest -q $(SPREAD) -m "matrix and not exhaustive" tests

crash: setup-dev ## kill -9 at every mutating system call, on each driver (slow)
	@$(VENV)/pytest -q $(SPREAD) -m exhaustive tests

differential: setup-dev ## the same Dockerfiles built by docker, by buildah and here: one tree, one config
	@$(VENV)/pytest -q -m differential tests

real-builds: setup-dev ## nginx, a C program, a Python and an npm app, with apt, pip and npm in RUN: needs a network
	@$(VENV)/pytest -q -m real_builds tests

test-vm: setup-dev ## what needs another kernel, in an emulated machine with Debian's; and power cuts
	@$(VENV)/python -m scripts.vm $(VENV)/pytest -q $(VM_TESTS)
	@$(VENV)/python -m scripts.vm $(VENV)/pytest -q tests/crash/test_named_points.py \
	  tests/integration/test_moving.py -k "devicemapper and (device- or overlay2-devicemapper)"
	@$(VENV)/pytest -q -m vm tests/vm

bench: setup ## Lamina beside docker, podman and GNU tar (ROUNDS=5, ONLY=run)
	@$(VENV)/python -m bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY))

bench-drivers: setup-dev ## every driver on a fresh file system, beside GNU tar and docker (ROUNDS=3, ONLY=erofs)
	@$(VENV)/python -m bench.drivers $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY))

wheel: setup-dev ## dist/lamina-*.whl
	@$(VENV)/python -m hatchling build -t wheel

lock: ## compute the lock files anew (needs pip-compile, from pip-tools)
	@sh scripts/lock.sh

clean: ## what was made here: caches, the environment, the demo's store
	@rm -rf .cache .venv build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests demo bench scripts -name __pycache__ -prune -exec rm -rf {} +

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
