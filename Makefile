# make lab     set up, then open JupyterLab on the first lesson
# make test    set up, then run every test: style, lessons against notebooks, unit tests, every notebook in both forms
# make check   the same without the browser and without running the notebooks: a minute or two
# make lab-check  set up, then run the first lesson without a browser
#
# setup_course.py does the work, and does the same where there is no make: python setup_course.py lab

PYTHON ?= python3
export VENV ?= .venv
export WORKERS ?= 2
export CELL_TIMEOUT ?= 400
BIN := $(VENV)/bin

.PHONY: lab lab-check test check lint build clean

lab lab-check test check lint: python
	@$(PYTHON) setup_course.py $@

# every notebook again, executed, from its source
build: python
	@$(PYTHON) setup_course.py install test
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python lessons/build.py

clean:
	rm -rf build *.egg-info

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.10 or newer, or say which: make PYTHON=/path/to/python3"; exit 1; }
