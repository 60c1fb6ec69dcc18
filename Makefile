# The vocabulary of this repository, for people and for CI: `make` alone lists it.
#
# Needs Python 3.11, 3.12 or 3.13 with venv, Git and make; all else is installed into .venv.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VENV := .venv
RUN := $(VENV)/bin/python
UV_VERSION := 0.13.8
UV := $(VENV)/bin/uv
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

# Nothing is written outside this folder, and whatever trusts your company's certificates goes on to.
export UV_CACHE_DIR ?= $(CURDIR)/$(VENV)/uv-cache
export UV_SYSTEM_CERTS ?= true
export UV_NO_PROGRESS ?= true
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
export DVC_NO_ANALYTICS := true
export DO_NOT_TRACK := true
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
# Each task of Airflow is a process of its own: without bytecode kept beside it, each would compile our code again.
up demo repro test coverage e2e pictures: export PYTHONDONTWRITEBYTECODE :=
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

SUITABLE := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
SYNC := $(UV) pip install --quiet --python $(RUN) --require-hashes --compile-bytecode

.PHONY: help
help: ## List these targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r target says; do printf '%-20s %s\n' "$$target" "$$says"; done

.PHONY: setup
setup: $(INSTALLED) ## Install everything, land the demo's history in var/
	@$(RUN) -m embedded.setup

.PHONY: up
up: $(INSTALLED) ## Start all of Evergreen, or one model by MODEL=NAME; Ctrl-C stops it
	@exec $(RUN) -m embedded.up --with-parent $(if $(MODEL),--model $(MODEL))

.PHONY: demo
demo: $(INSTALLED) ## Run one whole loop, print what came of it, stop
	@exec $(RUN) -m embedded.up --with-parent --until-done

.PHONY: boosting
boosting: $(INSTALLED) ## Install XGBoost and LightGBM, for models that name them as fit.estimator
	@$(SYNC) -r requirements-boosting.txt

.PHONY: lake
lake: $(INSTALLED) ## Install what reads Delta and Iceberg tables, for source.kind: delta and iceberg
	@$(SYNC) -r requirements-lake.txt

.PHONY: streaming
streaming: $(INSTALLED) ## Install what reads and writes Kafka and Redis, for evergreen consume
	@$(SYNC) -r requirements-streaming.txt

.PHONY: cluster
cluster: $(INSTALLED) ## Install Ray, for engine.kind: cluster
	@$(SYNC) -r requirements-cluster.txt

.PHONY: repro
repro: setup ## Train and judge a model from params.yaml with DVC
	@dvc repro

.PHONY: backtest
backtest: $(INSTALLED) ## Replay April to December 2013 under six policies
	@evergreen backtest --from 2013-04-01 --to 2013-12-31

# Where eatmydata is installed nothing waits for the disk (fsync does nothing): tests kill processes, and cut no power.
NO_FSYNC := $(shell command -v eatmydata)

.PHONY: test
# In the order of the folders: files whose tests are few and long come before the many short ones of tests/unit, which
# keep every worker busy to the end. By itself pytest-xdist begins with the files that have most tests.
test: $(INSTALLED_DEV) ## Run the tests, except those that start the whole stack
	@$(NO_FSYNC) $(RUN) -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		-m "not e2e and not compose"

.PHONY: coverage
coverage: $(INSTALLED_DEV) ## Run the tests of `make test` and report which lines and branches they reach (a third longer)
	@$(NO_FSYNC) $(RUN) -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		-m "not e2e and not compose" --cov --cov-report=term:skip-covered --cov-report=html $(TESTS)

# With E2E_WORKERS=2 two stacks run beside each other, on a machine that has nothing else to do. Long files come first, so
# that no worker is left with one of them at the end; ten models side by side keep all processors busy by themselves.
E2E_WORKERS ?= 0
E2E_LONG := $(foreach name,browser loop first_look twenty_requests,tests/e2e/test_$(name).py)
E2E_LAST := tests/steps/test_many_models.py
E2E_SHORT = $(filter-out $(E2E_LONG) $(E2E_LAST),$(sort $(shell grep -rl 'pytest\.mark\.e2e' --include='test_*.py' tests)))
.PHONY: e2e
e2e: $(INSTALLED_DEV) ## Run the tests that start the whole stack (minutes)
	@$(NO_FSYNC) $(RUN) -m pytest --numprocesses $(E2E_WORKERS) --dist loadfile --no-loadscope-reorder -m e2e -rs \
		$(E2E_LONG) $(E2E_SHORT) $(E2E_LAST)

