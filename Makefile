# Needs GNU make and Python 3.11 or newer, nothing else: everything is put into .venv.
#   make demo ARGS=--once
#   PYTHON=python3.13 make check     builds .venv with that interpreter
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Two workers suit small machines too; PYTEST_ARGS= runs in one process.
PYTEST_ARGS ?= -n 2 --dist worksteal

# An interpreter that somebody chose replaces a .venv made with another; the default one does not.
CHOSEN := $(filter-out undefined default,$(origin PYTHON))
PYTHON ?= python3
VERSION_OF = -c 'import sys; print("%d.%d" % sys.version_info[:2])'

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.PHONY: demo
demo: $(VENV)/.runtime  ## The whole chain on this machine, no account needed: make demo ARGS=--once
	@$(BIN)/python manage.py demo $(ARGS)

.PHONY: test
test: $(VENV)/.development  ## Tests on SQLite, then on PostgreSQL, and their coverage
	@echo '== tests on SQLite'
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	@echo '== tests on PostgreSQL'
	@$(BIN)/python -m tests.servers postgres -- $(BIN)/coverage run -m pytest $(PYTEST_ARGS) \
	  -m 'not (postgres or redis or browser)'
	@echo '== coverage'
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

.PHONY: lint
lint: $(VENV)/.development  ## Format, style, types, direction of imports, missing migrations
	@echo '== format'
	@$(BIN)/ruff format --check .
	@echo '== style'
	@$(BIN)/ruff check .
	@echo '== types'
	@$(BIN)/mypy .
	@echo '== direction of imports'
	@$(BIN)/lint-imports
	@echo '== missing migrations'
	@DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py makemigrations --check --dry-run

.PHONY: check
check:  ## All that a change has to pass
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory test

.PHONY: fmt
fmt: $(VENV)/.development  ## Rewrite to the house style
	@$(BIN)/ruff check --fix --exit-zero .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/.development  ## CPU, speed and memory of the whole chain, and of the webhook endpoint
	@$(BIN)/python -m tests.benchmarks.chain $(ARGS)
	@$(BIN)/python -m tests.benchmarks.webhooks

.PHONY: clean
clean:  ## Remove the virtualenv and all caches; databases stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis htmlcov
	rm -f .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.runtime: requirements.txt $(VENV)/pyvenv.cfg
	@echo '== installing what the portal runs on'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# Holds the runtime packages as well, so both stamps are set.
$(VENV)/.development: requirements.txt tests/requirements.txt $(VENV)/pyvenv.cfg
	@echo '== installing what development needs'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $(VENV)/.runtime $@

# Looked at each time, and made (which makes the stamps above stale) only when there is a reason.
$(VENV)/pyvenv.cfg: FORCE
	@if [ -x $(BIN)/python ] && { [ -z '$(CHOSEN)' ] || \
	    [ "$$($(BIN)/python $(VERSION_OF))" = "$$($(PYTHON) $(VERSION_OF))" ]; }; then exit 0; fi; \
	command -v $(PYTHON) >/dev/null || { \
	  echo '$(PYTHON) was not found: install Python 3.11 or newer, or name it: PYTHON=... make'; \
	  exit 1; } >&2; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) $(VERSION_OF))." \
	    'Name a newer one: PYTHON=python3.13 make ...'; exit 1; } >&2; \
	echo "== making $(VENV) with Python $$($(PYTHON) $(VERSION_OF))"; \
	$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo 'The virtualenv could not be made; on Debian and Ubuntu: apt-get install python3-venv'; \
	  exit 1; } >&2

.PHONY: FORCE
FORCE:
