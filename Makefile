# Every target sets up what it needs first. There are no prompts.
PYTHON ?= python3
BIN := .venv/bin
# Branch coverage in percent that `make test-all` requires.
MIN_COVERAGE ?= 97
# Of `make bench-gpu`: cuda or cpu.
DEVICE ?= cuda
# Data of the tutorial in the site: synthetic needs no network; ml-100k has real titles.
TUTORIAL_DATA ?= synthetic
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: setup train test test-all lint docs release bench bench-gpu

setup: .venv/.done ## create the environment in .venv

# constraints.txt pins every package to the versions that were tested together. torch is installed first, so that
# pip keeps the build (CPU or CUDA) that its index offers.
.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "recsys needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

train: setup ## train the default network on MovieLens 100K
	$(BIN)/recsys-train

test: setup ## fast tests, under two minutes on two cores; no network, RECSYS_MIRROR=<folder> adds tests on real archives
	$(PYTEST) -m "not slow"

test-all: setup ## all tests, slow ones included, with branch coverage
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=$(MIN_COVERAGE)

lint: setup ## style, format, types, order of the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup ## build the documentation site in build/site, and fail if a link is broken; TUTORIAL_DATA=ml-100k to publish it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	PATH="$(CURDIR)/$(BIN):$$PATH" TUTORIAL_DATA=$(TUTORIAL_DATA) $(BIN)/python docs/build_site.py
	$(BIN)/zensical build --clean --strict

release: setup ## build the wheel and the source distribution in build/release, and check their metadata
	rm -rf build/release
	$(BIN)/python -m hatchling build -d build/release
	$(BIN)/twine check --strict build/release/*

bench-gpu: setup ## check and measure everything on a GPU, for at most eight minutes; DEVICE=cpu runs it with tiny sizes
	$(BIN)/python benchmarks/gpu.py --device $(DEVICE) --json bench-gpu.json

bench: setup ## speed relative to common alternatives, about 20 minutes; docs/performance.md names further scripts
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/throughput.py --batch-size 128
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/large_tables.py --rows 100000 1000000 10000000
	$(BIN)/python benchmarks/ingestion.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/scaling.py
