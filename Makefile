# The two commands of the README are `make demo` and `make test`; each does all the set-up that it needs.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The newest Python is not the best one here: torch's small CPU builds come for some versions only.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONHASHSEED := 0

.DEFAULT_GOAL := help
.PHONY: help install demo cifar10 test test-quick oracles docs figures generate notebooks light release faults mutants lint format clean

help:  ## Show this help
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)

$(VENV)/.search: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) what search and training need, torch among it: about a minute"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[search]'
	@touch $@

$(VENV)/.dev: $(VENV)/.search
	@echo "installing into $(VENV) what tests and documentation need: about a minute"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[search,onnx,docs,dev]'
	@touch $@

$(VENV)/.types: $(VENV)/.dev
	@echo "installing pyright into $(VENV)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[types]'
	@touch $@

install: $(VENV)/.search  ## Install into .venv, with what search and training need
	@echo "now: source $(BIN)/activate"

demo: $(VENV)/.search  ## Search a network for the digits, train it, export it to Lava and print the report
	@$(BIN)/snnas lava setup || echo "Lava is not usable here; everything else runs without it"
	$(BIN)/snnas search --dataset digits --budget energy_total=200uJ --trainings 32 --workers 2
	$(BIN)/snnas export --target lava

# Rounds of one training: each begins with the weights of the one before; what was ended goes on.
round = $(if $(wildcard runs/$(1)/run.toml),$(1),--genotype examples/designs/cifar10.json --dataset cifar10 \
	--recipe examples/designs/$(1).toml --target-sar 0.1 --name $(1) $(if $(2),--weights runs/$(2)/weights.safetensors))
runs/cifar10/weights.safetensors: | $(VENV)/.search
	$(BIN)/snnas train $(call round,cifar10) --runs-dir runs
runs/cifar10_more/weights.safetensors: | runs/cifar10/weights.safetensors
	$(BIN)/snnas train $(call round,cifar10_more,cifar10) --runs-dir runs
runs/cifar10_last/weights.safetensors: | runs/cifar10_more/weights.safetensors
	$(BIN)/snnas train $(call round,cifar10_last,cifar10_more) --runs-dir runs

cifar10: runs/cifar10_last/weights.safetensors  ## Train and export the CIFAR-10 network of docs/results.md (hours; goes on where it was ended)
	$(BIN)/snnas export cifar10_last --target lava --timesteps 3 --samples 4 --runs-dir runs

test: $(VENV)/.dev  ## Run every test (sets up the Lava worker with lava-dl first)
	@$(BIN)/snnas lava setup --with-dl || echo "Lava is not usable here; its tests are skipped"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-quick: $(VENV)/.dev  ## Run the tests that need no Lava and take no time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not lava and not slow"

# Each tool lives in an environment of its own: their pins clash with ours and with one another's.
ORACLES := $(CURDIR)/.oracles
.oracles/sanafe/bin/python .oracles/neurobench/bin/python: .oracles/%/bin/python: constraints.txt
	"$(PYTHON)" -m venv .oracles/$*
	@echo "installing $* into .oracles/$*"
	@.oracles/$*/bin/python -m pip install --quiet --constraint constraints.txt $*

.oracles/nengo-loihi/bin/python .oracles/brian2-loihi/bin/python: .oracles/%/bin/python: | $(VENV)/.dev
	"$$($(BIN)/python -c 'from snnas.hw_sim.lava.environment import find_base_python; print(find_base_python()[0])')" -m venv .oracles/$*
	@echo "installing $* into .oracles/$*"
	@.oracles/$*/bin/python -m pip install --quiet $* $(if $(filter nengo-loihi,$*),"numpy<1.24")

# What else writes and reads NIR. Our own packages (torch above all) are seen behind the tool's, so that each environment
# holds the tool alone; sinabs pins an older nir.
NIR_PEERS := snntorch norse sinabs spikingjelly rockpool snn-mlir
$(NIR_PEERS:%=.oracles/%/bin/python): .oracles/%/bin/python: constraints.txt | $(VENV)/.dev
	$(BIN)/python -m venv .oracles/$*
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.oracles/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"
	grep -v '^nir==' constraints.txt > .oracles/$*/constraints.txt
	@echo "installing $* into .oracles/$*"
	@.oracles/$*/bin/python -m pip install --quiet --constraint .oracles/$*/constraints.txt \
		torch==2.13.0 $* $(if $(filter sinabs,$*),,nirtorch "nir>=1.0.8,<1.1")

# What writes event recordings (faery, dv-processing) and reads AEDAT 4: the tests that need it run in it, ours behind it.
.oracles/events/bin/python: constraints.txt | $(VENV)/.dev
	$(BIN)/python -m venv .oracles/events
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.oracles/events/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"
	@echo "installing aedat, faery and dv-processing into .oracles/events"
	@.oracles/events/bin/python -m pip install --quiet --constraint constraints.txt aedat expelliarmus faery dv-processing

# The interpreter of Triton, in which the neuron of GPUs is compared with the CPU's; without a GPU 1 GB for one file of tests.
.oracles/triton/bin/python: | $(VENV)/.dev
	$(BIN)/python -m venv .oracles/triton
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.oracles/triton/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"
	@echo "installing triton into .oracles/triton"
	@.oracles/triton/bin/python -m pip install --quiet triton==3.9.0

