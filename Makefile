# make demo | test | lint | bench | dist | fuzz | sanitize | dev: each installs what it needs; a second run is instant.
BIN := .venv/bin
NATIVE := core/_native.abi3.so
C_FILES := $(wildcard csrc/*)
# Static tools want one physical package; build/tree gives it to them with links.
TREE := build/tree/ltxvfs
SECONDS ?= 60
PYTEST ?=

.DELETE_ON_ERROR:
.PHONY: dev demo test lint pytest bench dist fuzz sanitize tree clean

dev: build/.packages-for-test .venv/.ready $(NATIVE)

demo: .venv/.ready $(NATIVE)
	$(BIN)/python examples/demo.py

test: dev lint pytest

pytest: dev
	$(BIN)/pytest $(PYTEST)

lint: dev tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy bench examples fuzz
	PYTHONPATH=build/tree $(BIN)/lint-imports
	.ci/lint-c

bench: dev
	$(BIN)/python -m bench $(BENCH)

dist: dev
	.ci/dist

fuzz: dev
	.ci/fuzz $(SECONDS)

sanitize: dev
	.ci/sanitize $(SANITIZE_TESTS)

tree:
	@mkdir -p $(TREE) && find $(TREE) -type l -delete
	@for f in $(filter-out %/__pycache__,$(wildcard vfs/*)) core backends; do ln -s ../../../$$f $(TREE)/; done

clean:
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info $(NATIVE)

.venv/.ready: pyproject.toml setup.py
	.ci/setup build

build/.packages-for-test: .ci/setup
	.ci/setup test

# Warnings are errors here, and only here: whoever installs the package has another compiler.
$(NATIVE): .venv/.ready $(C_FILES)
	LTXVFS_WERROR=1 $(BIN)/python setup.py -q build_ext --inplace --force
	@touch $@
