# Every verb works on a fresh clone: each makes what it needs first.

# The first that runs and is new enough; tried only where the environment has yet to be made.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for each in python3.11 python3 python; do \
	$$each -c '$(NEW_ENOUGH)' 2>/dev/null && { echo $$each; exit; }; done; echo python3)
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
# Written when all is installed, and never before: what is half installed is installed again.
INSTALLED := $(VENV)/.installed
RENDERED := _build/html/index.html

PAGES := _config.yml book/_toc.yml book/references.bib book/render.py book/claim_cards.py \
	book/check_pages.py $(wildcard companion/doctor/*.py) \
	book/where_it_holds.py book/replicated.py book/left_out.py book/replication_records.py $(wildcard book/replications/*) \
	$(wildcard book/*.md book/_static/* book/notebooks/*.ipynb) book/notebooks

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test check notebooks drift replicate serve lab lock clean
# A setting of the shell must decide nothing; DATA=... is how to choose another data set.
unexport COMPANION_DATA PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1

book: ## render the book into _build/html (DATA=folder: run it on your images, into _build/yours)
ifeq ($(DATA),)
book: $(RENDERED)
	@echo "The book is at $(RENDERED): open it in a browser, or run make serve."
else
book: $(INSTALLED)
	@$(BIN)/python book/render.py --data "$(DATA)" $(if $(ALL),--all)
endif

test: $(RENDERED) ## run every test: tools, package, notebooks, rendered pages
	$(BIN)/python -m pytest --nbval --nbval-current-env -n $(or $(JOBS),2) --dist loadfile

check: $(INSTALLED) ## lint, format and types only, in seconds
	$(BIN)/python -m pytest -q tests/test_tools.py

notebooks: $(INSTALLED) ## run the chapters whose source, package or lock changed (ALL=1: every one)
	$(BIN)/python book/execute.py $(if $(ALL),--all)

drift: $(INSTALLED) ## run the chapters on other instruction sets, threads and versions; record what moves
	$(BIN)/python book/drift.py $(if $(JOBS),--jobs $(JOBS)) $(if $(OLDEST),--python oldest-torch=$(OLDEST)) $(CHAPTERS)

replicate: $(INSTALLED) ## measure every claim again elsewhere (CHAPTERS, ONLY=variation, DATA=NAME=folder, JOBS)
	$(BIN)/python book/replicate.py $(if $(JOBS),--jobs $(JOBS)) $(foreach each,$(ONLY),--only $(each)) \
		$(foreach each,$(DATA),--data "$(each)") $(CHAPTERS)

serve: $(RENDERED) ## show the rendered book on this machine (PORT=8000)
	@echo "The book is at http://localhost:$(or $(PORT),8000)/ until you press Ctrl-C."
	@$(BIN)/python -m http.server $(or $(PORT),8000) --bind 127.0.0.1 --directory _build/html

lab: $(INSTALLED) ## open the notebooks in JupyterLab
	$(BIN)/python -m jupyterlab book/notebooks

lock: ## compute requirements.lock again with uv (UPGRADE=1: with the newest versions)
	uv pip compile pyproject.toml $(foreach each,book cluster test,--extra $(each)) --universal --python-version 3.11 \
		--no-emit-index-url $(if $(UPGRADE),--upgrade) -o requirements.lock

clean: ## delete what the verbs above made, except the environment
	rm -rf _build book/_pictures book/checks .pytest_cache .mypy_cache .ruff_cache .hypothesis

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

$(INSTALLED): requirements.lock pyproject.toml
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' || { \
		echo "This book needs Python 3.11 or newer; '$(PYTHON)' is older or missing." \
			"Install one, then name it: make PYTHON=python3.12 $(or $(MAKECMDGOALS),book)" >&2; exit 1; }
	@rm -f $@
	@echo "Making the environment in $(VENV) (about 3 GB to download the first time)."
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(RENDERED): $(INSTALLED) $(PAGES)
	@$(BIN)/python book/render.py
