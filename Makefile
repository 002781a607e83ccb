# `make dev` runs the platform (`ticks dev`), `make test` tests it; both set up what they need first.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
STEP := sh .make/step.sh $(VENV)/setup.log
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off

# Every run of Dagster is a process of its own, and would compile our modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: dev test test-full tape soak lint bench bench-peers conformance docs pin-images clean setup
.DEFAULT_GOAL := dev

# `make dev PORT=3100` where something else has the port.
dev: setup
	@exec $(VENV)/bin/ticks dev $(if $(PORT),--port $(PORT))

# Some tests wait for clocks and sockets: three at once keep two cores busy.
PYTEST := $(VENV)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: setup
	$(PYTEST)

# Everything, also what takes longer than `make test` may. ONLY=full leaves out what `make test` has.
test-full: $(VENV)/.full
	$(PYTEST) -m '$(ONLY)'

# Cases of the tape: a folder of files with frames and the candles that are right. It ends with `N of M right`.
tape: setup
	@[ -n "$(CASES)" ] || { echo "which cases? make tape CASES=DIR, such as CASES=ticks_platform_tests/tape/cases"; exit 2; }
	$(VENV)/bin/python -m ticks_platform_tests.tape '$(CASES)' --variants '$(or $(VARIANTS),plain)'

# Hundreds of faults in a row, and a count at the end, of each campaign: CONTRIBUTING.md. It prints its seed; the same
# seed, in TICKS_SOAK_SEED, gives the same faults.
soak: export TICKS_SOAK_FAULTS ?= 300
soak: export TICKS_GAP_FAULTS ?= 48
soak: export TICKS_MACHINE_FAULTS ?= 100
soak: export TICKS_COPY_FAULTS ?= 30
soak: export TICKS_LOST_FAULTS ?= 100
soak: setup
	$(VENV)/bin/python -m pytest -s -m '' --basetemp=.test_runs_soak ticks_platform_tests/faults
	$(VENV)/bin/python -m pytest -s -m full --basetemp=.test_runs_soak ticks_platform_tests/field
	$(VENV)/bin/python -m pytest -s -m full --basetemp=.test_runs_soak ticks_platform_tests/ingestion/gaps/test_campaign.py
	$(VENV)/bin/python -m pytest -s -m full --basetemp=.test_runs_soak ticks_platform_tests/test_storage_outage.py
	$(VENV)/bin/python -m pytest -s -m full --basetemp=.test_runs_soak ticks_platform_tests/machines
	$(VENV)/bin/python -m pytest -s -m '' --basetemp=.test_runs_soak ticks_platform_tests/ingestion/journal_copy/soak.py
	$(VENV)/bin/python -m pytest -s -m '' --basetemp=.test_runs_soak ticks_platform_tests/lost_machines/soak.py

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: setup
	$(VENV)/bin/python -m benchmarks

# Socket to rows and latency, and peers beside them: Pathway, cryptofeed and mdp-outbox, which are installed first. A C compiler
# is needed; for mdp-outbox also redis-server and a Python 3.12 or newer, which MDP_PYTHON may name.
bench-peers: $(VENV)/.peers
	$(VENV)/bin/python -m benchmarks limit ours pathway cryptofeed mdp-outbox latency --rows $(or $(ROWS),2000000) --repeats $(or $(REPEATS),5)

# Our connectors and the providers' own clients under the same faults, side by side: conformance/README.md.
conformance: setup
	$(VENV)/bin/python -m conformance

# The site, in docs/_build/html. A warning is an error. Once its generator is installed, building needs no network.
docs: $(VENV)/.docs
	$(VENV)/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# The images of compose.yaml by their digests of now, in .env.
pin-images:
	sh deploy/pin-images.sh

$(VENV)/.peers: $(READY) benchmarks/peers.txt benchmarks/peers-mdp-outbox.txt
	$(VENV)/bin/python -m pip install --quiet --requirement benchmarks/peers.txt
	@for python in $(or $(MDP_PYTHON),python3.13 python3.12); do \
		if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
			$$python -m venv $(VENV)/mdp-outbox && \
			exec $(VENV)/mdp-outbox/bin/python -m pip install --quiet --requirement benchmarks/peers-mdp-outbox.txt; \
		fi; \
	done; echo "mdp-outbox is left out: no Python 3.12 or newer"
	@touch $@

$(VENV)/.full: $(READY)
	@$(STEP) 'packages of the tests of Kubernetes' $(PIP) --editable '.[kubernetes-tests]'
	@touch $@

$(VENV)/.docs: $(READY)
	@$(STEP) 'packages of the documentation' $(PIP) --editable '.[docs]'
	@touch $@

setup: $(READY)

$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.10 to 3.13, or say which with make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' || { echo "$$($(PYTHON) --version) will not do: install Python 3.10 to 3.13, or say which with make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@[ -w . ] || { echo "$(CURDIR) cannot be written to: the environment is made in it, in $(VENV). Work on a copy in a folder of your own"; exit 1; }
	@# Each step says what it does and how long it takes. Its output is in the log, unless it fails.
	@mkdir -p $(VENV)
	@$(STEP) "environment: $(VENV) with $$($(PYTHON) --version)" $(PYTHON) -m venv $(VENV)
	@$(STEP) 'packages: from the index that pip uses, about a minute' $(PIP) --editable '.[dev]'
	@touch $@

clean:
	@if [ -x $(VENV)/bin/python ]; then $(VENV)/bin/python -m embedded_timescale stop || true; fi
	rm -rf $(VENV) .ticks/timescaledb .dagster_home .tmp_dagster_home_* .pytest_cache .mypy_cache .ruff_cache docs/_build
