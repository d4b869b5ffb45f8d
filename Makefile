# `make demo` shows the project at work, `make test` tests it. Each builds .venv the first time and reuses it afterwards.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
# An index with the torch build you want (the selector on pytorch.org names it); empty: what pip takes by itself.
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt
WORKERS ?= 2

# Tests and screenshots need a display; where there is none, a virtual one.
ifeq ($(shell uname -s),Linux)
  ifeq ($(DISPLAY)$(WAYLAND_DISPLAY),)
    ON_DISPLAY := xvfb-run -a -s "-screen 0 1920x1200x24"
  endif
endif
# One thread a process: two test processes on two cores, and the same numbers everywhere.
QUIETLY := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NAPARI_ASYNC=0

.PHONY: help demo test test-long lint docs pictures types bench train-small ideas stack wheel system clean

help:
	@echo "make demo       phantom, prediction, overlays, plot, table and a screenshot (demo-output/)"
	@echo "make test       lint, types, import rules and the tests"
	@echo "make test-long  the tests that take minutes"
	@echo "make lint       ruff, mypy, import rules"
	@echo "make docs       the documentation site (site/index.html)"
	@echo "make pictures   draws the pictures of the tutorials again"
	@echo "make bench      speed against MONAI and others, and how hard the phantom is"
	@echo "make train-small  every small recipe trained and scored (an hour; runs/small, goes on where it was)"
	@echo "make ideas      does each paper's idea help? (hours; runs/ideas, goes on where it was)"
	@echo "make stack      a stack of 2D nnU-Nets and 3D MS-D nets on the hippocampus set (an hour; runs/stack)"
	@echo "make wheel      a wheel with the trained bundles in dist/"

demo: $(VENV)/stamp-base system
	mkdir -p demo-output
	$(BIN)/napari-ctseg demo --screenshot demo-output/demo.png --overwrite

test: lint system
	$(QUIETLY) $(ON_DISPLAY) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

test-long: $(VENV)/stamp-dev system
	$(QUIETLY) $(ON_DISPLAY) $(BIN)/python -m pytest -m long --timeout 1800

lint: $(VENV)/stamp-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/stamp-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

pictures: $(VENV)/stamp-base system
	$(QUIETLY) $(ON_DISPLAY) $(BIN)/python docs/site/pictures.py

bench: $(VENV)/stamp-dev
	@for script in benchmarks/*.py; do echo "== $$script"; $(ON_DISPLAY) $(BIN)/python $$script || exit 1; done

train-small: $(VENV)/stamp-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.experiments.small runs/small --table docs/small-recipes.md

stack: $(VENV)/stamp-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.experiments.stack runs/stack --table docs/stack.md

ideas: $(VENV)/stamp-dev
	@for name in geometric edges ct_cues siamese scn; do OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.experiments.$$name runs/ideas || exit 1; done

wheel: $(VENV)/stamp-dev
	$(BIN)/python -m build --wheel

system:
	@sh .ci/system-libraries

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it and run make again."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh .ci/system-libraries python
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: an unpinned one would be replaced by whatever build another package asks for.
$(VENV)/stamp-torch: constraints.txt | $(BIN)/python
	$(BIN)/python -c 'import torch' 2>/dev/null || \
		$(PIP) install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c constraints.txt torch
	@touch $@

$(VENV)/stamp-base: $(INPUTS) $(VENV)/stamp-torch
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/stamp-dev: $(INPUTS) $(VENV)/stamp-torch
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/stamp-base

clean:
	rm -rf $(VENV) dist build site demo-output .mypy_cache .ruff_cache .pytest_cache
