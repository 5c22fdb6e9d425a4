.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
CORES ?= $(shell nproc)
NAME ?=
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help run results experiment report test fuzz coverage bench lint format generated clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/installed ## install into .venv and run the experiment of params.yaml; CORES=4, VERBOSE=1 for all that Snakemake says
	@$(if $(VERBOSE),snakemake,python -m workflow.run) --cores $(CORES) --resources gpu=1

results: .venv/installed ## show the main tables, and whose they are: the committed record's or yours
	@python -m workflow.results

experiment: .venv/installed ## compose params.yaml of params/default.yaml and an overlay: NAME=paper; without a name, list them
	@python -m workflow.experiment $(NAME) $(if $(FORCE),--force)

report: .venv/installed ## write report.html, a page with all figures
	snakemake --report report.html

test: .venv/installed-dev ## install the development tools and run the tests
	python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

fuzz: .venv/installed-dev ## run the tests that damage and mutate files on many more of them: MFR_FUZZ=20000
	MFR_FUZZ=$${MFR_FUZZ:-20000} python -m pytest --numprocesses 2 -k fuzz

coverage: .venv/installed-dev ## run the tests and report which lines they reach
	python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report term

bench: .venv/installed .venv-saelens/installed ## time training, matching, dumping and preprocessing, and measure memory: an hour on an idle machine
	for shape in S G E; do python -m benchmarks.training_step --shape $$shape || exit 1; done
	python -m benchmarks.matching
	python -m benchmarks.memory
	python -m benchmarks.dump
	python -m benchmarks.gpt2_shape
	for shape in clinic day; do python -m benchmarks.eeg --shape $$shape || exit 1; done

lint: .venv/installed-dev ## check style, types, rules and generated files
	ruff check
	ruff format --check
	mypy
	codespell
	snakefmt --check --compact-diff Snakefile workflow/rules
	snakemake --lint
	python -m workflow.schema --check

format: .venv/installed-dev ## format the code and the rules
	ruff check --fix
	ruff format
	snakefmt Snakefile workflow/rules

generated: .venv/installed ## write the schema and docs/configuration.md from mfr/config
	python -m workflow.schema

clean: ## delete vectors, weights, exports, descriptions of latents and logs; results/ and metrics/ stay
	rm -rf data/{synthetic,language_model,eeg} runs exports features logs scratch .snakemake

.venv/installed: requirements.lock
	@echo "installing requirements.lock into .venv: some minutes"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --requirement requirements.lock
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	@.venv/bin/pip install --quiet --requirement requirements-dev.lock
	@touch $@

.venv-saelens/installed: benchmarks/requirements-saelens.txt
	@echo "installing SAELens into .venv-saelens, only for the comparison"
	@$(PYTHON) -m venv .venv-saelens
	@.venv-saelens/bin/pip install --quiet --requirement benchmarks/requirements-saelens.txt
	@touch $@
