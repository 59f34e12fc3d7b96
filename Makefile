# The habits of this project. Every target does its own set-up; `make demo` and `make test` need nothing but
# Debian's python3 (3.11 or later), python3-venv and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := train,lab,cluster,mlflow,node,test,lint
# tflite-runtime wants NumPy 1 and Python up to 3.11: an environment of its own, where there is such a Python. Elsewhere
# the tests of it are skipped, and say so; TFLITE_PYTHON=python3.11 names another one.
TFLITE_VENV := .venv-tflite-runtime
TFLITE_PYTHON ?= $(PYTHON)
ifeq ($(shell $(TFLITE_PYTHON) -c 'import sys; print(sys.version_info < (3, 12))'),True)
TFLITE_STAMP := $(TFLITE_VENV)/.stamp
WITH_TFLITE := --tflite-python $(TFLITE_VENV)/bin/python
endif

.PHONY: demo test test-slow lint bench bundle firmware clean help

help:           ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

# What the demo needs, and then everything, in the same environment.
$(VENV)/.demo-stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train,node]'
	touch $@

$(VENV)/.stamp: $(VENV)/.demo-stamp
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	touch $@

$(TFLITE_VENV)/.stamp: pyproject.toml
	$(TFLITE_PYTHON) -m venv $(TFLITE_VENV)
	$(TFLITE_VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[tflite-runtime]'
	touch $@

demo: $(VENV)/.demo-stamp     ## recordings -> trained, pruned, audited ensemble -> report, under 5 minutes
	$(BIN)/edge-asc demo --out out/demo

test: $(VENV)/.stamp $(TFLITE_STAMP) system-packages    ## every test that is not marked slow
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.stamp system-packages     ## the minutes-long tests
	$(BIN)/python -m pytest -m slow

firmware: $(VENV)/.stamp system-packages      ## a bundle (BUNDLE=... or the one in the box) as C on emulated microcontrollers
	$(BIN)/edge-asc firmware $(BUNDLE) --out out/firmware
	$(BIN)/edge-asc firmware verify out/firmware --windows 200 --emulated-windows 3 --board stm32f405 \
	  $(if $(BUNDLE),,--goals)

.PHONY: soak
soak: $(VENV)/.stamp system-packages          ## a day of sound in minutes, then half an hour at a microphone
	$(BIN)/python -m benchmarks.soak --json benchmarks/soak.json
	$(BIN)/python -m benchmarks.soak_microphone --json benchmarks/soak_microphone.json

bundle: $(VENV)/.stamp        ## the bundle in the box, from RECORDINGS=recordings.csv: hours
	@test -n "$(RECORDINGS)" || { echo "usage: make bundle RECORDINGS=recordings.csv" >&2; exit 2; }
	$(BIN)/python -m edge_asc.train.box $(RECORDINGS) out/box

.PHONY: bench-quick
bench: $(VENV)/.stamp $(TFLITE_STAMP) system-packages   ## every engine and every peer in one run -> out/bench/index.html: half an hour
	$(BIN)/python -m benchmarks.run $(WITH_TFLITE) $(BENCH)

bench-quick: $(VENV)/.stamp system-packages   ## the guard: the ratios of benchmarks/baseline.json that need no peers' environments
	$(BIN)/python -m benchmarks.run --quick $(BENCH)

.PHONY: arm arm-count
arm: $(VENV)/.stamp           ## install and listen in emulated Raspberry Pi user lands, 64 and 32 bits
	.ci/arm

arm-count: $(VENV)/.stamp system-packages     ## instructions for a window on 64-bit ARM, native against LiteRT
	.ci/arm arm64
	$(BIN)/python -m benchmarks.aarch64

.PHONY: service
service: $(VENV)/.stamp       ## install, watch, kill and stop the systemd service, under a systemd booted in a container
	.ci/service

lint: $(VENV)/.stamp          ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: system-packages
system-packages:
	@.ci/system-packages

clean:          ## remove what the targets made
	rm -rf $(VENV) $(TFLITE_VENV) .venv-peers out build dist