.PHONY: pictures
pictures: $(INSTALLED_DEV) ## Retake the pictures of docs/tour.md (needs Chromium; a quarter of an hour)
	@EVERGREEN_TOUR_DAYS=16 EVERGREEN_SCREENSHOTS=$(CURDIR)/docs/images $(RUN) -m pytest -m e2e \
		tests/e2e/test_browser.py tests/e2e/test_performance_charts.py tests/e2e/test_charts.py \
		tests/e2e/test_drift_charts.py tests/e2e/test_quality_charts.py

.PHONY: compose-test
compose-test: $(INSTALLED_DEV) ## Run the test that kills and restarts the full stack's parts (needs Docker; half an hour)
	@$(RUN) -m pytest -m compose

.PHONY: lint
lint: $(INSTALLED_DEV) ## Check format, style, types and import rules
	@ruff format --check
	@ruff check
	@mypy
	@PYTHONPATH=.:plugins lint-imports

.PHONY: format
format: $(INSTALLED_DEV) ## Format the code, fix what can be fixed
	@ruff format
	@ruff check --fix

# --- the full stack (docs/full-stack.md): needs Docker and Python, not the installation below -------------

.PHONY: compose-env
compose-env: ## Draw the keys and passwords of the full stack into .env
	@python3 -m deploy.env

.PHONY: compose-up
compose-up: ## Build the image, start the full stack, wait until all of it is healthy
	@python3 -m deploy.compose up

.PHONY: compose-demo
compose-demo: ## Run one whole loop on the full stack, print what came of it
	@python3 -m deploy.compose demo

.PHONY: compose-down
compose-down: ## Stop the full stack; its volumes stay
	@python3 -m deploy.compose down

.PHONY: compose-backup
compose-backup: ## Save databases, registry and bucket into backups/ (or TO=folder)
	@python3 -m deploy.backup save $(TO)

.PHONY: compose-restore
compose-restore: ## Bring a backup back: FROM=backups/...; REPLACE=1 takes away what is there
	@test -n '$(FROM)' || { echo 'say which backup: make compose-restore FROM=backups/...' >&2; exit 2; }
	@python3 -m deploy.backup restore '$(FROM)' $(if $(REPLACE),--replace)

.PHONY: lock
lock: $(UV) ## Resolve requirements*.in into locks with hashes; UPGRADE=1 takes the newest
	@for name in requirements requirements-boosting requirements-lake requirements-streaming requirements-cluster requirements-dev requirements-stack; do \
		echo "locking $$name.in"; \
		case $$name in \
			requirements-stack) sed -n 's/^\([A-Za-z0-9].*==[^\\]*\) \\$$/\1/p' requirements.txt \
				| grep -v '^celery==\|^kombu==' > $(VENV)/as-in-requirements.txt; \
				held='--constraint $(VENV)/as-in-requirements.txt';; \
			*) held=;; \
		esac; \
		$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) $$held \
			$$name.in --output-file $$name.txt || exit 1; \
	done

.PHONY: clean
clean: ## Remove var/: the data, the models, Airflow's database (not .venv)
	@python=$$(command -v $(RUN) python3 | head -n 1); exec "$$python" embedded/clean.py

# --- installation ------------------------------------------------------------------------------
# Each stamp is made last, so an interrupted installation is done again.

$(UV):
	@command -v git >/dev/null 2>&1 || { echo 'Git is missing: install the package git' >&2; exit 1; }
	@python='$(PYTHON)'; \
	for candidate in $(if $(PYTHON),,python3.13 python3.12 python3.11 python3 python); do \
		if "$$candidate" -c '$(SUITABLE)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if ! "$${python:-python3}" -c '$(SUITABLE)' >/dev/null 2>&1; then \
		echo 'Python 3.11, 3.12 or 3.13 with venv is missing: install for example' \
			'python3.13 and python3.13-venv, or name one with PYTHON=/path/to/python' >&2; exit 1; \
	fi; \
	if ! $(RUN) -m pip --version >/dev/null 2>&1; then \
		echo "creating $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-cache-dir uv==$(UV_VERSION)

# The project itself goes in as it lies here (editable), for the command `evergreen`.
$(INSTALLED): requirements.txt pyproject.toml $(UV)
	@echo "installing $$(grep -c '^[A-Za-z0-9].*==' $<) packages (1-3 minutes the first time)"
	@$(SYNC) -r $<
	@$(UV) pip install --quiet --python $(RUN) --no-deps --no-build-isolation --editable .
	@touch $@

$(INSTALLED_DEV): requirements-dev.txt $(INSTALLED)
	@echo 'installing the tools for tests and lint'
	@$(SYNC) -r $<
	@touch $@
