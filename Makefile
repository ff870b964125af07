# make            what can be made
# Python 3.11 or later, git and make are all that is needed; the rest is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help demo up check test crash bench pictures messages clean

help: ## show this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
	  test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV); \
	  uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; \
	else \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade >/dev/null; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'; \
	fi
	@touch $@

demo: $(STAMP) ## run the simulated company on the embedded database (ONCE=1 ends after the first round)
	@$(BIN)/erpcrm demo config $(if $(ONCE),--once,) $(if $(PORT),--port $(PORT),)

up: $(STAMP) ## run your own configuration: database, daemon, Dagster UI, board
	@$(BIN)/erpcrm up $(if $(PORT),--port $(PORT),)

check: $(STAMP) ## linters, types, import contracts, the demo company's configuration
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/erpcrm config check config

test: $(STAMP) ## all tests, on real parts
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -q

crash: $(STAMP) ## the full numbers: kill rounds, seeds of the cursor, rights of twenty dossiers (ROUNDS=10000 SEED=1 for more and others)
	CURSOR_SEEDS=200 ROUTINE_KILLS=60 RIGHTS_DOSSIERS=20 CRASH_ROUNDS=$(or $(ROUNDS),300) CRASH_SEED=$(or $(SEED),20261122) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -q tests/scenarios/test_crash.py tests/scenarios/test_crash_with_keys.py tests/scenarios/test_killed_first_load.py tests/scenarios/test_seeded_bugs.py tests/scenarios/test_database_faults.py tests/scenarios/test_routine_kills.py tests/postgres/test_cursor_seeds.py tests/board/test_rights.py

bench: $(STAMP) ## the benchmarks, small (SIZE=full for the published size)
	@$(BIN)/python -c 'import dlt, matplotlib' 2>/dev/null || if command -v uv >/dev/null 2>&1; then \
	  uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev,bench]'; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'; \
	fi
	$(BIN)/python -m benchmarks $(if $(filter full,$(SIZE)),--full --plot docs/pictures/cost-against-size.svg,)

pictures: $(STAMP) ## take the pictures of the README anew (needs Chromium)
	$(BIN)/python -m docs.pictures

messages: $(STAMP) ## bring the catalogues in line with the texts in the sources, and show what is to be translated
	$(BIN)/pybabel -q extract -F pyproject.toml --no-location --no-wrap -o $(VENV)/erpcrm.pot .
	$(BIN)/pybabel -q update -i $(VENV)/erpcrm.pot -d erpcrm_orchestration/locale -D erpcrm --no-wrap --ignore-obsolete \
	  --no-fuzzy-matching --ignore-pot-creation-date
	@grep -B1 '^msgstr ""$$' erpcrm_orchestration/locale/*/LC_MESSAGES/erpcrm.po | grep 'msgid "..*"' || echo 'every text is translated'

clean: ## remove the environment and the embedded server's data
	rm -rf $(VENV) .erpcrm
