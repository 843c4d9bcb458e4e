# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.synced
UV_LOCK := requirements-uv.lock
LOCK_FLAGS := --group dev --generate-hashes --universal --no-emit-index-url --no-header --python-version 3.11

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help env demo test test-slow fuzz lint format docs benchmark lock build clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

env: $(STAMP)  ## .venv from requirements.lock with the package in it; instant when nothing changed

# uv is taken from PATH, else installed beside the checkout by version and hash, in whichever way this
# Python allows.
$(STAMP): requirements.lock pyproject.toml setup.py Makefile
	@set -e; \
	uv=$$(command -v uv || true); \
	if [ -z "$$uv" ] && [ ! -x .uv/bin/uv ]; then \
		echo "installing uv into .uv"; rm -rf .uv; \
		{ $(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet --require-hashes -r $(UV_LOCK); } \
			|| { rm -rf .uv && $(PYTHON) -m pip install --quiet --target .uv --require-hashes -r $(UV_LOCK); } \
			|| { echo "uv could not be installed: this needs pip or the venv module" \
				"(Debian: apt-get install python3-venv), or uv itself on PATH"; exit 1; }; \
	fi; \
	uv=$${uv:-$$PWD/.uv/bin/uv}; \
	[ -d .uv/uv ] && export PYTHONPATH=$$PWD/.uv; \
	[ -x $(PY) ] || "$$uv" venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
	echo "installing the locked packages into $(VENV) (about 6 GB, mostly torch)"; \
	"$$uv" pip sync --python $(PY) --require-hashes requirements.lock; \
	"$$uv" pip install --quiet --python $(PY) --no-deps --no-build-isolation -e .; \
	touch $@

# On a busy machine threads that wait in a loop take each other's time (docs/faq.md).
demo: export OMP_WAIT_POLICY ?= PASSIVE
demo: env  ## find, draw, train briefly and evaluate interactions; writes output/demo
	$(PY) -m hoi_d2 demo --output output/demo

test: env lint docs  ## lint, documentation, then the whole test suite
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile

test-slow: env  ## the tests that take minutes
	$(PY) -m pytest -m slow

CASES ?= 10000
fuzz: env  ## CASES damaged files of every form; table and what failed in output/fuzz
	$(PY) -m tests.fuzz --cases $(CASES) --output output/fuzz

lint: env  ## ruff (lint, format check), mypy and codespell
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy hoi_d2
	$(VENV)/bin/codespell

format: env  ## ruff: fix and format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: env  ## documentation into build/site; fails on a broken link or reference
	$(PY) tools/make_config_page.py
	$(PY) tools/make_rows_page.py
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet

benchmark: env  ## speed of inference, training, loader and evaluation on this machine
	$(PY) tools/benchmark.py infer --config-file configs/RmLR/R50.yaml
	$(PY) tools/benchmark.py train --config-file configs/toy/rmlr.yaml
	$(PY) tools/benchmark.py data --config-file configs/toy/rmlr.yaml
	$(PY) tools/benchmark.py evaluate

build: env  ## wheel and sdist into dist/
	$(PY) -m build --no-isolation

clean:  ## remove build products and outputs (not .venv)
	rm -rf build dist output *.egg-info .mypy_cache .pytest_cache .ruff_cache

lock:  ## resolve requirements.lock again; uv from PATH, else the one of `make env`
	PATH="$$PATH:$$PWD/.uv/bin" PYTHONPATH=$$PWD/.uv uv pip compile pyproject.toml $(LOCK_FLAGS) --upgrade -o requirements.lock
