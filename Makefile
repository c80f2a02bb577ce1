# The two commands are `make demo` and `make test`; both create what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-long fault-table sim mutants bench lint lock clean

demo: $(STAMP)
	@$(BIN)/holdtrue demo $(ARGS)

test: $(STAMP) lint
	$(BIN)/python -m tests $(ARGS)

# All faults (the quick ones are in `make test` too), then everything marked long.
test-long: $(STAMP)
	$(BIN)/pytest tests/faults $(ARGS)
	$(BIN)/pytest -m long --ignore=tests/faults $(ARGS)
	@mkdir -p build
	$(BIN)/python -m tests.faulttable --figures build/faults.json

# What each layer of checking sees of each fault: measures docs/faults.md anew; FAULTS='"evicted" "late replay"' some of it.
fault-table: $(STAMP)
	$(BIN)/python -m tests.faulttable $(FAULTS) $(ARGS)

# Histories of a simulated world, from seeds (docs/simulation.md); then rules made weaker, which tests must notice.
SEEDS ?= 10000
START ?= 0
JOBS ?= 2
sim: $(STAMP)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --start $(START) --jobs $(JOBS)

mutants: $(STAMP)
	$(BIN)/python -m tests.simulation.mutants --jobs $(JOBS)

bench: $(STAMP)
	$(BIN)/holdtrue bench apply $(ARGS)
	$(BIN)/holdtrue bench validate $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "holdtrue needs Python 3.11 or newer; run make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'installing what requirements.lock names into $(VENV)' >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Renews the lock: every version with its hashes, no URL in it.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --universal --python-version 3.11 --all-extras \
	    pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
