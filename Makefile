# The only commands: .ci/run calls them too. Needs bash, cargo, and apt-get where redis-server, ip or systemd-analyze is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# How long `make soak` runs.
HOURS ?= 1
# For how many seconds all nodes of the target are away in `make soak`.
AWAY ?= 180
# How many seeds of random writes `make soak` runs, for each kind of target.
SEEDS ?= 2000

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the program: target/release/df2redis
	$(CARGO) build --release --locked -p df2redis

.PHONY: test
test: redis network ## Run every test
	$(CARGO) test --workspace --locked

.PHONY: demo
demo: redis ## Replicate into an embedded cluster, kill, restart, compare
	$(CARGO) run --release --locked -p df2redis -- demo

.PHONY: soak
soak: redis ## Kill the program over and over under load, for HOURS=1; then nodes away for minutes, SEEDS=2000 of random writes, and a check of a million keys
	KILL_LOOP_SECONDS=$$(awk 'BEGIN { printf "%d", $(HOURS) * 3600 }') \
	    $(CARGO) test --release --locked -p scenarios --test kill_loop -- --nocapture --include-ignored
	AWAY_SECONDS=$(AWAY) SPOOL_SECONDS=60 $(CARGO) test --release --locked -p scenarios --test target_durability --test guarantees_spool \
	    -- --nocapture all_nodes_away a_target_stopped_under
	WORKLOAD_SEEDS=$(SEEDS) WORKLOAD_FIRST=1000 \
	    $(CARGO) test --release --locked -p scenarios --test random_workload -- --nocapture
	$(CARGO) test --release --locked -p scenarios --test check -- --nocapture --ignored

.PHONY: bench
bench: redis ## Measure full sync and journal replay
	$(CARGO) bench --locked -p bench

.PHONY: fmt
fmt: ## Format the sources
	$(CARGO) fmt --all

.PHONY: lint
lint: ## Check format and lints, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: doc
doc: ## Build the API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

.PHONY: units
units: ## Check the systemd units and their exposure
	@.ci/units

.PHONY: ci
ci: ## What CI runs
	.ci/run

# Tests, demo and benchmark run real servers.
.PHONY: redis
redis:
	@.ci/require redis-server redis-server redis-cli

# Some tests lay out a network that loses packets; where that cannot be done they say by name that they skip.
.PHONY: network
network:
	@.ci/require iproute2 ip ss || echo "tests of a network that loses packets skip" >&2
