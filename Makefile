# make run     a voice assistant on this machine: sets up what it needs, then starts it
# make test    sets up everything, then runs every check and every test
# make setup   only makes the environment in .venv      make docs    builds the documentation into site/
# make size    prints the lines of every room           make check   style, types, layers and sizes
# make lock    renews requirements/                     make clean   takes away what the others made
# make samples copies tested code into the pages          make recordings  records their picture and output again

# Python keeps what it has compiled: the tests start it some three hundred times.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(BIN)/uv
INSTALL := $(UV) pip install --quiet --no-deps --no-build-isolation

CLOCK := real_time
ALONE := models or browser
PURE := tests/protocol tests/session tests/text tests/tools tests/test_turn_taking.py
# What needs no clock fills the time in which others wait.
BESIDE := nice -n 19
HAS_POSTGRESQL := { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb || [ -n "$$VIVAVOCE_TEST_POSTGRESQL" ]; } >/dev/null 2>&1
HAS_FIREFOX := { command -v firefox-esr || command -v firefox; } >/dev/null 2>&1
HAS_CHROMIUM := { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null 2>&1
HAS_NODE := { command -v node && command -v npm; } >/dev/null 2>&1
WITHOUT_CHROMIUM := { [ -z "$$CI" ] && ! $(HAS_CHROMIUM); }
TOGETHER := --jobs $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.PHONY: run test setup docs samples recordings measure-page lock clean check types size chromium firefox postgresql models clients tests-covered tests-jumping tests-waiting tests-models tests-browser

run: $(VENV)/.can-run
	@echo "Starting vivavoce. The first time, the models of about 710 MB are fetched."
	@exec $(BIN)/viva serve $(ARGS)

test:
	@echo "Setting up, checking and testing side by side; each part is printed when it is done."
	@$(MAKE) --no-print-directory $(TOGETHER) check models clients tests-covered tests-jumping tests-waiting tests-models tests-browser

tests-covered: setup
	@echo "Running the tests of what decides, with coverage; then its laws, which need none and would be slower."
	@$(BIN)/coverage erase
	@$(BESIDE) $(BIN)/coverage run -m pytest -v -m "not ($(CLOCK) or $(ALONE) or hypothesis)" $(PURE)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report >$(VENV)/coverage.txt || \
		{ cat $(VENV)/coverage.txt; echo "These files decide, so every line and branch of them needs a test."; exit 1; }
	@$(BESIDE) $(BIN)/pytest -v -m "hypothesis and not ($(CLOCK) or $(ALONE))" $(PURE)

tests-jumping: setup
	@echo "Running the other tests that need no clock."
	@$(BESIDE) $(BIN)/pytest -v -n 2 -m "not ($(CLOCK) or $(ALONE))" $(PURE:%=--ignore=%)

tests-waiting: setup postgresql
	@echo "Running the tests with sockets and processes, which mostly wait, several at once."
	@$(BIN)/pytest -v -n 4 --dist loadfile -m "$(CLOCK) and not ($(ALONE))"

# Models want the machine: these tests come when those that wait are done, beside the browser, which waits a lot.
tests-models: tests-waiting models firefox
	@echo "Running the tests with models, one at a time."
	@$(BIN)/pytest -v -m "models $$($(WITHOUT_CHROMIUM) && echo and not browser)"

tests-browser: tests-waiting models firefox $(VENV)/.has-page-tools
	@echo "Running the tests with a browser, one at a time."
	@$(WITHOUT_CHROMIUM) || $(BIN)/pytest -v -m "browser and not models"

models: setup
	@echo "Fetching the offline models, unless they are here."
	@$(BIN)/viva models pull

clients: setup
	@echo "Making the environments of the clients that others wrote."
	@PYTHONPATH=tests $(BIN)/python -m clients.install

check: setup
	@echo "Checking style, types and layers."
	@$(BESIDE) $(BIN)/ruff check --quiet
	@$(BESIDE) $(BIN)/ruff format --quiet --check
	@$(BESIDE) $(BIN)/mypy --no-error-summary
	@for room in . bench; do (cd $$room && $(BESIDE) "$$OLDPWD/$(BIN)/lint-imports" --verbose) >$(VENV)/imports.txt || \
		{ cat $(VENV)/imports.txt; exit 1; }; done
	@$(BIN)/python scripts/size.py
	@$(HAS_NODE) || [ -n "$$CI" ] || { echo "Node.js 20 is not installed, so the types of the page are not checked."; exit 0; } && \
		$(MAKE) --no-print-directory types

# The page is plain JavaScript, with its types in comments. Users need no Node.js; whoever changes it does.
types: $(VENV)/.has-page-tools
	@$(BESIDE) tests/web/node/node_modules/.bin/tsc --project tests/web/node

size:
	@$(PYTHON) scripts/size.py

setup: $(VENV)/.can-develop
	@echo "The environment in $(VENV) is ready."

docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html."

samples:
	@$(PYTHON) scripts/refresh_samples.py

recordings: models chromium
	@PYTHONPATH=tests:scripts $(BIN)/python -m record_docs

measure-page: chromium
	@PYTHONPATH=tests $(BIN)/python -m measure_page $(ARGS)

$(VENV)/.has-tools: requirements/tools.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "vivavoce needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@echo "Making an environment in $(VENV)."
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "This Python cannot make environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

$(VENV)/.can-run: $(VENV)/.has-tools requirements/run.txt pyproject.toml
	@echo "Installing what vivavoce needs, each package checked against its hash."
	@$(UV) pip install --quiet --require-hashes --requirement requirements/run.txt
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.can-develop: $(VENV)/.has-tools requirements/dev.txt pyproject.toml bench/pyproject.toml
	@echo "Installing what vivavoce and its tests need, each package checked against its hash."
	@$(UV) pip sync --quiet --require-hashes requirements/tools.txt requirements/dev.txt
	@$(INSTALL) --editable . --editable bench
	@touch $@ $(VENV)/.can-run

$(VENV)/.has-page-tools: tests/web/node/package-lock.json $(VENV)/.has-tools
	@cd tests/web/node && npm ci --no-progress
	@touch $@

chromium:
	@$(HAS_CHROMIUM) || { \
		echo "Installing Chromium, in which the page is tested."; \
		root=$$([ "$$(id -u)" = 0 ] || echo "sudo -n"); \
		$$root apt-get update -qq && $$root apt-get install -qq -y chromium >/dev/null; } || \
		echo "Chromium cannot be installed from here, so the page is not tested; install it and try again."

firefox: chromium
	@$(HAS_FIREFOX) || { \
		echo "Installing Firefox, in which the page is tested, too."; \
		root=$$([ "$$(id -u)" = 0 ] || echo "sudo -n"); \
		$$root apt-get install -qq -y --no-install-recommends firefox-esr >/dev/null; } || \
		echo "Firefox cannot be installed from here, so the page is tested in Chromium only."

postgresql:
	@$(HAS_POSTGRESQL) || { \
		echo "Installing PostgreSQL, which the tests start."; \
		root=$$([ "$$(id -u)" = 0 ] || echo "sudo -n"); \
		$$root apt-get update -qq && $$root apt-get install -qq -y postgresql >/dev/null; } || \
		echo "PostgreSQL cannot be installed from here, so only SQLite is tested; install it and try again."

# pip's and uv's own settings on some machine must not end up in what everybody gets.
LOCK := env -u UV_FIND_LINKS -u UV_EXTRA_INDEX_URL $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header

WHOLE := --extra local --extra languages --extra terminal --extra webrtc --extra mcp --extra store --extra https

lock: $(VENV)/.has-tools
	@$(LOCK) requirements/tools.in --output-file requirements/tools.txt
	@$(LOCK) pyproject.toml $(WHOLE) --constraint requirements/tools.txt --output-file requirements/run.txt
	@$(LOCK) pyproject.toml $(WHOLE) --group dev --excludes requirements/unused --constraint requirements/run.txt --output-file requirements/dev.txt
	@for client in requirements/clients/*.in; do \
		$(LOCK) $$client --excludes requirements/clients/excluded --output-file $${client%.in}.txt || exit 1; done
	@! grep -rn --include='*.txt' '://' requirements || { echo "An address has got into the lock files."; exit 1; }

clean:
	rm -rf $(VENV) .venv-clients tests/clients/node/node_modules tests/web/node/node_modules site build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
