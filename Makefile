# Everything runs in .venv, made on first use; `make clean` removes it.
PYTHON ?= python3
BIN := .venv/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
README_DIR ?= .
.DEFAULT_GOAL := help
.PHONY: help install table1 figures benchmarks test lint docs readme notebooks clean

help:  ## list these commands
	@sed -n 's/^\([a-z0-9]*\):.*## /make \1	/p' Makefile | expand -t 18

install: .venv/installed  ## set up once what it takes to colour photographs, without the tools for development
	@echo "Installed. Colour a photograph with:  $(BIN)/biggan-colorize colorize PHOTO -o DIR"

table1: .venv/installed  ## set up once, then measure Table 1 on photographs and print it (runs/table1)
	@mkdir -p runs/table1
	@$(RUN) papermill nbs/eval.ipynb runs/table1/eval.ipynb -r out "$(CURDIR)/runs/table1"
	@cat runs/table1/table1.md

figures: .venv/installed  ## draw every figure, small, into runs/figures; DATA=DATASETS: as recorded, into figures/ (CHECKPOINT=FILE: of mini, for one row of the ledger)
	@$(RUN) .ci/figures.sh "$(DATA)" "$(CHECKPOINT)"

benchmarks: .venv/installed  ## measure speeds against the published form in one run, on an idle machine, into figures/; DATA=DATASETS: filter, upsampling, what mini misses and the priors, too
	@$(foreach n,fuse winograd features step memory photograph,$(BIN)/python benchmarks/$(n).py &&) true
	@$(if $(DATA),BIGGAN_COLORIZE_DATA="$(DATA)" $(BIN)/python benchmarks/filter.py -o figures/filter.md && BIGGAN_COLORIZE_DATA="$(DATA)" $(BIN)/python benchmarks/upsampling.py && \
		BIGGAN_COLORIZE_DATA="$(DATA)" $(BIN)/python benchmarks/missing.py && BIGGAN_COLORIZE_DATA="$(DATA)" $(BIN)/python benchmarks/prior.py)

test: .venv/installed-dev  ## set up once, then run every notebook and the tests of tests/
	@$(RUN) OMP_NUM_THREADS=1 nbdev_test --n_workers 2 --do_print
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest -q -rs -n 2 --dist loadfile tests

lint: .venv/installed-dev  ## check the lines of notebooks and Python files: ruff, and no semicolons
	@$(BIN)/ruff check --quiet .
	@$(BIN)/python .ci/semicolons.py nbs tests benchmarks docs .ci setup.py

docs: .venv/installed-docs  ## build the site (runs/site/html) from the notebooks' stored outputs, and check its links
	@rm -rf runs/site
	@$(BIN)/python docs/prepare.py runs/site/source
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs -d runs/site/doctrees -b html runs/site/source runs/site/html
	@$(BIN)/python docs/check.py runs/site/html
	@echo "The site is in runs/site/html: open index.html"

readme: .venv/installed-dev  ## make README.md from nbs/index.ipynb
	@$(RUN) jupyter nbconvert --log-level WARN --to markdown nbs/index.ipynb --output-dir "$(README_DIR)" --output README \
		--NbConvertApp.output_files_dir=figures --RegexRemovePreprocessor.patterns='^#\| *(hide|default_exp)'
	@awk '/^#\| /{next} /^```/{fence=!fence; if(fence && $$0=="```") $$0="```python"} \
		{gsub(/\]\(\.\.\//, "]("); gsub(/src="\.\.\//, "src=\"")} 1' "$(README_DIR)/README.md" > "$(README_DIR)/README.md.part"
	@mv "$(README_DIR)/README.md.part" "$(README_DIR)/README.md"

notebooks: .venv/installed-dev  ## export the modules, clean the notebooks, keep their stored pictures small
	@$(RUN) nbdev_export && $(RUN) nbdev_clean && $(BIN)/python .ci/small_pictures.py $$(find nbs -name '*.ipynb' -not -path '*/.*')

clean:  ## remove the virtual environment and everything that was measured into runs/
	rm -rf .venv runs

# The stamps: an installation runs again only when what it reads has changed.
# torch and torchvision come from one pip call, so that their versions match.
.venv/installed: settings.ini setup.py | $(BIN)/pip
	@echo "Installing into .venv (the first time this downloads about 3 GB and takes minutes)"
	@$(BIN)/python -m pip install --quiet -e .
	@touch $@

.venv/installed-dev: settings.ini setup.py | $(BIN)/pip
	@echo "Installing into .venv, with the tools for tests (the first time this downloads about 3 GB and takes minutes)"
	@$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch .venv/installed $@

# The site needs neither torch nor the package, only what the extra `docs` names.
.venv/installed-docs: settings.ini setup.py | $(BIN)/pip
	@echo "Installing Sphinx into .venv"
	@$(BIN)/python -m pip install --quiet $$(sed -n 's/^docs_requirements = //p' settings.ini)
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || \
		{ echo "This project needs Python 3.10, 3.11 or 3.12 with the venv module, and '$(PYTHON)' is not that: name one with 'make PYTHON=/path/to/python3.11' (on Debian and Ubuntu, 'apt install python3-venv' adds the module)." >&2; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv
