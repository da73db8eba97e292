# Everything runs in an environment of its own, .venv, made on first use.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint docs linkcheck benchmark clean

demo: $(STAMP)  ## Simulate, reconstruct, evaluate and report on a small molecule
	$(BIN)/temporem demo -o temporem-demo --overwrite

test: lint  ## All checks that CI runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal  # two processes, a thread each

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)  ## The documentation site, in docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

linkcheck: $(STAMP)  ## Links of the documentation to other sites; needs network
	$(BIN)/sphinx-build -q -b linkcheck docs docs/_build/linkcheck

benchmark: $(STAMP)  ## Time and memory of our commands; ARGS="--simulate toy --repetitions 1" for minutes
	$(BIN)/python -m benchmarks.ours -o temporem-benchmark $(ARGS)

clean:
	rm -rf $(VENV) temporem-demo docs/_build

$(STAMP): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@
