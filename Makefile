# Everything here works on a fresh clone: the environment is made on the first call.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.installed-docs
BENCHMARKS_STAMP := .venv/.installed-benchmarks
NAPARI_STAMP := .venv/.installed-napari
TOPAZ := .venv-topaz/bin/topaz
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: help install napari demo test lint docs wheel benchmarks benchmarks-fresh benchmarks-report clean

help:
	@echo "make install   make .venv with nt2c and its pinned dependencies"
	@echo "make napari    add napari to it, for the tests of the plugin"
	@echo "make demo      simulate, denoise and score a few micrographs; writes demo/index.html"
	@echo "make test      run the tests"
	@echo "make lint      style, types and import directions"
	@echo "make docs      build the documentation into site/"
	@echo "make wheel     build the package into dist/"
	@echo "make benchmarks         measure quality, picking and speed where records are missing"
	@echo "make benchmarks-fresh   throw the records away and measure everything"
	@echo "make benchmarks-report  tables and pictures of the results from their records"

install: $(STAMP)

# torch is installed first and alone, so that pip settles on one build of it.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

$(NAPARI_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[napari]"
	@touch $@

napari: $(NAPARI_STAMP)

demo: $(STAMP)
	$(BIN)/nt2c demo -o demo

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

$(BENCHMARKS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[benchmarks]"
	@touch $@

$(TOPAZ):
	PYTHON=$(PYTHON) benchmarks/setup_topaz.sh .venv-topaz

# Needs the data beside the repository; what is recorded is not done again, but for speed. Topaz
# takes minutes for a large micrograph: it runs on those with two threads only.
MADE := benchmarks/outputs
FITS := empiar10146 sim_thirdparty ice modulated
FITTED := $(foreach name,$(FITS),$(name)=$(MADE)/ablation/fits/$(name)-quick/model.safetensors)
SECOND := noise2noise:empiar10146=$(MADE)/noise2noise/fold0.safetensors,$(MADE)/noise2noise/fold1.safetensors
ALL := --topaz $(TOPAZ) --fitted $(FITTED) --reference-model $(SECOND)
benchmarks: $(BENCHMARKS_STAMP) $(TOPAZ)
	$(BIN)/python -m benchmarks.ablation.whole --subjects $(FITS)
	test -f $(MADE)/noise2noise/fold1.safetensors || $(BIN)/python -m benchmarks.noise2noise
	$(BIN)/python -m benchmarks.quality $(ALL)
	$(BIN)/python -m benchmarks.picking $(ALL)
	$(BIN)/python -m benchmarks.picking --topaz $(TOPAZ) --topaz-picker --sets empiar10146 --methods raw topaz-unet nt2c
	$(BIN)/python -m benchmarks.speed --topaz $(TOPAZ)
	$(BIN)/python -m benchmarks.speed --topaz $(TOPAZ) --threads 2 --repeats 2 \
		--sizes 4096 K3 --peer-sizes 4096 K3
	$(MAKE) benchmarks-report

benchmarks-fresh:
	rm -rf $(foreach name,images crops ablation/fits noise2noise,$(MADE)/$(name))
	rm -f $(foreach name,quality picking speed,benchmarks/results/$(name).jsonl)
	$(MAKE) benchmarks

benchmarks-report: $(STAMP)
	$(BIN)/python -m benchmarks.report

clean:
	rm -rf site demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
