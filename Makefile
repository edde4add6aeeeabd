# Everything a newcomer needs: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)
# uv installs in seconds what takes pip a minute. Where it is not to be had, or does not reach the index that pip is told of, pip does it.
install = @$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode $(1) 2>/dev/null || $(PIP) install --quiet $(1)
# Each of the hundreds of processes that the tests start would compile Farebox anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test alone suite lint format chaos screenshots stripe bench lock clean chromium

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.installed ## install what is needed, then start the demo product
	$(BIN)/farebox dev

test: ## every check but the long ones: lint and pytest
	@$(MAKE) --silent --jobs 2 $(VENV)/.installed-dev chromium
	@$(MAKE) --no-print-directory --jobs 2 lint alone
	@$(MAKE) --no-print-directory suite

# First, because it compiles all tests for the others, and leaves half of the machine to mypy.
alone: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m alone

suite: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not chaos and not alone and not stripe" --numprocesses 4 --dist loadgroup --no-loadscope-reorder

# The tests of the pages need a browser. Without one they fail, and say what to install. The headless shell costs a page a
# third of the processor time; where a system does not have it, Chromium itself does.
chromium:
	@command -v chromium-headless-shell >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || { \
		echo "Installing Chromium for the tests."; apt-get update -qq; \
		apt-get install -qq -y chromium-headless-shell >/dev/null || command -v chromium >/dev/null || \
		apt-get install -qq -y chromium >/dev/null; }

# mypy takes most of a minute of one processor the first time; the tests beside it, some of which measure, are not to notice.
lint: $(VENV)/.installed-dev ## Ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	nice -n 19 $(BIN)/mypy
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
	@echo "Installing Farebox into $(VENV)."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/# via/p' requirements-dev.lock | $(PIP) install --quiet --require-hashes --requirement /dev/stdin || true
	$(call install,--require-hashes --requirement requirements.lock)
	$(call install,--no-deps --editable .)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "Installing what the tests need into $(VENV)."
	$(call install,--require-hashes --requirement requirements-dev.lock)
	@touch $@
