# Everything sets up what it needs: a virtual environment in .venv, made with python3 (3.11 or newer) from PATH.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test bench lint clean

demo: $(VENV)/ready
	$(RUN) examples/demo.py

# With STATUS=FILE the exit code of pytest goes there, and its summary stays the last line whatever it is.
test: lint
	$(RUN) -m pytest -n auto --dist worksteal $(if $(STATUS),; echo $$? >$(STATUS))

# QUICK=1: only to see that the benches run.
bench: $(VENV)/ready
	$(RUN) -m pytest bench --benchmark-only $(if $(QUICK),--quick)

lint: $(VENV)/ready
	$(RUN) -m ruff check
	$(RUN) -m mypy
	$(RUN) tools/lint_c.py

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: name a newer one, make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
