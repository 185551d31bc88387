# The commands of the README. All of them work in a fresh clone; what they install goes into .venv.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Two workers that take each other's work: tests last from milliseconds to a minute. PYTEST_ARGS="-k facts" narrows a run.
WORKERS ?= 2
PYTEST_ARGS ?=

.PHONY: demo test lint docs clean

demo: $(VENV)/demo.ready  ## a real conda prefix, two real wheels, one check that passes and one that fails
	$(RUN) -m fixtures.demo

test: $(VENV)/dev.ready  ## the whole suite; its last section names what could not run here, and why
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/dev.ready  ## style, types and the layers of the imports
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/dev.ready  ## docs/_build/html
	$(RUN) -m sphinx -W -b html docs docs/_build/html

clean:  ## everything that was built or downloaded
	rm -rf $(VENV) .work docs/_build

# pip reads dependency groups since 25.1; a venv brings the pip of its Python.
$(VENV)/pip.ready:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "abicheck needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	touch $@

$(VENV)/demo.ready: pyproject.toml $(VENV)/pip.ready
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable . --group demo
	touch $@

$(VENV)/dev.ready: pyproject.toml $(VENV)/pip.ready
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@
