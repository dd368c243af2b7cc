# The commands of this repository; each creates .venv and installs what it needs. PYTHON=python3.13 picks another Python.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without the warnings, or setuptools repeats at each install that a folder could be called `stagecall` too.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

# The tasks that `make demo` runs, in this order.
DEMO := examples/hello.yml examples/build.yml
OUT := build/demo

# What mypy looks at beside the package: those folders that hold Python.
BESIDE := $(patsubst %/,%,$(sort $(dir $(wildcard tests/*.py bench/*.py examples/*.py))))

.DELETE_ON_ERROR:
.PHONY: help demo test soak bench lint types readme format coverage changelog clean

help: ## show this list
	@grep -hE '^[a-z]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.* ## /\1\t/' | expand -t 12

demo: $(VENV)/run.stamp ## run the examples, with their artifacts and pages under build/demo
	@for task in $(DEMO); do \
	    out=$(OUT)/$$(basename $$task .yml); mkdir -p $$out; \
	    printf '\n$$ stagecall run %s --out %s\n' $$task $$out; \
	    $(BIN)/stagecall run $$task --out $$out || exit $$?; \
	    $(BIN)/stagecall diagram --format html --run $$out/run.json > $$out/run.html || exit $$?; \
	done
	@printf '\nThe pages of the runs, to open in a browser:\n'
	@printf '  $(OUT)/%s/index.html\n' $(basename $(notdir $(DEMO)))
	@printf 'Their artifacts and traces lie beside them, and as run.html the picture that stagecall diagram draws.\n'
	@printf 'To watch a run while it goes on: $(BIN)/stagecall run $(lastword $(DEMO)) --serve\n'

test: $(VENV)/dev.stamp ## run the whole suite; ARGS="-k dispose" picks tests
	$(BIN)/python -m pytest -n logical $(ARGS)

soak: $(VENV)/dev.stamp ## run what takes minutes: long sweeps, large numbers
	$(BIN)/python -m pytest -n logical -m soak --timeout 3600 $(ARGS)

bench: $(VENV)/dev.stamp ## measure, as a table and JSON; ARGS are passed on
	$(BIN)/python bench $(ARGS)

lint: $(VENV)/dev.stamp types ## ruff, mypy --strict, news fragments
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/towncrier build --draft --version next > /dev/null

# build/types holds the tree under its real name: `mypy --strict .` would take the checkout's folder for the
# package's name, and fail where that is no identifier.
types: $(VENV)/dev.stamp ## mypy --strict on the package, and mypy on what lies beside it
	@rm -rf build/types && mkdir -p build/types/stagecall
	@ln -s $(addprefix ../../../,$(wildcard *.py py.typed) $(patsubst %/__init__.py,%,$(wildcard */__init__.py))) \
	    build/types/stagecall
	@ln -s $(addprefix ../../,$(BESIDE)) build/types
	$(BIN)/mypy -p stagecall $(addprefix -p ,$(BESIDE))

readme: $(VENV)/dev.stamp ## put the generated state diagram into README.md
	$(BIN)/python docs/refresh_readme.py

format: $(VENV)/dev.stamp ## let ruff fix and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(VENV)/dev.stamp ## run the suite and say which lines it missed
	$(BIN)/python -m pytest -n logical --cov --cov-report=term-missing $(ARGS)

changelog: $(VENV)/dev.stamp ## turn news/ into a section of CHANGELOG.md; needs VERSION=1.2.3
	$(BIN)/towncrier build --yes --version $(or $(VERSION),$(error VERSION=1.2.3 is missing))

clean: ## remove what make created, .venv too
	rm -rf $(VENV) build dist *.egg-info .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache

# A Python without ensurepip (Debian's, for one) makes the virtual environment with its own pip.
$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV) || \
	    { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(VENV) install --quiet pip; }

$(VENV)/run.stamp: setup.cfg pyproject.toml | $(VENV)/bin/pip
	$(INSTALL) '.[worker,diagrams]'
	@touch $@

$(VENV)/dev.stamp: setup.cfg pyproject.toml | $(VENV)/run.stamp
	$(INSTALL) '.[dev]'
	@touch $@