oracles: $(VENV)/.dev $(foreach t,sanafe neurobench nengo-loihi brian2-loihi events triton $(NIR_PEERS),.oracles/$(t)/bin/python)  ## Compare with independent tools
	SNNAS_SANAFE_PYTHON=$(ORACLES)/sanafe/bin/python SNNAS_NEUROBENCH_PYTHON=$(ORACLES)/neurobench/bin/python \
	SNNAS_NENGO_LOIHI_PYTHON=$(ORACLES)/nengo-loihi/bin/python SNNAS_BRIAN2_LOIHI_PYTHON=$(ORACLES)/brian2-loihi/bin/python \
	SNNAS_SNNTORCH_PYTHON=$(ORACLES)/snntorch/bin/python SNNAS_NORSE_PYTHON=$(ORACLES)/norse/bin/python \
	SNNAS_SINABS_PYTHON=$(ORACLES)/sinabs/bin/python SNNAS_SPIKINGJELLY_PYTHON=$(ORACLES)/spikingjelly/bin/python \
	SNNAS_ROCKPOOL_PYTHON=$(ORACLES)/rockpool/bin/python SNNAS_SNN_MLIR_PYTHON=$(ORACLES)/snn-mlir/bin/python \
		$(BIN)/python -m pytest -m oracle -rs
	.oracles/events/bin/python -m pytest -n 0 -m oracle -rs tests/toolchain/data/test_own_recordings.py
	.oracles/triton/bin/python -c "import triton"
	.oracles/triton/bin/python -m pytest -n 0 -rs tests/search/network/test_lif_triton.py

docs: $(VENV)/.dev  ## Build the documentation into build/docs, with warnings as errors
	@echo "building build/docs: about half a minute"
	$(BIN)/python -m sphinx -q -W -n -b html -d build/doctrees docs build/docs
	@echo build/docs/index.html

generate: $(VENV)/.dev  ## Write what the documents take from the program: help, command line, schemas, tables
	$(BIN)/python docs/generate.py

figures: $(VENV)/.dev  ## Measure the demo of the README and docs/energy.md again, and take the pictures of its report
	$(BIN)/python docs/figures.py
	$(BIN)/python docs/generate.py

notebooks: $(VENV)/.dev  ## Run the notebooks of examples/notebooks and keep their outputs
	$(BIN)/python docs/notebooks.py

# What a pipeline pays for the gate: the base install in an environment of its own, without torch.
LIGHT := $(CURDIR)/build/light
light:  ## Check, simulate and estimate on the base install, without torch; print its size and seconds
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@rm -rf $(LIGHT) build/lib build/bdist.* && mkdir -p $(LIGHT)
	@echo "installing the base into $(LIGHT)/venv: about half a minute"
	@"$(PYTHON)" -m venv $(LIGHT)/venv
	@$(LIGHT)/venv/bin/python -m pip wheel --quiet --constraint constraints.txt --wheel-dir $(LIGHT)/wheels .
	@$(LIGHT)/venv/bin/python -m pip install --quiet --no-index --find-links $(LIGHT)/wheels snnas
	@if $(LIGHT)/venv/bin/python -c 'import torch' 2>/dev/null; then echo "torch is here: not the base install"; exit 1; fi
	@du -cb $(LIGHT)/wheels/*.whl | awk 'END { printf "download: %.1f MB in %d wheels\n", $$1 / 1e6, NR - 1 }'
	@du -sb $(LIGHT)/venv/lib/python*/site-packages | awk '{ printf "installed: %.1f MB, pip included\n", $$1 / 1e6 }'
	@cp -r examples/ci_gate $(LIGHT)/gate
	@cd $(LIGHT)/gate && PATH=$(LIGHT)/venv/bin:$$PATH && TIMEFORMAT="%R s" && set -e && \
	for command in "check graph.nir --baseline baseline.json" "simulate graph.nir --data graph.nir.check.npz -q" \
		"estimate graph.nir --data graph.nir.check.npz -q"; do \
		echo "snnas $$command"; time snnas $$command > $(LIGHT)/out.txt 2>&1 || { cat $(LIGHT)/out.txt; exit 1; }; done

release:  ## Build wheel and sdist, and try both in clean environments of every Python that is here; publishes nothing
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "building into build/release, then two environments for each Python: some minutes"
	"$(PYTHON)" -m tests.release

# Each campaign goes on where it was ended; FAULTS holds its records and what it found.
FAULTS ?= faults.out
faults: $(VENV)/.dev  ## Inject faults: hostile files, kills, bad machines, load, edited exports (hours; goes on where it was ended)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.campaign --out $(FAULTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.kill --out $(FAULTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.machines --out $(FAULTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.load --out $(FAULTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.edited --out $(FAULTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.studies.growth

# tests/mutants/results.jsonl holds what was tried, so that the next call goes on; SAMPLE=60: so many of each
# module; REST=300: so many of all others of export/ and hw_sim/ together.
MUTANTS ?= mutants.out
mutants: $(VENV)/.dev  ## Plant faults in the code, by hand and by cosmic-ray: do tests find them? (hours; goes on)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants.hand
	$(BIN)/python -m venv .oracles/mutants
	@.oracles/mutants/bin/python -m pip install --quiet cosmic-ray==8.7.0
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.oracles/mutants/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"
	OMP_NUM_THREADS=1 .oracles/mutants/bin/python -m tests.mutants.campaign --out $(MUTANTS) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(DRAW),--draw $(DRAW))
	OMP_NUM_THREADS=1 .oracles/mutants/bin/python -m tests.mutants.rest --out $(MUTANTS) $(if $(REST),--sample $(REST)) $(if $(DRAW),--draw $(DRAW))

lint: $(VENV)/.types  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.check_with_pyright $(BIN)/basedpyright

format: $(VENV)/.dev  ## Format the code
	$(BIN)/ruff check --fix-only --quiet . || true
	$(BIN)/ruff format .

clean:  ## Remove what the commands above made, runs excepted
	rm -rf $(VENV) .oracles build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
