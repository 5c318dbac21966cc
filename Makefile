# Every target is one call of the command line or of a tool; ARGS="..." is passed on.
.DEFAULT_GOAL := help
RUN = .venv/bin/metabev-env
METABEV = .venv/bin/metabev
.PHONY: setup setup-dev demo test test-nightly test-training test-devkit test-distribution coverage \
	audit lint site train evaluate export engines gpu-check precision bench clean help fresh-machine \
	format

help:       ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## *\(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf '  %-15s %s\n' "$$name" "$$text"; done
setup:      ## ROS (the sourced one, else wheels), Python packages, messages: .venv/ and install/
	@sh tools/setup.sh
setup-dev:  ## the same, and what training and the tests need
	@sh tools/setup.sh --dev
demo: setup ## sensors die and come back while the real node runs: out/demo/report.html
	@$(METABEV) demo $(ARGS)
test: setup-dev lint ## everything but the tests marked slow, in two processes
	@OMP_NUM_THREADS=1 $(RUN) python -m pytest -q -m 'not slow' -n 2 --dist loadfile $(ARGS)
test-nightly: setup-dev ## rows too slow for every commit, mutants, TensorRT-RTX's parser and builder
	@$(RUN) python -m pip install -q -r requirements/tensorrt.txt
	@$(RUN) python -m pytest -q -m 'slow or tensorrt' --ignore test/lab/training $(ARGS)
	@$(RUN) python benchmark/reliability mutants
	@$(RUN) python benchmark/reliability single-failures
	@$(RUN) python benchmark/reliability fuzz
	@$(RUN) python benchmark/reliability restart
test-training: setup-dev ## what learns: eight samples by heart, a step at full size (hours)
	@$(RUN) python -m pytest -q -m slow test/lab/training $(ARGS)
test-devkit: setup-dev ## what is nuScenes' beside its own devkit, which gets a .venv-devkit
	@test -x .venv-devkit/bin/python || $(RUN) python -m venv .venv-devkit
	@.venv-devkit/bin/python -m pip install -q -r requirements/nuscenes_devkit.txt
	@METABEV_DEVKIT_PYTHON=$(CURDIR)/.venv-devkit/bin/python \
		$(RUN) python -m pytest -q -m devkit $(ARGS)
test-distribution: setup-dev ## what needs launch, ros2cli, bond, ...: UNDERLAY=/opt/ros/jazzy
	@test -e "$(UNDERLAY)/setup.sh" || { echo 'UNDERLAY: expected a prefix with a setup.sh'; exit 2; }
	@$(RUN) sh -c '. "$(UNDERLAY)/setup.sh" && exec python -m pytest -q \
		-m "distribution or ros_packages" $(ARGS)'
coverage: setup-dev ## lines and branches from message to output that its tests reach
	@$(RUN) python -m pip install -q -r requirements/coverage.txt
	@mkdir -p out/coverage && $(RUN) python -m coverage erase
	@$(RUN) python -m coverage run -m pytest -q -m 'not slow' test/backends test/faults test/node \
		test/preprocess test/replay test/sensing test/test_*.py
	@$(RUN) python -m coverage combine -q
	@$(RUN) python -m coverage json -q -o out/coverage/report.json
	@$(RUN) python benchmark/reliability coverage $(ARGS)
audit: setup ## what is installed against the advisories on PyPI
	@$(RUN) python -m pip install -q -r requirements/audit.txt
	@$(RUN) python -m pip_audit --local --progress-spinner off $(ARGS)
lint: setup-dev ## formatter, linter, spelling (what pre-commit runs too) and types
	@$(RUN) python -m ruff format --check --quiet .
	@$(RUN) python -m ruff check --quiet .
	@$(RUN) codespell
	@if $(RUN) python -c 'import numpy, sys; sys.exit(numpy.__version__ < "2")'; \
		then $(RUN) basedpyright --level error; \
		else echo 'types: not checked (the stubs of NumPy 1, which ROS brings, name no defaults)'; fi
site: setup-dev ## the documentation, with search: build/site; view: python -m http.server -d build/site
	@NO_MKDOCS_2_WARNING=1 $(RUN) python -m mkdocs build $(ARGS)
format: setup-dev ## the formatter, writing
	@$(RUN) python -m ruff format .
fresh-machine: ## set-up, demonstration and tests of the last commit with an empty environment
	@sh tools/fresh_machine.sh $(ARGS)
train: setup-dev ## metabev_nano anew: runs/metabev_nano
	@$(METABEV) train config/training/metabev_nano.yaml --out runs/metabev_nano $(ARGS)
evaluate: setup ## the default model on held-out drives
	@$(METABEV) evaluate $(ARGS)
export: setup-dev ## these weights to ONNX: models/metabev_nano
	@$(METABEV) export models/metabev_nano --run runs/metabev_nano --force $(ARGS)
engines: setup-dev ## TensorRT engines of the shipped model for this GPU (docs/engines.md)
	@$(METABEV) build-engines models/metabev_nano_streets $(ARGS)
gpu-check: setup-dev ## every engine and runtime on this GPU: parity, latency, memory
	@$(RUN) python benchmark/gpu_check.py $(ARGS)
precision: setup-dev ## accuracy and time of fp16 and int8 beside fp32
	@$(RUN) python benchmark/precision.py $(ARGS)
bench: setup-dev ## latency of every branch beside torch eager
	@$(RUN) python benchmark/branch_latency.py $(ARGS)
clean:      ## everything that the targets above made, the trained models excepted
	@rm -rf .venv .venv-devkit build install log out *.egg-info .pytest_cache .ruff_cache .hypothesis
