# Everything a newcomer needs: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)
# Each of the hundreds of processes that the tests start would compile Farebox anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test suite lint format chaos screenshots stripe bench lock clean chromium

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.installed ## install what is needed, then start the demo product
	$(BIN)/farebox dev

test: ## every check but the long ones: lint, and pytest beside it
	@$(MAKE) --silent --jobs 2 $(VENV)/.installed-dev chromium
	$(BIN)/ruff check --quiet
	@$(MAKE) --no-print-directory --jobs 2 lint suite

# mypy takes most of a minute of one processor the first time. Where it finds something, make fails when the tests are done.
suite: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not chaos and not alone and not stripe" --numprocesses 4 --dist loadgroup --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone

# The tests of the pages need a browser. Without one they fail, and say what to install. The headless shell costs a page a
# third of the processor time; where a system does not have it, Chromium itself does.
chromium:
	@command -v chromium-headless-shell >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || { \
		echo "Installing Chromium for the tests."; apt-get update -qq; \
		apt-get install -qq -y chromium-headless-shell >/dev/null || command -v chromium >/dev/null || \
		apt-get install -qq -y chromium >/dev/null; }

lint: $(VENV)/.installed-dev ## Ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## let Ruff format the code and mend what it can
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

chaos: $(VENV)/.installed-dev ## the long tests: kills and restarts
	$(BIN)/python -m pytest -m chaos

screenshots: $(VENV)/.installed-dev chromium ## write a picture of each page to build/screenshots: two sizes, by day and by night
	SCREENSHOTS=build/screenshots $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder tests/browser

stripe: $(VENV)/.installed-dev ## the money's way in Stripe's own test mode, by your STRIPE_SECRET_KEY
	$(BIN)/python -m pytest -m stripe tests/api/test_stripe_journey.py

bench: $(VENV)/.installed-dev ## measure a paid call beside the plain loop, and a stream beside a bare relay
	$(BIN)/python bench/compare.py
	$(BIN)/python bench/streams.py

lock: $(VENV)/.installed-dev ## write the lock files anew; UPGRADE=--upgrade takes the newest releases
	$(UV_COMPILE) --output-file requirements.lock
	$(UV_COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(BIN)/uv pip compile tests/clients/instructor.in --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" $(UPGRADE) --output-file tests/clients/instructor.lock

clean: ## remove the environment, builds and caches; data stays
	rm -rf $(VENV) .venv-clients tests/clients/node/node_modules tests/clients/stripe/node_modules tests/browser/node/node_modules build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say for which pyproject.toml and lock the environment was installed.

$(VENV)/.installed: pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "Farebox needs Python 3.11 or newer, and there is no '$(PYTHON)' here." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Farebox needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Name a newer one, as in: make run PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing Farebox into $(VENV); this takes a minute."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --quiet --require-hashes --requirement requirements.lock
	@$(PIP) install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "Installing what the tests need into $(VENV); this takes a minute."
	@$(PIP) install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@
