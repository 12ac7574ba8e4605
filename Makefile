# Two commands do all there is to set up:  make layers   make test
# Works with GNU make >= 3.81, from any folder (make -C), as root or not, and with spaces in the path.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help layers test lint format bench e2e deployments bench-plan bench-scale bench-coldstart slim-proof add-module-proof shared-store-proof torture check-peers fuzz lock lock-tools venv venv-dev clean
MAKEFLAGS += --no-print-directory

# The interpreter that .venv is made with; empty: the first of python3, python3.14 ... python3.10 that is good enough.
PYTHON ?=
export PYTHON

# What `make layers` builds for; empty: the runtimes that lambda/pyproject.toml names.
RUNTIMES ?=

# The function that makes layers is a project of its own, with a name and a runtime of its own.
PLAIN := env -u LIB_NAME -u LIB_VERSION -u LIB_PREFIX -u LIB_PACKAGE

SCRIPTS := layer_builds.sh layer_create_zip.sh tools/venv.sh tools/engine.sh tools/ci_files.sh src/layerkit/invoke/inside/room.sh .ci/run docker/collect

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

layers: venv ## build the layers of the functions in lambda/ (RUNTIMES="py312 py314" or RUNTIMES=all for others)
	@./layer_builds.sh $(RUNTIMES)
	@[ -n "$${PROJECT:-}" ] || $(PLAIN) ./layer_builds.sh --project lambda/add_module

test: venv-dev ## run the tests (PYTEST="-k word" for some of them, PYTEST=-n0 in one process)
	@.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder $(PYTEST)

lint: venv-dev ## look for faults: ruff, mypy, import-linter, shellcheck
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy
	@.venv/bin/lint-imports
	@.venv/bin/shellcheck --external-sources $(SCRIPTS)
	@tools/ci_files.sh

format: venv-dev ## lay out the Python files as ruff does, and mend what it can
	@.venv/bin/python -m ruff check --fix .
	@.venv/bin/python -m ruff format .

bench: venv-dev ## measure layerkit beside other tools, into benchmarks/RESULTS.md
	@.venv/bin/python benchmarks/bench.py $(BENCH)

e2e: venv-dev ## build, publish and run the functions of lambda/ with real requests (E2E="py312 --runs 5")
	@PYTHONPATH=tests:lambda/model_api:lambda/series/src .venv/bin/python benchmarks/end_to_end.py $(E2E)

deployments: venv-dev layers ## have SAM and Serverless judge and pack the functions of lambda/
	@.venv/bin/python benchmarks/deployments.py

bench-plan: venv-dev ## measure how long the planner takes to divide packages into layers
	@.venv/bin/python benchmarks/planning.py

bench-scale: venv-dev ## measure how cost grows with layers, and on a cluster, into benchmarks/SCALE.md (SCALE="--layers 20 --sizes 5,10")
	@PYTHONPATH=tests .venv/bin/python benchmarks/scale.py $(SCALE)

bench-coldstart: venv-dev ## measure how soon functions above 250 MB start, into benchmarks/COLDSTART.md
	@PYTHONPATH=tests .venv/bin/python benchmarks/coldstart.py $(BENCH)

slim-proof: venv-dev ## import all that the most used packages hold, whole and slimmed, into docs/slimming-proof.md
	@.venv/bin/python benchmarks/slim_proof.py $(PROOF)

add-module-proof: venv-dev ## have the function that makes layers make large ones in 512 MB, into its README
	@PYTHONPATH=tests .venv/bin/python benchmarks/add_module_proof.py $(PROOF)

shared-store-proof: venv-dev ## build lambda/ on an empty machine that has the shared store alone, into docs/shared-store.md
	@PYTHONPATH=tests .venv/bin/python benchmarks/shared_store_proof.py $(PROOF)

check-peers: venv-dev ## check the zips that other tools build, into docs/check-peers.md
	@.venv/bin/python benchmarks/check_peers.py $(SETS)

fuzz: venv-dev ## break archives, wheels and libraries by chance, 20,000 of each (FUZZ=n for others)
	@LAYERKIT_FUZZ=$(or $(FUZZ),20000) .venv/bin/python -m pytest tests/test_fuzz.py -p no:xdist

torture: venv-dev ## kill, crowd, starve and deceive hundreds of builds, into docs/torture.md
	@.venv/bin/python tests/torture.py --write

lock: ## renew poetry.lock after a change of pyproject.toml
	@tools/venv.sh lock

lock-tools: venv ## renew tools/poetry.txt after a change of tools/poetry.in
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock-tools' --output-file tools/poetry.txt tools/poetry.in

venv: ## make or renew .venv with what layerkit needs to run
	@tools/venv.sh main

venv-dev: ## the same, and the tools of test and lint
	@tools/venv.sh dev

clean: ## remove all that these commands made here (not the store: layerkit cache clean)
	@rm -rf .venv .poetry dist lambda/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
