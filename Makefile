# Two targets do everything: `make demo` and `make test`; `make studio` is for a GPU host. Each sets
# up .venv first; the second time that takes no time. PYTHON names the interpreter to build it with
# (3.11 to 3.13).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Byte code is made of what is imported, when it is imported, not of all 7 GB.
PINNED := --no-compile --constraint constraints.txt
WORKERS ?= 2
PROMPT ?= a red ball moves to the right over a dark blue background
export PROMPT

.PHONY: demo studio test bench-gpu test-slow test-faults test-attacks bench scorecard train train-illustrated scorecard-illustrated lint docs clean

demo: $(VENV)/.demo
	$(BIN)/reelwright models download demo
	mkdir -p out
	$(BIN)/reelwright make "$$PROMPT" --seconds 6 --upscale 4 --joins continue --out out/demo.mp4

# For the GPU host: llama.cpp built with CUDA for its card, then the rest of .venv. The build comes
# first, or pip would spend minutes on the CPU's.
studio: $(BIN)/python
	$(BIN)/python -m infra.apps.llama_build
	@$(MAKE) --no-print-directory $(VENV)/.demo
	$(BIN)/python -m infra.apps.llama_build --check
	@$(BIN)/reelwright doctor || echo "The lines that begin with FAIL say what is left to do."

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not faults and not attacks"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m slow

# Two hours: every part is killed, and stopped for a minute, at every stage; links are cut (as root).
test-faults: $(VENV)/.dev
	$(BIN)/python -m pytest -m faults

# What a hostile client, web page or local user can try, on the loopback only.
test-attacks: $(VENV)/.dev
	$(BIN)/python -m pytest -m attacks

bench: $(VENV)/.dev
	@$(BIN)/python -m tests.bench

# Speed and memory of the studio's models at their real sizes on this GPU; weights are random.
bench-gpu: $(VENV)/.demo
	@$(BIN)/python -m tests.gpu --out build/gpu

# What the demo's video model can do, as its model card says it.
scorecard: $(VENV)/.demo
	@$(BIN)/python -m pipelines.training.scorecard infra/models/tiny_wan

# The demo's video model from nothing, about an hour on 2 cores; interrupted, it goes on.
train: $(VENV)/.demo
	$(BIN)/python -m pipelines.training build/training

# The next demo model, of pictured things: docs/training.md. Interrupted, it goes on.
train-illustrated: $(VENV)/.demo
	$(BIN)/python -m pipelines.training.illustrated build/illustrated $(OPTIONS)

scorecard-illustrated: $(VENV)/.demo
	@$(BIN)/python -m pipelines.training.illustrated.scorecard build/illustrated/checkpoint $(OPTIONS)

lint: $(VENV)/.dev
	$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/python -m tests.rules.audit

# The documents: reference pages from the code, then all of docs/ as a site, opened from disk.
docs: $(VENV)/.dev
	@$(BIN)/python -m tests.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "The site is build/site/index.html"

clean:
	rm -rf $(VENV) build out

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; run: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(PINNED) --upgrade pip

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up .venv (about 7 GB; once)"
	@# After `make studio` a new version is built with CUDA here; pip would build it for the CPU.
	@test ! -f $(VENV)/llama-cuda.json || $(BIN)/python -m infra.apps.llama_build
	$(PIP) install $(PINNED) --editable '.[demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install $(PINNED) --editable '.[demo,dev]'
	touch $@
