# `make run` starts the service, `make test` runs the tests. Both set up what they need first.
PYTHON ?= python3
UV := uv==0.13.9
# Three test files run at once, because most tests only wait. The tests of a file share fixtures.
PYTEST := .venv/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

.PHONY: help run test test-long test-binary test-asterisk test-container test-cluster test-cluster-storage \
  faults bench check binary linters audit lock clean
.DELETE_ON_ERROR:
help:
	@echo "make run     set up and serve at http://127.0.0.1:8000 (BARRING_BIND=HOST:PORT for another)"
	@echo "make test    set up and run all tests except the long ones (.venv/bin/pytest FILE runs one file)"
	@echo "make test-long     run the long tests: faults, fuzzing, browser, PostgreSQL, wheel, binary"
	@echo "make test-binary   run the tests of the HTTP API and of Swagger UI against dist/barring"
	@echo "make test-asterisk run deploy/extensions.conf in Debian's Asterisk (as root, needs a network)"
	@echo "make test-container build and run deploy/Dockerfile with Buildah (as root, needs a network)"
	@echo "make test-cluster  run the tests of PostgreSQL on a Citus cluster, or at URL=postgresql://... (see CONTRIBUTING.md)"
	@echo "make faults  run the fault tests at full length, and report lost writes (several minutes)"
	@echo "make bench   compare the service with others, and write docs/benchmark.md (half an hour)"
	@echo "make check   lint and type-check"
	@echo "make binary  build dist/barring, a single file for this platform"
	@echo "make linters install the linters of the OpenAPI document (needs npm and a network)"
	@echo "make audit   look up every dependency in the advisory databases (needs a network)"
	@echo "make lock    update the lock files from pyproject.toml"
	@echo "make clean   remove everything that was set up, except data/"

run: .venv/runtime
	@exec .venv/bin/gunicorn wsgi:app

test: .venv/development
	$(PYTEST) -m "not long and not separate"

# The first command builds the binary that the others need.
test-long: .venv/development linters
	$(PYTEST) -m "long and not alone and not separate"
	.venv/bin/pytest -m "long and alone and not separate"
	$(PYTEST) --postgres
	$(MAKE) test-binary

test-binary: .venv/development dist/barring
	$(PYTEST) --binary

test-asterisk: .venv/development
	.venv/bin/pytest -m separate tests/test_asterisk.py

test-container: .venv/development
	CI=true .venv/bin/pytest -m separate tests/test_container.py

# CITUS starts a cluster of its own. With URL, the tests use that database instead, and remove what it contains; PREPARE_SQL
# is a file of SQL that runs after the tables were created.
CITUS ?= ../shared/citus/cluster
CLUSTER := $(if $(URL),--cluster-url='$(URL)' $(if $(PREPARE_SQL),--prepare-sql='$(PREPARE_SQL)'),--citus='$(CITUS)')

test-cluster: test-cluster-storage
	.venv/bin/pytest $(CLUSTER) --postgres -m "not long and not separate"
	$(if $(URL),,.venv/bin/pytest $(CLUSTER) -m "separate and not long" tests/faults/test_cluster.py)

test-cluster-storage: .venv/development
	.venv/bin/pytest $(CLUSTER) -m "separate and not long" tests/test_cluster.py

faults: .venv/development
	.venv/bin/pytest tests/faults --full-length -s

bench: .venv-bench/ready
	.venv-bench/bin/python -m bench $(BENCH)

.venv-bench/ready: requirements-bench.txt | .venv/bin/python
	@echo "Setting up .venv-bench (once; about a minute)"
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

check: .venv/development
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Python's venv is missing; on Debian: apt install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv (once; about a minute)"
	@$(PYTHON) -m venv .venv
	@mkdir -p data && chmod 700 data

.venv/runtime: requirements.txt | .venv/bin/python
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/development: requirements-dev.txt | .venv/bin/python
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ .venv/runtime

binary: dist/barring

# Modules that a dependency can use, but the service does not need.
UNUSED := distutils pydoc_data readline setuptools yaml
SOURCES := app.py wsgi.py $(wildcard barring/*.py barring/*/*.py barring/*/*/*.* schemas/*.py)

dist/barring: .venv/development Makefile $(SOURCES)
	@echo "Building dist/barring (about a minute)"
	@PYTHONPATH=. .venv/bin/pyinstaller --log-level ERROR --noconfirm --onefile --strip --name barring --distpath dist \
	  --workpath build --specpath build --hidden-import app --hidden-import gunicorn.glogging \
	  --collect-submodules psycopg --collect-all psycopg_binary \
	  --collect-submodules barring --collect-data barring --collect-data flask_swagger_ui \
	  $(addprefix --exclude-module=,$(UNUSED)) barring/__main__.py

linters: tests/linters/node_modules/.package-lock.json

tests/linters/node_modules/.package-lock.json: tests/linters/package-lock.json
	npm ci --prefix tests/linters --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

audit: .venv/development
	.venv/bin/pip-audit --strict --require-hashes --disable-pip -r requirements-dev.txt

lock: | .venv/bin/python
	.venv/bin/python -m pip install --quiet $(UV)
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --all-extras pyproject.toml -o requirements.txt
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" -c requirements.txt --all-extras --group dev pyproject.toml -o requirements-dev.txt
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" -c requirements.txt --all-extras --group bench pyproject.toml -o requirements-bench.txt

clean:
	rm -rf .venv .venv-bench build dist *.egg-info tests/linters/node_modules
