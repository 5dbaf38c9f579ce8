# Every target sets up what it needs on a machine that has only make, a shell and CPython >= 3.11
# (or root and apt-get). Nothing outside this directory is changed, but for Debian's Chromium, which
# the browser targets install when they are run as root and find none.

SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python
# More than cores: many tests wait for a limit, a grace, a browser.
JOBS ?= 3
# By file, because most files of tests share one kernel among their tests.
PYTEST_OPTIONS := -m pytest -n $(JOBS) --dist loadfile -q
PYTEST := $(PY) $(PYTEST_OPTIONS)

.PHONY: help venv venvs tour lab test lint test-main test-unprivileged test-pythons test-escape \
        test-browser test-nbgrader test-hub test-batch test-all soak chromium chromium-if-can-be \
        clean FORCE

help:
	@echo "make tour          run the tour notebook in the sandboxed kernel, print what each cell gave"
	@echo "make lab           JupyterLab with the tour open"
	@echo "make test          what every change must pass"
	@echo "make test-escape   attacks on a live kernel, each with its control"
	@echo "make test-browser  JupyterLab and Notebook 7 in a real Chromium"
	@echo "make test-nbgrader a course graded by nbgrader, contained and plain, with attacks on both"
	@echo "make test-hub      a JupyterHub with a teacher and a student (root, Node.js)"
	@echo "make test-batch    sixty notebooks through \`sandbox-kernel run\`, killed and resumed"
	@echo "make soak          2,000 cells, one in five of which is killed; nothing may be left behind"
	@echo "make test-all      all of these and every case; writes docs/test-results.md"

venv:
	@tools/venv $(VENV) dev

tour: venv
	$(PY) notebooks/run_tour.py notebooks/tour.ipynb

lab: venv
	$(PY) -m jupyterlab --ServerApp.root_dir=notebooks --LabApp.default_url=/lab/tree/tour.ipynb \
	  $(if $(filter 0,$(shell id -u)),--allow-root)

# ---- make test ----------------------------------------------------------------------------------

# Installing takes long and waits for the network; mypy meanwhile runs on one processor.
test:
	@$(MAKE) --no-print-directory -j 5 lint venvs chromium-if-can-be
	@$(MAKE) --no-print-directory test-main test-unprivileged test-pythons

OTHER_PYTHONS = $(shell tools/pythons | cut -d' ' -f1 | tail -n +2)

venvs: venv $(addprefix $(VENV)-,$(OTHER_PYTHONS))

$(VENV)-3.%: FORCE
	tools/venv $@ test,libraries 3.$*

FORCE:

chromium-if-can-be:
	@tools/chromium >/dev/null || echo "no Chromium here: tests that need one are left out"

lint: venv
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The dialect changes the interpreter that it is installed in, so its tests have theirs alone.
LANGUAGE_TESTS = $(wildcard tests/unit/language)
UNIT_TESTS = $(filter-out $(LANGUAGE_TESTS),$(filter-out %.py %__pycache__,$(wildcard tests/unit/*)))
MAIN_TESTS = $(wildcard tests/architecture) $(UNIT_TESTS) \
  $(wildcard tests/conformance tests/features tests/soak)
ANY_USER_TESTS = $(wildcard tests/conformance tests/soak)
ANY_PYTHON_TESTS = $(UNIT_TESTS) $(wildcard tests/conformance)

test-main: venv
	$(PYTEST) $(LANGUAGE_TESTS)
	@if tools/chromium >/dev/null; then keep=''; else keep='-m not(browser)'; fi; \
	set -x; $(PYTEST) $$keep $(MAIN_TESTS)

# Root is a special case everywhere in confinement, so what root ran is run again without it.
test-unprivileged: venv
	$(if $(ANY_USER_TESTS),tools/as_nobody $(PYTEST) -p no:cacheprovider $(ANY_USER_TESTS))

# The other versions of CPython that this machine has; the main environment's own is left out.
test-pythons: venv
	@main=$$($(PY) -c 'import sys; print("3.%d" % sys.version_info.minor)'); \
	for minor in $$(tools/pythons | cut -d' ' -f1); do \
	  [ $$minor = $$main ] && continue; \
	  tools/venv $(VENV)-$$minor test,libraries $$minor || exit 1; \
	  echo "CPython $$minor:"; \
	  for tests in "$(LANGUAGE_TESTS)" "$(ANY_PYTHON_TESTS)"; do \
	    $(VENV)-$$minor/bin/python $(PYTEST_OPTIONS) -p no:cacheprovider $$tests || exit 1; \
	  done; \
	done

# ---- the longer ones ----------------------------------------------------------------------------

test-escape: venv
	$(PYTEST) tests/escape
	tools/as_nobody $(PYTEST) -p no:cacheprovider tests/escape

test-browser: venv chromium
	$(PYTEST) -m browser tests/browser tests/features

chromium:
	tools/chromium

# One process: the course is made and graded once, which takes some minutes.
test-nbgrader: venv
	tools/venv $(VENV) dev,nbgrader
	$(PY) -m pytest -q tests/nbgrader

# As root: two system users and a root-owned policy, in an /etc that only this command sees.
HUB_PROXY = node_modules/.bin/configurable-http-proxy
test-hub: venv
	tools/venv $(VENV) dev,hub
	[ -x $(VENV)/$(HUB_PROXY) ] || npm install --no-audit --no-fund --prefix $(VENV) configurable-http-proxy
	SANDBOX_HUB_PROXY=$(CURDIR)/$(VENV)/$(HUB_PROXY) tests/hub/alone \
	  $(abspath $(PY)) -m pytest -q -p no:cacheprovider tests/hub

test-batch: venv
	$(PY) -m pytest -q tests/batch

# Two thousand cells, one in five of which is killed; `make test` runs a hundred.
soak: venv
	$(PY) -m tests.soak --cells $(or $(CELLS),2000)

# All steps run, whatever fails; some hours on two cores.
test-all: venv
	tools/test_all docs/test-results.md

clean:
	rm -rf $(VENV) $(VENV)-3.* build dist .pytest_cache .mypy_cache .ruff_cache
