# A newcomer needs two targets: `make demo` and `make test`; `make studio` is for a GPU host. Each sets
# up .venv first; the second time that takes no time. PYTHON names the interpreter to build it with
# (3.11 to 3.13). A comment behind two # is the target's line in `make help`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip with a line of progress; what it and the compilers say goes to .venv/set-up.log.
PIP := $(BIN)/python -m infra.apps.set_up
# Byte code is made of what is imported, when it is imported, not of all 7 GB.
PINNED := --no-compile --constraint constraints.txt
WORKERS ?= 2
PROMPT ?= a penguin hops up and down in the snow
export PROMPT

.PHONY: help demo studio test bench-gpu test-slow test-faults test-attacks bench scorecard scorecard-writer train lint docs hooks clean

help: ## what can be made (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON=$(PYTHON) WORKERS=$(WORKERS) PROMPT=\"…\". More: README.md, CONTRIBUTING.md"

demo: $(VENV)/.demo ## a first video, out/demo.mp4, from the small model for CPUs
	$(BIN)/reelwright models download demo
	mkdir -p out
	$(BIN)/reelwright make "$$PROMPT" --seconds 6 --upscale 4 --joins continue --out out/demo.mp4

# For the GPU host: llama.cpp built with CUDA for its card, then the rest of .venv. The build comes
# first, or pip would spend minutes on the CPU's.
studio: $(BIN)/python ## on a GPU host: llama.cpp with CUDA, then the rest of .venv
	$(BIN)/python -m infra.apps.llama_build
	@$(MAKE) --no-print-directory $(VENV)/.demo
	$(BIN)/python -m infra.apps.llama_build --check
	@$(BIN)/reelwright doctor || echo "The lines that begin with FAIL say what is left to do."

test: $(VENV)/.dev ## the test suite, 15 to 20 minutes on 2 cores
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not faults and not attacks"

test-slow: $(VENV)/.dev ## further variants, and the whole studio with its pages
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m slow

# Two hours: every part is killed, and stopped for a minute, at every stage; links are cut (as root).
test-faults: $(VENV)/.dev ## every part killed and stopped at every stage; two hours, as root
	$(BIN)/python -m pytest -m faults

# What a hostile client, web page or local user can try, on the loopback only.
test-attacks: $(VENV)/.dev ## what a hostile client, web page or local user can try
	$(BIN)/python -m pytest -m attacks

bench: $(VENV)/.dev ## speed and memory of this machine (docs/performance.md)
	@$(BIN)/python -m tests.bench

# Speed and memory of the studio's models at their real sizes on this GPU; weights are random.
bench-gpu: $(VENV)/.demo ## speed and memory of the studio's models on this GPU
	@$(BIN)/python -m tests.gpu --out build/gpu

# What the demo's video model can do, as its model card says it.
scorecard: $(VENV)/.demo ## what the demo's video model can do
	@$(BIN)/python -m pipelines.training.scorecard infra/models/tiny_wan $(OPTIONS)

# Answers are kept in build/scorecard-writer; a second run asks only what is new.
# OPTIONS="--strategy direct --beside FILE.json" forces a strategy and shows an earlier result.
scorecard-writer: $(VENV)/.demo ## what the installed language models make of forty briefs
	@$(BIN)/python -m infra.apps.writer_scorecard $(OPTIONS)

# The demo's video model from nothing: docs/training.md. Interrupted, it goes on.
train: $(VENV)/.demo ## train the demo's video model; goes on where it was stopped
	$(BIN)/python -m pipelines.training build/training $(OPTIONS)

lint: $(VENV)/.dev ## format, check, type-check, audit
	$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/python -m tests.rules.audit

docs: $(VENV)/.dev ## reference pages from the code, then all of docs/ as a site, opened from disk
	@$(BIN)/python -m tests.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "The site is build/site/index.html"

hooks: $(VENV)/.dev ## install the git hooks that run ruff and mypy before a commit
	$(BIN)/pre-commit install

clean: ## remove .venv, build and out (finished wheels of llama.cpp stay in the user's cache)
	rm -rf $(VENV) build out

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; run: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# The pip that comes with Python is too old for our progress.
	$(BIN)/python -m pip --disable-pip-version-check --quiet install $(PINNED) --upgrade pip

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up .venv (about 7 GB on disk, most of it PyTorch and CUDA; once)"
	@# After `make studio` a new version is built with CUDA here, not for the CPU.
	@if test -f $(VENV)/llama-cuda.json; then $(BIN)/python -m infra.apps.llama_build; \
	  else $(BIN)/python -m infra.apps.llama_wheel; fi
	$(PIP) install $(PINNED) --editable '.[demo]'
	touch $@

# basicsr's set-up asks for PyTorch, of which pip would fetch and unpack another one to build it with.
$(VENV)/.dev: $(VENV)/.demo
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || exit 0; \
	  $(PIP) install $(PINNED) --no-deps --no-build-isolation basicsr
	$(PIP) install $(PINNED) --editable '.[demo,dev]'
	touch $@
