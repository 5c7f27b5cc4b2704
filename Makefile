# The commands of openbook's repository; `make help` lists them.

# Nothing is to leave the machine, and no library should ask the network for what is here already.
export HF_HUB_OFFLINE = 1
export DO_NOT_TRACK = 1
export UNSTRUCTURED_DISABLE_NOTICE = 1
export VLLM_NO_USAGE_STATS = 1
export TOKENIZERS_PARALLELISM = false
# Where it is set, every start compiles every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run spark test lint unit clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1	/' | expand -t 16

setup: ## Build .venv, .venv-vllm and the model (the first time; afterwards nothing)
	@scripts/setup.sh

run: setup ## Start openbook, ingest samples/, ask a question, keep serving until Ctrl-C (RUN_ONCE=1: stop after the answer)
	@scripts/run.sh

spark: ## Start everything in containers on a DGX Spark, with a first key (docs/spark.md)
	@scripts/spark.sh

test: ## Set up, lint, and run every test that needs no GPU
	@scripts/setup.sh --dev
	@scripts/test.sh

lint: ## ruff, mypy and the import contract
	@scripts/setup.sh --dev
	@scripts/test.sh lint

unit: ## The fast tests only: no sockets, no processes, no models
	@scripts/setup.sh --dev
	@scripts/test.sh unit

clean: ## Remove what setup and run made (the index in .openbook too)
	rm -rf .venv .venv-vllm .models .openbook .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
