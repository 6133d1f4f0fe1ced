# A newcomer needs two commands: `make demo` and `make test`. Python >= 3.11 and make are the only requirements.
# Another Python: make PYTHON=python3.12 demo. More for pytest or the service: make test ARGS="-k bus -x".
PYTHON ?= python3
UV ?= uv
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: install demo serve test check format bench soak lock clean help

install: $(VENV)/.installed  ## make .venv with everything in it; quick when nothing changed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "comfy-relay needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV); the first time takes about a minute."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: install  ## the service with an embedded ComfyUI simulator
	@$(BIN)/comfy-relay demo $(ARGS)

serve: install  ## the service in front of the ComfyUI named in COMFY_RELAY_COMFYUI_URLS
	@$(BIN)/comfy-relay serve $(ARGS)

test: install  ## the whole suite, on SQLite and on a real PostgreSQL, on the in-process bus and on a real Redis
	$(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS) $(PYTEST_ARGS)

check: install  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## ratios against a baseline measured in the same run
	$(BIN)/python -m benchmarks $(ARGS)

soak: install  ## half an hour of work with accidents; memory and open files have to stay flat
	$(BIN)/python -m benchmarks.soak $(ARGS)

# requirements.lock is everything; requirements-runtime.lock is the part of it that builds and runs a container image.
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

lock:  ## compile the two locks anew (needs uv); `make lock ARGS=--upgrade` takes newer versions
	$(COMPILE) $(ARGS) --extra dev pyproject.toml -o requirements.lock
	echo hatchling | $(COMPILE) -c requirements.lock pyproject.toml - -o requirements-runtime.lock

clean:  ## remove the environment and all caches; data/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
