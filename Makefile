# `make` lists the targets. Everything runs in .venv, made from requirements.txt; nothing else is installed for Python.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export LC_ALL := C.UTF-8
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-down check unit integration test nightly kill-matrix bench docs requirements clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.complete ## a lab on this machine's Docker engine, with production deployed in it (LITEFARM_REPO, LITEFARM_VERSION)
	@$(PY) tools/demo.py up

demo-down: $(VENV)/.complete ## removes everything that demo made
	@$(PY) tools/demo.py down

check: $(VENV)/.complete ## what needs no droplet: lint, unit tests, specs, sanity
	@$(PY) tools/check.py

unit: $(VENV)/.complete ## unit tests only
	@$(PY) -m pytest tests/unit

integration: $(VENV)/.complete ## plugins against the real Docker engine of this machine
	@$(PY) -m pytest tests/integration

test: $(VENV)/.complete ## everything: check, integration, Molecule scenarios
	@$(PY) tools/test.py

nightly: $(VENV)/.complete ## every test, also what takes too long for `test`, and every row of the release protocol's tables, in every way
	@$(PY) tools/test.py --nightly

kill-matrix: $(VENV)/.complete ## kills a release at every step in every way, and writes docs/kill-matrix.md (LITEFARM_LAB says in which lab)
	@$(PY) -m pytest tests/scenarios/kill_matrix

bench: $(VENV)/.complete ## measures the deployed demo and writes docs/benchmarks.md
	@$(PY) tools/bench.py

docs: $(VENV)/.complete ## writes the roles' READMEs from their argument specs
	@$(PY) tools/role_docs.py

requirements: ## pins requirements.in anew into requirements.txt (needs uv)
	@sh tools/requirements.sh

clean: ## removes .venv and caches, not the lab
	rm -rf $(VENV) .cache

venv: $(VENV)/.complete ## the Python environment

$(VENV)/.complete: requirements.txt tools/venv.sh
	@PYTHON="$(PYTHON)" sh tools/venv.sh $(VENV)
