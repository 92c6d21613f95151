# make demo: pre-train on embedded photographs, minutes on a laptop. make test: the test suite.

PYTHON ?= python3
BIN := .venv/bin
# Each wants a core and up to 4 GB.
TEST_PROCESSES ?= 2
# Seconds after which a test is taken to hang: it is named, and ended.
TEST_TIMEOUT ?= 600
METHOD = tests/moco tests/data tests/nn tests/optim tests/oracles tests/training
OTHERS = $(filter-out $(METHOD),$(patsubst %/__init__.py,%,$(wildcard tests/*/__init__.py)))
# The long ones begun first, for a file that is begun last leaves the other process nothing to do.
COMMANDS = tests/test_train.py tests/test_workers.py tests/test_reliability.py $(wildcard tests/test_*.py)
PYTEST = $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --timeout=$(TEST_TIMEOUT)
PHOTOGRAPHS = $(shell $(BIN)/python -c "import os, skimage; print(os.path.join(os.path.dirname(skimage.__file__), 'data'))")

.PHONY: demo evaluate transfer-demo test test-slow trackers oldest newest mutants browser fidelity lint packages peers serve-check docs clean

demo: .venv/installed
	$(BIN)/python -m mocotf.train --flagfile=flags/demo.cfg --model_dir=runs/demo

# In several runs, for TensorFlow keeps what it has traced until its process ends; one process, which has
# all of a run to itself, gets smaller ones.
test: .venv/installed-dev browser
ifeq ($(TEST_PROCESSES),1)
	for folder in $(METHOD) $(OTHERS); do $(PYTEST) -m "not slow" $$folder || exit 1; done
	$(PYTEST) -m "not slow" $(COMMANDS)
else
	$(PYTEST) -m "not slow" $(METHOD)
	$(PYTEST) -m "not slow" $(COMMANDS) $(OTHERS)
endif

# All tests that `make test` leaves out.
test-slow: .venv/installed-dev browser
	$(PYTEST) -m slow
	$(MAKE) trackers

# Those of them that want W&B and MLflow.
trackers: .venv-trackers/installed
	.venv-trackers/bin/python -m pytest --timeout=$(TEST_TIMEOUT) -m slow tests/test_trackers.py

# With the lowest release of each range in pyproject.toml, and with the newest that pip finds today.
ENDS = tests/moco/test_model.py tests/moco/test_keras_fit.py tests/interop tests/serving \
  tests/image_search $(addprefix tests/data/test_, hugging_face.py other_folders.py other_formats.py tfds.py) \
  $(addprefix tests/test_, embed.py export.py knn.py main.py)

oldest newest: %: .venv-%/installed
	.venv-$@/bin/python -m mocotf.train --recipe=demo --steps=3 --batch_size=64 --model_dir=$$(mktemp -d)
	.venv-$@/bin/python -m pytest --timeout=$(TEST_TIMEOUT) -m "not slow" $(ENDS)

# One planted fault at a time, each of which must make a quick test fail.
mutants: .venv/installed-dev
	$(BIN)/python tools/mutants.py

# Tests look at pages in it; where it cannot be installed they are skipped, and say so.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  { apt-get update && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1 || \
	  echo "chromium and chromium-driver cannot be installed here: tests in a browser are skipped"

fidelity: .venv/installed-dev
	$(PYTEST) --fidelity=docs/reference/fidelity.md tests/data tests/moco tests/nn

# What the demo run has learned, beside the encoder it began with: runs/demo/evaluation.json.
evaluate: .venv/installed
	test -f runs/demo/results.json || $(MAKE) demo
	rm -rf runs/demo/evaluation
	for start in "" --untrained; do \
	  at="--pretrained=runs/demo $$start --model_dir=runs/demo/evaluation" && \
	  $(BIN)/python -m mocotf.knn --model_dir=runs/demo $$start && \
	  $(BIN)/python -m mocotf.linear --flagfile=flags/demo_linear.cfg $$at/linear$$start && \
	  $(BIN)/python -m mocotf.linear --cache_features --pretrained=runs/demo $$start && \
	  $(BIN)/python -m mocotf.finetune --flagfile=flags/demo_finetune.cfg $$at/finetune$$start || exit 1; \
	done
	$(BIN)/python -m mocotf.report --table runs/demo

# Detection, segmentation and real digits with few labels, from the demo run beside a random start and one
# that was trained with all labels of the same patches, 3 seeds.
transfer-demo: .venv/installed-transfer
	test -f runs/demo/results.json || $(MAKE) demo
	rm -rf runs/transfer-demo runs/demo_supervised
	$(BIN)/python -m mocotf.finetune --flagfile=flags/demo_supervised.cfg --pretrained=runs/demo \
	  --model_dir=runs/demo_supervised
	for task in detect:detection segment:segmentation; do \
	  $(BIN)/python -m mocotf.$${task%%:*} --flagfile=flags/demo_$${task#*:}.cfg --pretrained=runs/demo \
	    --compare=random,runs/demo_supervised --seeds=0,1,2 \
	    --model_dir=runs/transfer-demo/$${task#*:} || exit 1; \
	done
	$(BIN)/python tools/make_collection.py digits runs/collections/digits
	for seed in 0 1 2; do \
	  for start in random:runs/demo\ --untrained supervised:runs/demo_supervised MoCo:runs/demo; do \
	    $(BIN)/python -m mocotf.finetune --flagfile=flags/demo_digits.cfg --pretrained=$${start#*:} --seed=$$seed \
	      --label_seed=$$seed --model_dir=runs/transfer-demo/digits/$${start%%:*}-seed$$seed || exit 1; \
	  done; \
	done
	$(BIN)/python -m mocotf.report --table runs/transfer-demo/digits/*

# Hands the demo run on, in every way there is.
serve-check: .venv/installed-dev
	test -f runs/demo/results.json || $(MAKE) demo
	rm -rf runs/serve-check && mkdir -p runs/serve-check
	$(BIN)/python -m mocotf.export --model_dir=runs/demo --export_dir=runs/serve-check/demo
	$(BIN)/python tools/benchmark_serving.py --export_dir=runs/serve-check/demo --seconds=2
	for target in torch:moco.pth.tar torchvision:resnet.pth keras:encoder.keras onnx:encoder.onnx \
	    litert:encoder.tflite; do \
	  $(BIN)/python -m mocotf.convert --to=$${target%%:*} runs/demo runs/serve-check/$${target#*:} || exit 1; \
	done
	# These know ImageNet's stem only, so for them there is a ResNet-50 of one step.
	$(BIN)/python -m mocotf.train --flagfile=flags/demo.cfg --arch=resnet50 --width=1 --stem=imagenet \
	  --bn_splits=1 --lr=0.001 --steps=1 --batch_size=16 --knn_every=0 --model_dir=runs/serve-check/resnet50
	for target in detectron2:resnet.pkl keras_hub:preset model_garden:garden-ckpt; do \
	  $(BIN)/python -m mocotf.convert --to=$${target%%:*} runs/serve-check/resnet50 \
	    runs/serve-check/$${target#*:} || exit 1; \
	done
	$(BIN)/python -m mocotf.embed --model_dir=runs/demo --data_dir=$(PHOTOGRAPHS) \
	  --out=runs/serve-check/vectors.npz
	$(BIN)/python -m mocotf.search --index=runs/serve-check/vectors.npz \
	  --html=runs/serve-check/search.html $(PHOTOGRAPHS)/chelsea.png

# Pictures that docs/reference/recipes.md is measured on, of Debian 12's packages: unpacked, not installed, by any
# user, once `apt-get update` has been run.
PACKAGES = openclipart-png=1:0.18+dfsg-19 plasma-workspace-wallpapers=4:5.27.5-2

packages:
	mkdir -p runs/packages
	cd runs/packages && apt-get download $(PACKAGES) && for file in *.deb; do dpkg-deb -x $$file . || exit 1; done

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# "make .venv" is what other build tools ask for.
.PHONY: .venv
.venv: .venv/installed-dev

.venv/bin/python:
	$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("mocotf needs Python 3.11 to 3.13; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	@$(BIN)/python tools/install.py requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt requirements-transfer.txt .venv/installed
	@$(BIN)/python tools/install.py requirements-dev.txt
	touch $@

.venv/installed-transfer: requirements-transfer.txt .venv/installed
	@$(BIN)/python tools/install.py requirements-transfer.txt
	touch $@

.venv-oldest/installed: requirements-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	@.venv-oldest/bin/python tools/install.py requirements-oldest.txt
	touch $@

.venv-trackers/installed: requirements-trackers.txt requirements.txt
	$(PYTHON) -m venv .venv-trackers
	.venv-trackers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-trackers.txt
	touch $@

.PHONY: .venv-newest/installed
.venv-newest/installed:
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check '.[all]' pytest pytest-timeout

# What tools/benchmark_*.py compare with.
peers: .venv-peers/installed

.venv-peers/installed: requirements-peers.txt
	$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python tools/install.py requirements-peers.txt
	touch $@

# The documentation as a site: out/site/index.html. Its links out of docs/ lead to REPO_URL, if that is set.
docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet --site-dir=$(SITE)

SITE ?= out/site

.venv-docs/installed: requirements-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	touch $@

clean:
	rm -rf .venv runs/demo out
