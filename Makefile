# Everything a fresh machine needs is Python 3.11 or later with venv; the rest is made here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VENV_MIN := .venv-min
FAST := "not slow and not process"
# Two processes: most tests use one core, and those with workers of their own no more than two.
PARALLEL := --numprocesses 2 --dist loadfile
WORK ?= work

.DEFAULT_GOAL := help
.PHONY: help install run ui test test-fast test-slow test-browser test-min lint docs wheel agreement benchmarks survey lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed ## make the environment (.venv), as pinned in requirements.lock

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("qnal needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

run: install ## the demo: the whole loop on the built-in mock survey, and a page to label its picks in
	$(BIN)/qnal experiment=demo work_dir=$(WORK)
	$(BIN)/qnal stage=inspect work_dir=$(WORK)

ui: install ## browse the results in MLflow, at http://127.0.0.1:5000
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(abspath $(WORK))/mlflow.db

test: install lint ## lint, then all tests but the slow ones, with coverage
	$(BIN)/python -m pytest -m "not slow" --cov $(PARALLEL)

test-fast: install ## the tests that start no process and take seconds; under a minute
	$(BIN)/python -m pytest -m $(FAST) $(PARALLEL)

test-slow: install ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-browser: install ## the tests of the inspection page in a headless Chromium
	$(BIN)/python -m pytest tests/inspection

# Old releases use what their own, newer dependencies deprecate.
test-min: $(VENV_MIN)/installed ## the fast tests with the oldest supported versions (.venv-min)
	$(VENV_MIN)/bin/python -m pytest -m $(FAST) $(PARALLEL) \
	  -W default::DeprecationWarning -W default::PendingDeprecationWarning

$(VENV_MIN)/installed: requirements-min.lock pyproject.toml
	$(PYTHON) -m venv $(VENV_MIN)
	$(VENV_MIN)/bin/python -m pip install --quiet --requirement requirements-min.lock
	$(VENV_MIN)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

lint: install ## style, formatting, types and the layers of the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install ## build the documentation site into docs/_build/html; warnings are errors
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir docs/_build/doctrees docs docs/_build/html

wheel: install ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

agreement: install ## measure the agreement with the reference again; writes docs/agreement.md
	$(BIN)/python experiments/agreement.py

benchmarks: install ## measure speed and memory beside the reference's (docs/benchmarks.md); half an hour
	for name in training forward reading som scoring scoring_memory query; do \
	  $(BIN)/python experiments/benchmarks/$$name.py || exit 1; done

survey: install ## score a mock survey of 100,000 spectra; writes docs/survey.md
	$(BIN)/python experiments/survey.py $(WORK)/survey

LOCK := uv pip compile --quiet --universal --python-version 3.11 \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links $(UPGRADE) pyproject.toml

lock: ## write both lock files again, keeping what still fits (needs uv; UPGRADE=--upgrade for the newest)
	$(LOCK) --extra dev --output-file requirements.lock
	$(LOCK) --extra dask --extra test --resolution lowest-direct --output-file requirements-min.lock

clean: ## remove the environment and the demo's results
	rm -rf $(VENV) $(VENV_MIN) $(WORK) dist docs/_build docs/api
