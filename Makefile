# make lab     set up, then open JupyterLab on the first lesson
# make test    set up, then run every test: style, lessons against notebooks, unit tests, every notebook in both forms
# make check   the same without the browser and without running the notebooks: a minute or two
# make lab-check  set up, then run the first lesson without a browser

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
CELL_TIMEOUT ?= 400
FIRST := notebooks/00_start_here.ipynb
LAB_FLAGS ?= $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

# one thread a worker: the workers share the cores, and sums come out the same whatever their number
RUN := OMP_NUM_THREADS=1 PYTHONHASHSEED=0

.PHONY: lab lab-check test check build clean

lab: $(VENV)/.lab
	$(BIN)/jupyter lab $(LAB_FLAGS) $(FIRST)

lab-check: $(VENV)/.lab
	$(BIN)/jupyter nbconvert --to notebook --execute --ExecutePreprocessor.timeout=$(CELL_TIMEOUT) \
	    --output-dir build/lab-check $(FIRST)
	@echo "$(FIRST) runs from the first cell to the last: build/lab-check holds it with its outputs."

test: $(VENV)/.test lint
	rm -rf build/solved
	$(RUN) $(BIN)/python lessons/build.py --solved --no-execute --out build/solved
	$(RUN) $(BIN)/python -m pytest tests notebooks build/solved -n $(WORKERS) --dist loadscope \
	    --nbval-lax --nbval-current-env --nbval-cell-timeout $(CELL_TIMEOUT) --durations 10

check: $(VENV)/.test lint
	$(RUN) $(BIN)/python -m pytest tests --ignore tests/test_browser.py -n $(WORKERS) --dist loadscope

.PHONY: lint
lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python lessons/build.py --check

# every notebook again, executed, from its source
build: $(VENV)/.test
	$(BIN)/python lessons/build.py

clean:
	rm -rf build *.egg-info

# The virtual environment, made anew parts at a time when the requirements change.
$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.10 or newer, or say which: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$$($(PYTHON) --version) is too old: the course needs 3.10 or newer. Say which one to use: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.lab: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[chess]"
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@ $(VENV)/.lab
