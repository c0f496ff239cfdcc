# make lab     set up, then open JupyterLab on the first lesson
# make test    set up, then run every test: style, lessons against notebooks, unit tests, every notebook in both forms, the browser
# make check   the same without the browser and without running the notebooks: a minute or two
# make lab-check    set up, then run the first lesson without a browser
# make build        every notebook again, executed, from its source
# make site         the lessons as static pages, and pages in which a model runs, into build/site/html (needs npm)
# make bench        ratios measured side by side: benchmarks/bench.md, .csv and .png, in about 25 minutes of one core
# make colab-check  every lesson in an emulation of Google Colab (needs Python 3.13, and fetches 5 GB, once)
# make publish REPO=https://github.com/you/course    write the address into pyproject.toml, README and notebooks;
#                   with SITE=https://you.github.io/course, that of the static pages, too
#
# setup_course.py does the work, and does the same where there is no make: python setup_course.py lab

PYTHON ?= python3
export VENV ?= .venv
export WORKERS ?= 2
export CELL_TIMEOUT ?= 400
BIN := $(VENV)/bin

.PHONY: lab lab-check test check lint build site bench colab-check publish clean

lab lab-check test check lint: python
	@$(PYTHON) setup_course.py $@

build: python
	@$(PYTHON) setup_course.py install test
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python lessons/build.py

site: python
	@$(PYTHON) setup_course.py install test
	@OMP_NUM_THREADS=1 $(BIN)/python site/build.py

bench: python
	@$(PYTHON) setup_course.py install test
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench.py

colab-check: python
	@$(PYTHON) setup_course.py install test
	$(BIN)/python tests/colab.py

publish: python
	@$(PYTHON) setup_course.py install test
	@$(BIN)/python lessons/publish.py $(REPO) $(SITE)

clean:
	rm -rf build *.egg-info

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.10 or newer, or say which: make PYTHON=/path/to/python3"; exit 1; }
