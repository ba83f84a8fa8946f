# Everything lives in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
STORE := quickstart.sqlite
GPAW_NEEDS := libxc-dev libopenblas-dev libfftw3-dev gfortran build-essential

.PHONY: demo test slow test-slurm test-dft lint types examples wheel clean

demo: $(VENV)/.installed  ## run the main job on examples/quickstart.yaml and write report.html
	# exit code 1: some calculations failed and are listed, the ranking is from the rest
	$(BIN)/rocksalt run examples/quickstart.yaml --store $(STORE) --workers $(WORKERS) || [ $$? = 1 ]
	$(BIN)/rocksalt report quickstart --store $(STORE) --output report.html

test: $(VENV)/.installed  ## run the test suite, in as many processes as there are cores
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

slow: $(VENV)/.installed  ## tests that kill workers and a server
	$(BIN)/python -m pytest -m slow

test-slurm: $(VENV)/.installed  ## as root: install and start Slurm, and hand it campaigns
	ROCKSALT_TEST_SLURM=1 $(BIN)/python -m pytest -m slow tests/workflows/test_slurm.py

test-dft: $(VENV)/.installed-dft  ## install GPAW, as root with the system packages it needs, and test with it
	$(BIN)/python -m pytest tests/workflows/dft

lint: $(VENV)/.installed  ## ruff, its formatter, and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/.installed  ## mypy, which finds the package through links in tests/typings
	for folder in analysis screening stores workflows; do \
	  ln -sfn ../../../$$folder tests/typings/rocksalt/$$folder; done
	$(BIN)/mypy

examples: $(VENV)/.installed  ## check every campaign and run the scripts
	for file in examples/*.yaml examples/*/campaign.yaml; do \
	  if grep -q gpaw $$file && ! $(BIN)/python -c 'import gpaw' 2> /dev/null; then \
	    echo "$$file is left out: it needs GPAW (make test-dft)"; continue; fi; \
	  $(BIN)/rocksalt check $$file --store memory || exit 1; done
	for file in examples/*.py examples/*/run.py; do $(BIN)/python $$file || exit 1; done

wheel: $(VENV)/.installed  ## build the wheel, install it in a clean environment, run a campaign
	rm -rf build dist build-check && $(BIN)/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv build-check
	build-check/bin/pip install --quiet --constraint constraints.txt dist/*.whl
	cd build-check && bin/rocksalt run ../examples/quickstart.yaml --calculator mock --store memory
	rm -rf build build-check

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo 'rocksalt needs Python 3.11 to 3.13: try make PYTHON=python3.12'; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[mlip,dev]'
	touch $@

$(VENV)/.installed-dft: $(VENV)/.installed
	@if command -v dpkg-query > /dev/null; then \
	  missing=$$(for p in $(GPAW_NEEDS); do dpkg -s $$p > /dev/null 2>&1 || echo $$p; done | xargs); \
	  if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ]; then \
	    apt-get update && apt-get install --yes --no-install-recommends $$missing; \
	  elif [ -n "$$missing" ]; then \
	    echo "GPAW is compiled from source and needs: sudo apt-get install $$missing"; exit 2; fi; \
	else echo "GPAW needs libxc, a BLAS, FFTW and a C compiler: see docs/dft.md"; fi
	printf 'mpi = False\ncompiler = "g++"\nfftw = True\nlibraries = ["xc", "openblas", "fftw3"]\n' > $(VENV)/gpaw_siteconfig.py
	GPAW_CONFIG=$(CURDIR)/$(VENV)/gpaw_siteconfig.py $(BIN)/pip install --quiet \
	  --constraint constraints.txt --no-binary gpaw --no-cache-dir --editable '.[mlip,dev,dft]'
	touch $@

clean:  ## remove the environment and what the demo wrote
	rm -rf $(VENV) build dist build-check $(STORE) $(STORE)-wal $(STORE)-shm report.html
	rm -rf tests/slurm/.venv tests/slurm/logs
