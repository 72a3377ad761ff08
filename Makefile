# The only commands: .ci/run calls them too. Needs bash, cargo, and apt-get where redis-server is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the program: target/release/df2redis
	$(CARGO) build --release --locked -p df2redis

.PHONY: test
test: redis ## Run every test
	$(CARGO) test --workspace --locked

.PHONY: demo
demo: redis ## Replicate into an embedded cluster, kill, restart, compare
	$(CARGO) run --release --locked -p df2redis -- demo

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

.PHONY: ci
ci: ## What CI runs
	.ci/run

# Tests, demo and benchmark run real servers.
.PHONY: redis
redis:
	@.ci/require-redis
