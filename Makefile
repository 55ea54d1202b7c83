# deloc8's development commands; CONTRIBUTING.md explains them.
#
#   make demo          build a wheel from C sources, repair it, and use it where its libraries are missing
#   make test          static checks, and every test but those of whole distributions, with branch coverage
#   make test-all      the tests on every CPython from 3.10 up that this machine has
#   make test-systems  repair real wheels and use them in a bare Debian (mmdebstrap, bubblewrap)
#   make test-machines of these, only those of other machines and C libraries
#   make compat        build the compatibility libraries that deloc8 puts into wheels, one for each machine
#   make lint          the static checks alone
#   make bench         time, memory and size beside auditwheel's and repairwheel's (BENCH_ARGS=--quick)
#   make instructions  count the instructions of start-up, reading and judging; more than committed is an error
#   make compare       tags, libraries and repaired names beside auditwheel's (WHEELS=FOLDER)
#   make docs          build the documentation into build/site
#   make torture       edit thousands of real ELF files and prove each result, beside patchelf (WHEELS=FOLDER)
#   make fuzz          hostile bytes for every reader, and random edits of sound files (SECONDS=600 each)
#   make hostile       hostile wheels and faults of the machine, tried on the command (HOSTILE_ARGS=--costs)
#   make mutants       change lines of the code at random; a change that no test notices is an error (COUNT=4 of each
#                      module; MUTANTS_ARGS=--all: every place)
#   make dist          the sdist and the wheel as they are released, with their bill of materials and hashes
#   make audit         ask pip-audit about the packages of requirements/
#   make lock          write requirements/ anew: the newest versions, with hashes (LOCK_ARGS=--keep: those that are there)
#   make clean         remove everything that the targets above made in this folder

# The first of these that is new enough; name another with `make test PYTHON=...`.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
DEMO_VENV ?= build/demo-venv

BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(DEMO_VENV)/.ready
COMPAT := build/compat.ready
PIP := -m pip install --quiet --disable-pip-version-check
# Only files whose hashes are known, and only wheels: an sdist would run code, and fetch what it is built with. On a
# machine for which there are no wheels: make ONLY_WHEELS= ... The files are complete: nothing is resolved.
ONLY_WHEELS ?= --only-binary :all:
PIP_LOCKED := $(PIP) --require-hashes --no-deps $(ONLY_WHEELS)
# The project itself, with what is installed: nothing is fetched. pip refuses it beside hashes.
PIP_PROJECT := $(PIP) --no-deps --no-index --no-build-isolation --check-build-dependencies --editable .
# What the environment of development has of requirements/.
DEVELOPMENT := build fast terminal test-core oracles compiler lint workflows docs audit
WHEELS ?=
BENCH_ARGS ?=
PYTEST_ARGS ?=
TORTURE_ARGS ?=
SECONDS ?= 60
COUNT ?= 4
MUTANTS_ARGS ?=
FUZZ_ARGS ?=
LOCK_ARGS ?=
HOSTILE_ARGS ?=

.PHONY: demo test compat test-all test-systems test-machines lint bench instructions compare docs torture fuzz hostile mutants dist audit lock clean python-is-new-enough

test: lint compat
	$(BIN)/python -m pytest -n auto --cov --cov-report=term $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/house.py >/dev/null
	$(BIN)/jactionlint --shellcheck= --pyflakes= .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --persona pedantic .github

compat: $(COMPAT)

# The machine code is never committed; a wheel of deloc8 carries it (compat/hatch_build.py).
$(COMPAT): compat/build.py $(wildcard compat/src/*) src/deloc8/repair/data/compat.json | $(READY)
	$(BIN)/python compat/build.py
	@mkdir -p $(@D)
	@touch $@

test-all: $(READY)
	$(BIN)/python tools/test_all.py

test-systems: $(READY) compat
	$(BIN)/python -m pytest -n auto --dist worksteal -m systems tests/systems $(PYTEST_ARGS)

test-machines: $(READY) compat
	$(BIN)/python -m pytest -n auto --dist worksteal -m systems tests/systems/test_machines.py tests/systems/test_runtimes.py $(PYTEST_ARGS)

demo: $(DEMO_READY)
	$(DEMO_VENV)/bin/python examples/demo.py build/demo

bench: $(READY)
	$(BIN)/python benchmarks/bench.py $(BENCH_ARGS)

instructions: $(READY)
	$(BIN)/python benchmarks/instructions.py

compare: $(READY)
	$(BIN)/python tools/compare.py $(if $(WHEELS),'$(WHEELS)',$(error say WHEELS=FOLDER; tools/fetch_wheels.py fills one))

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

torture: $(READY)
	PYTHONPATH=tests $(BIN)/python tools/torture.py $(if $(WHEELS),--wheels '$(WHEELS)') $(TORTURE_ARGS)

fuzz: $(READY)
	$(BIN)/python $(PIP_LOCKED) --requirement requirements/fuzz.txt
	PYTHONPATH=tests $(BIN)/python tools/fuzz.py --seconds $(SECONDS) $(FUZZ_ARGS)

hostile: $(READY) compat
	PYTHONPATH=tests $(BIN)/python tools/hostile.py $(HOSTILE_ARGS)

mutants: $(READY) compat
	$(BIN)/python $(PIP_LOCKED) --requirement requirements/sdists.txt
	$(BIN)/python $(PIP_LOCKED) --no-binary yattag --no-build-isolation --requirement requirements/mutants.txt
	$(BIN)/python tools/mutants.py --count $(COUNT) $(MUTANTS_ARGS)

audit: $(READY)
	$(BIN)/python tools/audit.py

dist: $(READY)
	$(BIN)/python $(PIP_LOCKED) --requirement requirements/release.txt
	$(BIN)/python tools/dist.py

lock: $(READY)
	$(BIN)/python $(PIP_LOCKED) --requirement requirements/lock.txt
	$(BIN)/python tools/lock.py $(LOCK_ARGS)

# A virtual environment is ready when its stamp is younger than what it was made from.
$(READY): pyproject.toml $(wildcard requirements/*.txt) | python-is-new-enough
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_LOCKED) $(DEVELOPMENT:%=--requirement requirements/%.txt)
	$(BIN)/python $(PIP_PROJECT)
	$(BIN)/python -m pip check
	@touch $@

$(DEMO_READY): pyproject.toml $(wildcard requirements/*.txt) | python-is-new-enough
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python $(PIP_LOCKED) --requirement requirements/deloc8.txt --requirement requirements/build.txt
	$(DEMO_VENV)/bin/python $(PIP_PROJECT)
	@touch $@

python-is-new-enough:
	@test -n '$(PYTHON)' || { echo 'deloc8 needs Python 3.10 or newer, and none was found: say make PYTHON=/path/to/python3' >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10) and "deloc8 needs Python 3.10 or newer; $(PYTHON) is " + sys.version.split()[0] + ": say make PYTHON=/path/to/python3")'

clean:
	rm -rf src/deloc8/repair/data/compat
	rm -rf .venv .venvs build dist wheelhouse .cache .coverage .coverage.* coverage.xml .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests tools examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
