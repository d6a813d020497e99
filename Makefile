# relucli: the two commands to know are `make demo` and `make test`.
#
# The demo's targets are HDF5 files, so make knows what is up to date; relucli writes a file whole or not at all,
# so an interrupted or failed command never leaves a target behind that make would trust.

PYTHON ?= python3
VENV   ?= .venv
DEMO   ?= demo
BIN     = $(VENV)/bin
RELUCLI = $(BIN)/relucli

# The planted problem of the demo: override any of these, e.g. `make demo FAMILY=random NEURONS=3 DEMO=mine`.
FAMILY  ?= alternating
NEURONS ?= 8
DIM     ?= 50
SAMPLES ?= 100_000
NOISE   ?= 0.1
SEED    ?= 1

.DELETE_ON_ERROR:
.PHONY: demo test wheel lint stress stress-estimator bench bench-recovery bench-peers bench-scale samples uses clean help

help:            ## list the targets
	@sed -n 's/^\([a-z-]*\): *.*## /\1: /p' $(MAKEFILE_LIST)

demo: $(DEMO)/net.h5 $(DEMO)/test.h5 $(DEMO)/scored  ## generate, take moments, learn, evaluate

$(DEMO)/train.h5 $(DEMO)/teacher.h5 &: | $(VENV)/installed
	@mkdir -p $(DEMO)
	$(RELUCLI) generate $(DEMO)/train.h5 --family $(FAMILY) --neurons $(NEURONS) --dim $(DIM) --samples $(SAMPLES) \
	    --noise $(NOISE) --seed $(SEED) --teacher-out $(DEMO)/teacher.h5 --force

$(DEMO)/test.h5: $(DEMO)/teacher.h5
	$(RELUCLI) generate $@ --teacher $< --samples 50_000 --seed 1000 --force

$(DEMO)/moments.h5: $(DEMO)/train.h5
	$(RELUCLI) moments $< -o $@ --force

$(DEMO)/net.h5: $(DEMO)/train.h5 $(DEMO)/moments.h5
	$(RELUCLI) learn $< --moments $(DEMO)/moments.h5 -k $(NEURONS) -o $@ --force

# The score is for people to read, so the stamp is a copy of what they saw.
$(DEMO)/scored: $(DEMO)/net.h5 $(DEMO)/test.h5 $(DEMO)/teacher.h5
	@$(RELUCLI) evaluate $(DEMO)/net.h5 $(DEMO)/test.h5 --teacher $(DEMO)/teacher.h5 > $@.part
	@mv $@.part $@
	@cat $@

test: $(VENV)/ready-to-test  ## run the tests, on all cores: five minutes on two
	$(BIN)/python -m pytest -n auto --dist worksteal

wheel: $(VENV)/ready-to-test  ## build the wheel, and try it in an empty environment: needs a package index
	$(BIN)/python -m pytest -m index tests/test_wheel.py

lint: $(VENV)/ready-to-test  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

stress: $(VENV)/ready-to-test  ## kill, race, fill and forge: within 15 minutes, one table
	$(BIN)/python tests/stress/run.py

stress-estimator: $(VENV)/ready-to-test  ## the checks of scikit-learn, with eight more sets of parameters: ten minutes
	$(BIN)/python -m pytest -n auto tests/stress/estimator_checks.py

bench: bench-recovery bench-peers bench-scale  ## measure all that the README tabulates: under an hour

bench-recovery: $(VENV)/ready-to-test  ## recovery against its limit and what is attainable, from few rows, coverage of errors, the dimension
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/bench/recovery.py
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/bench/recovery.py --few 10
	$(BIN)/python tests/bench/attainable.py
	$(BIN)/python tests/bench/coverage.py
	$(BIN)/python tests/bench/dimension.py --trials 200
	$(BIN)/python tests/bench/imports.py

bench-scale: $(VENV)/ready-to-test  ## speed beside plain loops, memory, wide data, growth, two workers: 30 minutes
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/bench/scale.py

bench-peers: $(VENV)/ready-to-bench  ## PyTorch, scikit-learn and statsmodels on the same data: tables and pictures
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/bench/peers.py
	$(BIN)/python tests/bench/peer_features.py

samples: | $(VENV)/installed  ## make the files of sample_data again
	$(MAKE) -C sample_data RELUCLI=$(abspath $(RELUCLI))

uses: $(VENV)/ready-to-test  ## the two worked examples: a black box read out, a book of options recovered
	$(MAKE) -C sample_data/black-box PYTHON=$(abspath $(BIN)/python) RELUCLI=$(abspath $(RELUCLI))
	$(MAKE) -C sample_data/options PYTHON=$(abspath $(BIN)/python) RELUCLI=$(abspath $(RELUCLI))

clean:           ## remove the demo and the environment
	rm -rf $(DEMO) $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "relucli needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/ready-to-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	@touch $@ $(VENV)/installed

$(VENV)/ready-to-bench: $(VENV)/ready-to-test
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@
