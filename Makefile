# `make demo` and `make test` do all the set-up themselves.
# PYTHON=python3.12 chooses the interpreter; UPGRADE=1 lets `make lock` take newer versions.

SHELL := bash
BIN := .venv/bin
STAMP := .venv/.synced
LOCKS := requirements/uv.txt requirements/build.txt requirements/dev.txt
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--no-emit-index-url --generate-hashes --custom-compile-command 'make lock' \
	$(if $(UPGRADE),--upgrade)

.PHONY: help setup demo test test-cluster test-slow faults ablation check format lock clean
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

setup: $(STAMP) ## make .venv from the locked requirements

$(STAMP): $(LOCKS) pyproject.toml requirements/setup.sh
	PYTHON='$(PYTHON)' requirements/setup.sh
	@touch $@

demo: $(STAMP) ## make a small archive, score it, show the result
	$(BIN)/mover-ray demo

test: $(STAMP) ## the test suite, without the long tests
	$(BIN)/pytest -m 'not slow and not cluster' -n 2 --dist loadfile

test-cluster: $(STAMP) ## tests over real clusters, S3 servers, services and browsers
	$(BIN)/pytest -m 'cluster and not slow'

test-slow: $(STAMP) ## the long tests
	$(BIN)/pytest -m slow

faults: $(STAMP) ## everything that may go wrong, and a table of what became of the rows
	$(BIN)/pytest -m '' tests/faults

ablation: $(STAMP) ## what each choice of Mover's is worth; hours, resumable (SEEDS="0 1 2")
	$(BIN)/python benchmarks/ablation.py --work build/ablation --seeds $(or $(SEEDS),0 1 2) \
		--json build/ablation/table.json

check: $(STAMP) ## style, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## put the code into the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(STAMP) ## resolve the requirements anew
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) --extra retinaface --override requirements/overrides.txt \
		pyproject.toml requirements/dev.in -o requirements/dev.txt

clean: ## remove .venv and everything that was built
	rm -rf .venv build dist demo *.egg-info .mypy_cache .pytest_cache .ruff_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
