# Two commands for a new user: `make demo` and `make test`. Each sets up .venv from constraints.txt by itself.
PYTHON ?= python3
BIN := .venv/bin
PIP := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet

KILLS ?= 1000
WORKERS ?= 2

.PHONY: demo test test-nifi chaos check lint types rooms bundles reference contracts picture clean

demo: .venv/serving  ## a line drifts, a successor is trained and takes over while coils come: under three minutes, no torch
	$(BIN)/coilflow demo

test: .venv/developing  ## every test, on real servers, in as many processes as WORKERS says
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

test-nifi: .venv/developing  ## our flows in a real NiFi, whose folder COILFLOW_TEST_NIFI_HOME names: 500 coils, kills, a swap, an upgrade
	@test -d "$(COILFLOW_TEST_NIFI_HOME)/lib" || { echo "set COILFLOW_TEST_NIFI_HOME to the folder of an unpacked NiFi 2.x, and JAVA_HOME to a JDK 21 or newer" >&2; exit 2; }
	$(BIN)/python -m pytest -v -m nifi tests/nifi

chaos: .venv/developing  ## kill KILLS workers while coils come in (SEED= for the same deaths again), and count what was lost
	$(BIN)/python -W ignore -m tests.streams.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))

check: lint types rooms test  ## what has to be green before a commit

lint: .venv/developing
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/developing
	$(BIN)/mypy

rooms: .venv/developing
	$(BIN)/lint-imports --no-logo

bundles: .venv/developing  ## train the shipped ensemble again (about six minutes on two cores)
	$(BIN)/python -m flows.bundles $(wildcard ../shared/data/real_coils.parquet)

reference: .venv/developing  ## what coils look like to the shipped ensemble, against which drift is told (half a minute)
	$(BIN)/python -m flows.references

contracts: .venv/developing  ## write schemas/published from the pydantic models
	$(BIN)/python -m schemas.contracts

picture: .venv/developing  ## draw the pictures of README and docs again (some minutes; Debian's chromium)
	$(BIN)/python -m docs.picture
	$(BIN)/python -m docs.console_pictures
	$(BIN)/coilflow demo
	cp coilflow-demo/story.png docs/pictures/

.venv/python: | constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "coilflow needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/serving: .venv/python pyproject.toml constraints.txt
	$(PIP) --editable '.[embedded,retrain]'
	touch $@

# The windowless build of OpenCV lies over the one that ultralytics asks for, which needs a desktop's libraries.
.venv/developing: .venv/python pyproject.toml constraints.txt
	$(PIP) --editable '.[all,dev]'
	$(PIP) --force-reinstall --no-deps opencv-python-headless
	touch $@ .venv/serving

.venv-bench: bench/peers/requirements.txt  ## the other frameworks that bench.stream_rate runs beside ours
	$(PYTHON) -m venv $@
	PIP_DISABLE_PIP_VERSION_CHECK=1 $@/bin/pip install --quiet --requirement $<
	touch $@

clean:
	rm -rf .venv .venv-bench dist build runs coilflow-demo
