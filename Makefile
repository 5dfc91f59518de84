# Five words. Each sets up what it needs; nothing is asked.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup train test lint bench

setup: .venv/.done ## the environment, in .venv

# The constraints pin every package that was tested together. torch first: pip then keeps the build it is given.
.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "recsys needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

train: setup ## MovieLens 100K, the default network
	$(BIN)/recsys-train

test: setup ## no network needed; real archives are used where RECSYS_MIRROR names a folder with them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## speed as ratios, about twenty minutes; peers.py, sweep.py and fold_in.py are further scripts
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/throughput.py --batch-size 128
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/large_tables.py --rows 100000 1000000 10000000
	$(BIN)/python benchmarks/ingestion.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/scaling.py
