# Everything a developer runs. Needs Python 3.11, 3.12 or 3.13, make and git; each target makes
# the environments it needs and remakes one when its lock file or the interpreter changes.

# The interpreter: PYTHON=python3.13 picks one; else the one that .venv has, else the first that fits.
probe = $(1) -c 'import sys; print(sys._base_executable if (3, 11) <= sys.version_info < (3, 14) else "")' 2>/dev/null
ifdef PYTHON
  INTERPRETER := $(shell $(call probe,$(PYTHON)))
else
  INTERPRETER := $(shell for name in .venv/bin/python python3 python3.13 python3.12 python3.11; do \
                   found=$$($(call probe,$$name)) && [ -n "$$found" ] && echo "$$found" && break; done)
endif
VERSION := $(if $(INTERPRETER),$(shell "$(INTERPRETER)" -c 'import sys; print("%d.%d" % sys.version_info[:2])'))

# Passed on to the tool that a target runs: make test ARGS="-k denied -x".
ARGS ?=
# What make bench measures: mailer or sweep.
BENCH ?= mailer

export SAM_CLI_TELEMETRY := 0
MAKEFLAGS += --no-print-directory

say = @printf '\n\033[1m» %s\033[0m\n' "$(1)"
# Locks are complete, so nothing is resolved; what is installed is what their hashes name.
PIP := -m pip install -qq --disable-pip-version-check --no-deps
COMPILE := .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo sandbox test test-e2e simulation faults bench lint format types contract template audit audit-environment docs build lock pr clean interpreter environments

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-14s%s\n", $$1, $$2}'

# --- environments -------------------------------------------------------------------------

# A stamp's name says what its environment was made from, and where.
stamp = $(1)/made-for-$(VERSION)-$(shell { pwd; cat $(2); } 2>/dev/null | cksum | cut -d' ' -f1)
DEV := $(call stamp,.venv,requirements/dev.txt)
SAM := $(call stamp,.venv-sam,requirements/sam.txt)
SANDBOX := $(call stamp,.venv-sandbox,requirements/sandbox.txt)
AUDIT := $(call stamp,.venv-audit,requirements/audit.txt)
AWS := $(call stamp,.venv-aws,requirements/aws-cli.txt)
LOCK := $(call stamp,.venv-lock,requirements/lock.txt)

interpreter:
	@[ -n "$(INTERPRETER)" ] || { \
	  echo 'MFA Watcher needs Python 3.11, 3.12 or 3.13, and $(or $(PYTHON),no python3 found here) is none or does not start.'; \
	  echo 'Name one: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.13'; exit 1; }

# Make environment $(1) from lock file $(2), then run pip once more with $(3), if given.
define make_environment
	@began=$$(date +%s); printf '  %-14s …\n' $(1); \
	rm -rf $(1) && "$(INTERPRETER)" -m venv $(1) \
	  && $(1)/bin/python $(PIP) --require-hashes --requirement $(2) \
	  $(if $(3),&& $(1)/bin/python $(PIP) $(3)) \
	  && printf '  %-14s ready after %s s\n' $(1) $$(($$(date +%s) - began))
	@touch $@
endef

$(DEV): | interpreter
	$(call make_environment,.venv,requirements/dev.txt,--no-build-isolation --editable .)

$(SAM): | interpreter
	$(call make_environment,.venv-sam,requirements/sam.txt)

$(SANDBOX): | interpreter
	$(call make_environment,.venv-sandbox,requirements/sandbox.txt)

$(AWS): | interpreter
	$(call make_environment,.venv-aws,requirements/aws-cli.txt)
	@.venv-aws/bin/python tools/unpack_aws_cli.py

$(AUDIT): | interpreter
	$(call make_environment,.venv-audit,requirements/audit.txt)

$(LOCK): | interpreter
	$(call make_environment,.venv-lock,requirements/lock.txt)

# Those that are missing or out of date are made at the same time.
ENVIRONMENTS := $(DEV) $(SAM) $(SANDBOX)
MISSING := $(filter-out $(wildcard $(ENVIRONMENTS)),$(ENVIRONMENTS))

environments: | interpreter
ifneq ($(MISSING),)
	$(call say,Making the environments with Python $(VERSION); this takes a minute or two)
	@( seconds=0; while sleep 10 >/dev/null && kill -0 $$$$ 2>/dev/null; do seconds=$$((seconds + 10)); \
	  printf '  %-14s %s packages installed\n' "$$seconds s" \
	    "$$(ls -d .venv*/lib/python*/site-packages/*.dist-info 2>/dev/null | wc -l)"; done ) & progress=$$!; \
	$(MAKE) --jobs=3 $(MISSING); code=$$?; kill $$progress; exit $$code
endif

