# Two commands do all the set-up: make demo, make test. `make` alone lists the others.

.DEFAULT_GOAL := help
.PHONY: help demo ui test slow env llvm browser lint bench clean
.SUFFIXES:

BIN := .venv/bin
SYNCED := .venv/.synced
WORKERS := 2

# Where it is set, every one of the many processes of a run compiles its libraries anew.
export PYTHONDONTWRITEBYTECODE :=

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: llvm ## Map central Helsinki: out/helsinki/radio_map.png
	$(BIN)/rfplatform map helsinki --out out/helsinki --overwrite

ui: llvm ## Open the dashboard: http://localhost:8501 (ARGS="--port 8600")
	$(BIN)/rfplatform ui $(ARGS)

test: llvm browser ## Lint and run the whole test suite, two files at a time (ARGS="-k name" for a part of it)
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS) || status=1; \
	exit $$status

slow: env build/transformers/.made ## Evaluate a true, tiny language model, served by Transformers (needs 1 GB)
	RFPLATFORM_TRANSFORMERS=$(CURDIR)/build/transformers/bin/python $(BIN)/pytest -m slow

build/transformers/.made: $(SYNCED)
	$(BIN)/python -m venv build/transformers
	build/transformers/bin/python -m pip install --quiet "transformers[serving]>=5" torch
	@touch $@

env: $(SYNCED) ## Make the environment .venv from uv.lock (PYTHON=... for another Python)

$(SYNCED): pyproject.toml uv.lock
	@PYTHON="$(PYTHON)" sh tools/env.sh
	@touch $@

llvm: env ## Find a libLLVM for ray tracing, or install it (without root: unpack it)
	@$(BIN)/python tools/install_libllvm.py

browser: env ## Install Debian's Chromium for the browser tests, where that can be done
	@$(BIN)/python tools/install_chromium.py

lint: env ## ruff, mypy and import-linter
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/mypy || status=1; \
	$(BIN)/lint-imports || status=1; \
	exit $$status

bench: llvm ## Run every benchmark beside its baseline
	$(BIN)/rfplatform bench

clean: ## Remove caches, builds and out/; the environment stays (rm -r .venv)
	rm -rf build dist out .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
