# Two commands do all: `make local-e2e` runs the whole flow on this machine, `make test` runs the tests.
# Each sets itself up in .venv from the locks in requirements/.

PYTHON ?= python3
WORKSPACE ?= .bankmlops
JOBS ?= 2
ARGS ?=

venv := .venv
bin := $(venv)/bin
# Developers who keep the data beside the checkout use it without asking for it.
ifneq ($(wildcard ../shared/data),)
export BANKMLOPS_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help local-e2e azure-e2e mlflow-ui check test test-system image test-container test-faults soak bench-automl bench-automl-peers bench-contract bench-budget bench-scale bench-peers bench-scoring bench-batch bench-emulator bench-pipelines lock recording dist clean

help: ## Say what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

local-e2e: $(venv)/local.stamp ## Run the whole flow on this machine
	@$(bin)/bankmlops --workspace $(WORKSPACE) e2e --evidence build/e2e/local.json $(ARGS)

azure-e2e: $(venv)/dev.stamp ## Run the same flow on Azure ML: the workspace that is configured, or else the emulator
	@$(bin)/python -m bankmlops.azure.configuration; found=$$?; \
	if [ $$found = 0 ]; then \
	  $(bin)/bankmlops --backend azure e2e --minutes 20 --pipeline-minutes 20 --evidence build/e2e/azure.json $(ARGS); \
	elif [ $$found = 1 ]; then \
	  $(bin)/bankmlops emulator run -- $(bin)/bankmlops --backend azure e2e --evidence build/e2e/azure.json $(ARGS); \
	else \
	  exit $$found; \
	fi

mlflow-ui: $(venv)/local.stamp ## Open MLflow's pages on the workspace that the flow wrote
	@$(bin)/python -m bankmlops.local.training.mlflow_ui --workspace $(WORKSPACE) $(ARGS)

check: JOBS = 3  # many of these tests wait for a clock or a process
check: $(venv)/dev.stamp ## Format, lint, types, architecture and unit tests, in under a minute
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/python -m pytest -q -m "not slow and not system and not long" --numprocesses $(JOBS) --dist loadfile tests/test_architecture.py tests/unit

test: $(venv)/dev.stamp ## The tests that need Python alone, with line coverage
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/python -m pytest -q -m "not system and not long" --numprocesses $(JOBS) --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

image: $(venv)/local.stamp ## Build the scoring image, on BASE_IMAGE or what can be had, and print its name
	@PYTHON=$(bin)/python docker/build-image $(BASE_IMAGE)

test-container: $(venv)/dev.stamp ## Build, run and export the scoring container with a real engine
	tests/install-system-packages engine
	$(bin)/python -m pytest -q tests/system/test_scoring_image.py tests/system/test_container_*.py $(ARGS)

test-system: $(venv)/system.stamp ## Install a browser, ab and what else the system tests need, and run them and the long ones
	tests/install-system-packages
	$(bin)/python -m pytest -q -m "system or long" $(ARGS)

test-faults: $(venv)/dev.stamp ## Kill, stop, fill, lock and cut off what pipelines stand on, again and again: minutes
	tests/install-system-packages postgres
	BANKMLOPS_LONG_TESTS=1 timeout --foreground --signal=INT 3600 $(bin)/python -m pytest -q tests/faults -o junit_family=xunit1 --junitxml=build/faults.xml $(ARGS)
	$(bin)/python benchmarks/faults.py build/faults.xml

soak: $(venv)/dev.stamp ## An hour (or SOAK_SECONDS) of good and bad traffic on the scoring service: nothing may grow
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} $(bin)/python -m pytest -q -s --timeout=0 tests/stress/test_soak.py $(ARGS)

bench-automl: $(venv)/dev.stamp ## AutoML's accuracy on rows that it never saw: four tables, three splits of each, 35 minutes; ARGS=--help says how to do less
	$(bin)/python benchmarks/automl.py $(ARGS)

bench-automl-peers: $(venv)/dev.stamp $(venv)-automl-peers/stamp ## The same beside AutoGluon and H2O, which get an environment of their own: 50 minutes
	tests/install-system-packages java
	$(bin)/python benchmarks/automl.py --systems "bankmlops,flaml log_loss,autogluon,h2o" $(ARGS)

bench-contract: $(venv)/dev.stamp ## AutoML's budgets: what was asked for, and what the clock says
	$(bin)/python benchmarks/budget.py $(ARGS)

bench-budget: $(venv)/dev.stamp ## AutoML's score on untouched rows over the budget
	$(bin)/python benchmarks/budget_curve.py $(ARGS)

bench-scale: $(venv)/dev.stamp ## AutoML's time and memory over the rows
	$(bin)/python benchmarks/scale.py $(ARGS)

bench-peers: $(venv)-scoring-peers/stamp ## Install the model servers of others for bench-scoring, in an environment of their own

bench-scoring: $(venv)/dev.stamp ## The scoring service against a plain ASGI app
	$(bin)/python benchmarks/scoring.py $(ARGS)

bench-batch: $(venv)/dev.stamp ## Batch scoring against bare onnxruntime
	$(bin)/python benchmarks/batch.py $(ARGS)

bench-emulator: $(venv)/dev.stamp ## The emulator's start-up and its own time a request
	$(bin)/python benchmarks/emulator.py $(ARGS)

bench-pipelines: $(venv)/dev.stamp ## What the pipeline engine costs a step, and the triggers that it accepts a second
	PYTHONPATH=tests $(bin)/python benchmarks/pipelines.py $(ARGS)

lock: ## Make the locks anew (needs uv on the PATH)
	requirements/compile.sh

recording: $(venv)/dev.stamp ## Record the walk through the flow anew
	$(bin)/python docs/record.py

dist: $(venv)/dev.stamp ## Build the wheel
	$(bin)/python -m build --wheel --no-isolation

clean: ## Remove what was built; the workspace and the data stay
	rm -rf build dist $(venv) $(venv)-* .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A stamp is as new as what it was made from, so that a second call installs nothing. dev.txt holds all of local.txt.
$(venv)/local.stamp: requirements/local.txt pyproject.toml
	@test ! -e $(venv)/dev.stamp || $(MAKE) --no-print-directory $(venv)/dev.stamp
	@test -e $(venv)/dev.stamp || requirements/install.sh $(PYTHON) $(venv) local
	@touch $@

# The network's tests are skipped where pip finds no build of PyTorch for the CPU.
$(venv)/system.stamp: requirements/system.txt requirements/deep.txt $(venv)/dev.stamp
	@requirements/install.sh $(PYTHON) $(venv) system
	@$(bin)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/deep.txt || echo "No PyTorch: see docs/automl.md" >&2
	@touch $@

$(venv)/dev.stamp: requirements/dev.txt pyproject.toml
	@requirements/install.sh $(PYTHON) $(venv) dev
	@touch $(venv)/local.stamp $@

$(venv)-%-peers/stamp: requirements/%-peers.txt
	@echo "Setting up $(@D) from $< (once; a minute or two) ..." >&2
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement $<
	@$(@D)/bin/python -m pip check
	@touch $@