setup: environments ## Make all environments now
	$(call say,Ready: Python $(VERSION) in .venv .venv-sam .venv-sandbox)

# --- seeing it ----------------------------------------------------------------------------

demo: environments ## Run the whole story on this machine: no AWS account, no Docker
	@.venv/bin/python -m sandbox demo $(ARGS)

sandbox: environments ## Keep an emulated account with the watcher running, for your own AWS CLI
	@.venv/bin/python -m sandbox up $(ARGS)

# --- checking it --------------------------------------------------------------------------

test: $(DEV) ## Run the tests, but those of the deployed sandbox
	$(call say,Tests; those of the deployed sandbox (e2e) are in make test-e2e)
	@.venv/bin/python -m pytest --numprocesses=auto --dist=worksteal $(ARGS)

test-e2e: environments $(AWS) ## Run the tests of the product as it is deployed into the sandbox
	$(call say,Tests of the deployed sandbox)
	@.venv/bin/python -m pytest --numprocesses=2 tests/e2e $(ARGS)

simulation: $(DEV) ## Play a month with 1,000 users, and 10,000 walks on all cores; SIMULATION_SEED=2 plays others
	@case "$${SIMULATION_SEED:-1}$${SIMULATED_WALKS:-1}$${SIMULATED_USERS:-1}" in *[!0-9]*) \
	  echo 'SIMULATION_SEED, SIMULATED_WALKS and SIMULATED_USERS are whole numbers.'; exit 2;; esac
	$(call say,A month)
	@SIMULATED_USERS=$${SIMULATED_USERS:-1000} .venv/bin/python -m pytest tests/simulation --numprocesses=0 --quiet $(ARGS)
	$(call say,Random walks through the change request)
	@.venv/bin/python -m tests.simulation.many_walks --walks $${SIMULATED_WALKS:-10000} --seeds $${SIMULATION_SEED:-1}

faults: $(DEV) ## Break the product on purpose, one fault at a time: a test must notice; ARGS="-k word"
	@.venv/bin/python tools/run_faults.py $(ARGS)

bench: $(DEV) ## Measure the mailer, or with BENCH=sweep the sweep; ARGS=--help says what to set beside
	@.venv/bin/python -m benchmarks.$(BENCH) $(ARGS)

lint: $(DEV) ## Check style and format
	$(call say,Format and style)
	@.venv/bin/ruff format --check
	@.venv/bin/ruff check

format: $(DEV) ## Put format and style right, where a tool can
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

types: $(DEV) ## Check types
	$(call say,Types)
	@.venv/bin/mypy

contract: $(DEV) ## Check that imports point one way
	$(call say,Import contract)
	@.venv/bin/lint-imports

template: $(SAM) ## Check the templates of hub and forwarder, and the nested ones
	$(call say,Templates)
	@.venv-sam/bin/sam validate --lint --region us-east-1
	@.venv-sam/bin/cfn-lint --regions us-east-1 us-gov-west-1 -- template.yaml alarms.yaml guard-policy.yaml tampering.yaml
	@.venv-sam/bin/cfn-lint --regions us-east-1 us-east-2 eu-north-1 ap-southeast-2 us-gov-west-1 us-gov-east-1 -- forwarder.yaml

audit-environment: $(AUDIT)

# The tests in tests/audit need checkov's environment, which has none of the product's packages.
audit: $(AUDIT) $(SAM) ## Check the templates with checkov, policy_sentry and AWS's quotas
	$(call say,Templates: a second opinion)
	@.venv-audit/bin/python -m pytest tests/audit --noconftest -p no:cacheprovider -W default --quiet $(ARGS)

docs: $(DEV) ## Write the page of parameters anew from the templates
	@.venv/bin/python -m tools.parameter_table

pr: lint types contract template audit test test-e2e ## Everything a change must pass

# --- shipping it --------------------------------------------------------------------------

build: $(SAM) ## Build for deployment; then: .venv-sam/bin/sam deploy --guided
	$(call say,Layers and functions)
	@find functions -name __pycache__ -prune -exec rm -rf {} +
	@PYTHON="$(INTERPRETER)" .venv-sam/bin/sam build $(ARGS)

lock: $(LOCK) ## Write the lock files anew; ARGS=--upgrade takes the newest releases
	@for name in layers/dependencies/requirements requirements/dev requirements/sam requirements/sandbox requirements/audit requirements/lock requirements/aws-cli; do \
	  case $$name in */aws-cli) only=--no-deps;; *) only=;; esac; \
	  echo "$$name.txt"; $(COMPILE) $(ARGS) $$only $$name.in --output-file $$name.txt >/dev/null || exit 1; done
	@! grep -nE '://|file:' layers/dependencies/requirements.txt requirements/*.txt

clean: ## Remove what the other targets made
	rm -rf .venv .venv-* .aws-sam .sandbox .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
