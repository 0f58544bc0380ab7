# Everything a fresh machine needs is Python 3.11 or later with venv; the rest is made here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORK ?= work

.DEFAULT_GOAL := help
.PHONY: help install run ui test lint wheel agreement benchmarks survey lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed ## make the environment (.venv), as pinned in requirements.lock

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("qnal needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

run: install ## the demo: the whole loop on the built-in mock survey
	$(BIN)/qnal experiment=demo work_dir=$(WORK)

ui: install ## browse the results in MLflow, at http://127.0.0.1:5000
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(abspath $(WORK))/mlflow.db

test: install lint ## lint, then the tests
	$(BIN)/python -m pytest

lint: install ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: install ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

agreement: install ## measure the agreement with the reference again; writes docs/agreement.md
	$(BIN)/python experiments/agreement.py

benchmarks: install ## measure speed and memory beside the reference's (docs/benchmarks.md); half an hour
	for name in training forward reading som scoring scoring_memory; do \
	  $(BIN)/python experiments/benchmarks/$$name.py || exit 1; done

survey: install ## score a mock survey of 100,000 spectra; writes docs/survey.md
	$(BIN)/python experiments/survey.py $(WORK)/survey

lock: ## pin the newest versions again (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra dev \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  pyproject.toml --output-file requirements.lock

clean: ## remove the environment and the demo's results
	rm -rf $(VENV) $(WORK) dist
