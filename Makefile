# Every target sets up what it needs; nothing but Python, make and a package index is asked for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Two workers; each keeps to one thread (tests/conftest.py), and takes tests from the other when its own are done.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal --durations 10

.PHONY: help setup demo test test-rest test-all check docs clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup: $(READY) ## a virtual environment with nestvec and everything it can use

# PyTorch goes first: on a machine without an NVIDIA driver the CPU build is asked for by name, because the index's
# newest build brings gigabytes of CUDA libraries.
$(READY): pyproject.toml constraints.txt scripts/install_torch.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	sh scripts/install_torch.sh $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	touch $(READY)

demo: $(READY) ## the main job on the built-in sample; ends with a report
	$(BIN)/nestvec run sample --out runs/demo
	@echo "The report: $(CURDIR)/runs/demo/report.html"

test: $(READY) ## the tests, but for the slow ones: some ten minutes on two processors
	$(PYTEST) -m "not slow"

test-rest: $(READY) ## the slow tests
	$(PYTEST) -m slow

test-all: test test-rest ## every test: some thirty minutes

check: $(READY) ## style, types, docstrings, the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pydoclint --quiet src
	$(BIN)/lint-imports --no-cache

docs: $(READY) ## the documents as a site, in build/site; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site: $(CURDIR)/build/site/index.html"

clean: ## remove what was made here
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache
