# The commands of this repository. They need Python 3.11 or later and make; everything else goes into .venv.
#
#   make demo                        the node beside a PACS stand-in, with real radiographs
#   make test                        what must hold before a change lands
#   make TORCH=cuda install          PyTorch's build for NVIDIA GPUs instead of the one for the CPU
#   make PYTHON=/opt/python install  a Python of one's own choice

.DEFAULT_GOAL := help
.PHONY: help demo test faults upstream bench install format pictures docs lock clean peers

# PyTorch's build: "cpu", from https://download.pytorch.org/whl/cpu where that is reached, or "cuda", from PyPI.
TORCH ?= cpu
# More arguments for the demo, as in: make demo ARGS="--images films --keep results"
ARGS ?=
# Which trials `make faults` runs.
TRIALS ?= all

# The first Python here that is new enough.
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$candidate" && break; done)
BIN := .venv/bin
# A stamp is written when an installation is complete, and is out of date when pyproject.toml is newer.
NODE_STAMP := .venv/installed-node-$(TORCH)
TEST_STAMP := .venv/installed-test-$(TORCH)

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: $(NODE_STAMP) ## run the node on real radiographs and show what the PACS got
	$(BIN)/dicom-node demo $(ARGS)

test: $(TEST_STAMP) peers ## check everything: style, types, borders, tests with real peers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy install.py
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

faults: $(TEST_STAMP) peers ## the long trials of docs/reliability.md, for hours (TRIALS="kills load": some)
	$(BIN)/python -m tests.faults.record $(TRIALS)

# The ones that open connections; one that fails beside others is tried again alone: some have races of their own.
UPSTREAM := -c tests/upstream/pytest.ini --pyargs $(addprefix pynetdicom.tests.test_,assoc acse dimse_provider dul \
	events service_storage service_verification transport)

upstream: $(TEST_STAMP) ## pynetdicom's own tests, over the node's transport
	$(BIN)/python -m pytest --numprocesses 6 --quiet $(UPSTREAM) || \
		$(BIN)/python -m pytest --last-failed --quiet $(UPSTREAM)

bench: $(TEST_STAMP) peers ## measure the node beside its peers, on a quiet machine, into benchmarks/
	$(BIN)/python -m benchmarks.receiving
	$(BIN)/python -m benchmarks.answering
	$(BIN)/python -m benchmarks.decoding
	$(BIN)/python -m benchmarks.finished
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.document README.md docs/*.md

install: $(NODE_STAMP) ## install the node into .venv (TORCH=cuda: for NVIDIA GPUs)

format: $(TEST_STAMP) ## put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pictures: $(TEST_STAMP) peers ## draw the documentation's pictures again
	MAKE_PICTURES=1 $(BIN)/python -m pytest tests/integration/test_pictures.py tests/viewer tests/web

docs: $(NODE_STAMP) ## write the shipped model's figures into README and docs/ again
	$(BIN)/python -m inference.evaluation.document inference/models/pneumonia README.md docs/*.md
	$(BIN)/dicom-node conformance --config config/node.toml > docs/conformance.md

lock: $(TEST_STAMP) ## resolve every dependency anew into locks/, and list their licences
	$(BIN)/python locks/write.py
	$(BIN)/python locks/licences.py

clean: ## remove what these commands made; never data
	rm -rf .venv .peers build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(NODE_STAMP): .venv/created pyproject.toml install.py locks/demo.txt
	$(BIN)/python install.py --torch $(TORCH) --editable ".[demo,training]"
	@rm -f .venv/installed-node-* && touch $@

$(TEST_STAMP): .venv/created pyproject.toml install.py locks/test.txt
	$(BIN)/python install.py --torch $(TORCH) --editable ".[test]"
	@rm -f .venv/installed-test-* && touch $@

.venv/created:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later is on the PATH. Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11 or later."; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	"$(PYTHON)" -m venv --clear .venv
	@touch $@

# The real peers of the tests. Debian starts Orthanc as a service of its own; the tests start theirs beside it.
peers:
	@sh .ci/peers
