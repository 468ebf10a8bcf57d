# On a fresh machine `make demo` and `make test` do all the set-up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

GPU_PARTS := loss layouts growth utility distill
.PHONY: install demo test docs lint bench bench-gpu bench-gpu-quick $(GPU_PARTS:%=bench-gpu-%) clean

install: $(STAMP)

# torch and torchvision come as one matching pair from one registry; uv fetches them in parallel.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "goldore needs Python 3.11 or newer; name one: make PYTHON=python3.12 install"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable ".[dev]"
	@touch $@

demo: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "site/index.html is the first page"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/prune_large.py
	$(BIN)/python benchmarks/speed.py --small

# With the torch, numpy and h5py that the machine has, from a plain checkout: nothing is installed, no network.
# Each part is a process of its own that is to end within ten minutes; quick fills the table of RESULTS.md.
bench-gpu: $(GPU_PARTS:%=bench-gpu-%)
bench-gpu-quick:
	PYTHONPATH=. $(PYTHON) benchmarks/speed.py --device cuda --quick --budget 400
$(GPU_PARTS:%=bench-gpu-%): bench-gpu-%:
	PYTHONPATH=. $(PYTHON) benchmarks/speed.py --device cuda --only $* --budget 480

clean:
	rm -rf $(VENV) build site *.egg-info
