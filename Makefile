# `make demo` and `make test` do all of their own set-up, in this folder alone: .venv-demo and .venv.
PY := .venv/bin/python
# Most tests wait for processes and servers, so there may be more workers than cores.
# A file's tests stay together.
TESTS := $(PY) -m pytest -q -n 4 --dist loadfile
SOURCES := src tests benchmarks demo standins tools entrypoint.py post_entrypoint.py command_entrypoint.py
FILES := git ls-files -z --cached --others --exclude-standard --
WORKFLOWS := .github/workflows/*.yml
EXAMPLES := $(filter-out %-ci.yml %-pipelines.yml %/kestra-before.yml, $(wildcard docs/examples/*.yml docs/examples/*/*.yml))
SCRIPTS := .ci/run tools/setup tools/lock tools/e2e/run tools/e2e/engine tools/e2e/contents tools/preview/run

MUTANTS ?=

.PHONY: help setup demo demo-account test test-slow test-all mutants check format e2e bench preview pictures lock clients clean

help: ## what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: ## the virtual environment .venv
	@tools/setup

demo: ## a job of the emulator is triggered, fails, is retried and published; touches no account
	@tools/setup .venv-demo requirements/demo.txt
	@.venv-demo/bin/python -m demo

demo-account: ## the same with a job of your account, which it names before it starts it (DBT_CLOUD_API_TOKEN, …)
	@tools/setup .venv-demo requirements/demo.txt
	@.venv-demo/bin/python -m demo --account

test: setup ## the tests that take less than five minutes
	$(TESTS) -m "not slow and not container"

test-slow: setup ## the other ones, without those that need a container engine
	$(TESTS) --no-loadscope-reorder -m "slow and not container"

test-all: setup ## both
	$(TESTS) -m "not container"

mutants: setup ## change what decides, and see whether tests notice: three hours at most, or MUTANTS="retry ledger" alone
	$(PY) tools/mutants/run.py $(MUTANTS)

check: setup ## linters, types, workflow schemas, spelling; licences and known vulnerabilities of the image's packages
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy src demo standins tools benchmarks entrypoint.py post_entrypoint.py command_entrypoint.py --exclude '^benchmarks/clients/'
	.venv/bin/hadolint Dockerfile
	$(PY) -m tools.docs --check
	.venv/bin/actionlint -shellcheck .venv/bin/shellcheck -ignore '"post-if" is not allowed' -ignore 'does not exist in' \
	  $(WORKFLOWS) $(EXAMPLES)
	.venv/bin/zizmor --offline --quiet --no-progress .github action.yml
	.venv/bin/zizmor --offline --quiet --no-progress --config tools/zizmor-examples.yml $(EXAMPLES)
	$(PY) -m check_jsonschema -q --builtin-schema vendor.github-actions action.yml
	$(PY) -m check_jsonschema -q --builtin-schema vendor.github-workflows $(WORKFLOWS) $(EXAMPLES)
	$(PY) -m check_jsonschema -q --builtin-schema vendor.dependabot .github/dependabot.yml
	$(PY) -m check_jsonschema -q --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(FILES) '*.yml' '*.yaml' | xargs -0 $(PY) -m yamllint --strict
	.venv/bin/shellcheck $(SCRIPTS)
	$(FILES) | xargs -0 $(PY) -m codespell_lib --dictionary - --dictionary tools/words.txt
	$(PY) tools/licences.py
	$(PY) tools/vulnerabilities.py

format: setup ## let ruff format and sort
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

e2e: setup ## build the image and let act and plain docker run it; fails where Docker cannot start (tools/e2e/run: status 75)
	@tools/e2e/run

bench: setup ## measure, and say where the results are
	$(PY) -m benchmarks

preview: setup ## pictures of the summary, made in a browser
	@tools/preview/run

pictures: setup ## take the pictures of the documents again, of real runs: about three minutes
	@tools/preview/run pictures

clients: setup ## point ten clients of other projects at the emulator, and print their calls
	@$(PY) tests/manual/clients.py

lock: ## write requirements/*.txt again from pyproject.toml
	@tools/lock

clean: ## remove everything that make has made
	rm -rf .venv .venv-* .mutants build dist demo-output preview .mypy_cache .pytest_cache .ruff_cache .hypothesis
