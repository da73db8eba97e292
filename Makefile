# Everything runs in an environment of its own, .venv, made on first use.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint browser docs linkcheck benchmark clean

demo: $(STAMP)  ## Simulate, reconstruct, evaluate and report on a small molecule
	$(BIN)/temporem demo -o temporem-demo --overwrite

test: lint  ## All checks that CI runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal  # two processes, a thread each

CHROMIUM := chromium chromium-browser google-chrome google-chrome-stable

browser:  ## Chromium for the tests of pages, if there is none; asks apt-get on Debian and Ubuntu
	@for name in $(CHROMIUM); do command -v $$name && exit 0; done; \
	if command -v apt-get > /dev/null; then \
	  run=; [ "$$(id -u)" = 0 ] || run=sudo; \
	  $$run apt-get update -qq && $$run apt-get install -y -qq --no-install-recommends chromium; \
	else echo "Install Chromium or Google Chrome, so that one of these is in PATH: $(CHROMIUM)"; exit 1; fi

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
