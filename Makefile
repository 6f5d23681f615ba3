# `make help` lists the targets. Everything is built from pinned lock files. The caches are outside the tree: those of
# cargo and go, and ATLAS_INTEGRATION_CACHE (by default ~/.cache/atlas-integration-operator).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
OBJECTS ?= 1000,10000
SCENARIO ?= creation
WRITE ?= docs/figures.md
FUZZ_SECONDS ?= 60
MUTANTS ?= src/core/**/*.rs src/domain/**/*.rs
MUTANTS_VERSION = 27.1.0
DENY_VERSION = 0.20.2
CYCLONEDX_VERSION = 0.5.9
BUILT = $${CARGO_TARGET_DIR:-target}/debug
IMAGE ?= atlas-integration-operator
# The image's tag. A test checks that the Dockerfile and the chart name the same version.
VERSION = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
RUST_IMAGE = $(shell sed -n 's/^FROM .* \(.*\) AS build$$/\1/p' Dockerfile)
NEEDS = command -v $(1) > /dev/null || { echo "$(1) is not on PATH: $(2)" >&2; exit 1; }
# A subcommand of cargo, in the very version that this file was written for.
SUBCOMMAND = [ "$$($(CARGO) $(1) --version 2> /dev/null | sed 's/.* //')" = "$(2)" ] || { \
	echo "cargo-$(1) $(2) is not installed: cargo install --locked cargo-$(1) --version $(2)" >&2; exit 1; }

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1: \2/'

.PHONY: tools
tools:
	@$(call NEEDS,cargo,install Rust with rustup; rust-toolchain.toml names the version)
	@$(call NEEDS,cc,install a C compiler such as gcc or clang)
	@[ -n "$${KUBEBUILDER_ASSETS:-}" ] || { $(call NEEDS,go,install Go 1.26 or newer; it builds kube-apiserver and etcd once) ; }

.PHONY: demo
demo: tools ## Show the operator at work on a real kube-apiserver and an Atlas simulator (KEEP=1: leave it running)
	@echo "Building the operator, the simulator and the demo (the first time takes some minutes) ..." >&2
	@$(CARGO) build --locked -p atlas-integration-operator -p atlas-integration-demo
	@KEEP="$(KEEP)" $(BUILT)/atlas-integration-demo

.PHONY: test
test: tools lint control-plane test-tools ## Run every check and test, with a real kube-apiserver and etcd
	# The operator is not in this build: cargo would otherwise give the simulator the crate features that only the
	# operator asks for.
	$(CARGO) test --locked -p atlas-sim -p control-plane -p atlas-integration-demo -p atlas-integration-stage
	$(CARGO) test --locked -p atlas-integration-bench
	# The model prints how many states it checked.
	$(CARGO) test --locked -p atlas-integration-model -- --nocapture --test-threads=1
	# These tests mostly wait for servers, so six run at a time, whatever the number of cores.
	$(CARGO) test --locked -p atlas-integration-operator --tests -- --test-threads=6 --skip crash:: --skip argocd::sync::
	# The examples in doc comments: a call that changes Atlas compiles with a fence, and only with one.
	$(CARGO) test --locked -p atlas-integration-operator --doc
	$(MAKE) --no-print-directory crash
	$(MAKE) --no-print-directory test-argocd
	# The tests above ran under the ClusterRole. The chart can install two other sets of rules; the tests in which these
	# could make a difference run under them as well.
	$(MAKE) --no-print-directory test-rules RULES=roles TESTS="lifecycle:: secrets:: deletion:: tenancy::"
	$(MAKE) --no-print-directory test-rules RULES=no-secret-watch TESTS="lifecycle:: secrets:: drift:: deletion:: conflict:: tenancy::"

.PHONY: test-rules
test-rules: control-plane test-tools ## Run the end-to-end tests under other rules of the chart (RULES=roles, no-secret-watch)
	RULES=$(or $(RULES),roles) $(CARGO) test --locked -p atlas-integration-operator --test e2e -- --test-threads=6 $(TESTS)

.PHONY: test-argocd
test-argocd: control-plane test-tools ## Sync with Argo CD's engine: waves, health, self-heal, prune
	$(CARGO) test --locked -p atlas-integration-operator --test e2e argocd::sync:: -- --test-threads=6

.PHONY: crash
crash: control-plane ## Inject every fault at every write (CRASH=text: only positions whose name contains the text)
	# This test starts many positions at a time, so it runs alone. It prints what it counted.
	CRASH="$(CRASH)" $(CARGO) test --locked -p atlas-integration-operator --test e2e crash:: -- --nocapture

.PHONY: chaos
chaos: tools control-plane ## Make random changes and faults, then compare Kubernetes with Atlas (SEED=7 MINUTES=5)
	CHAOS_SEED=$(or $(SEED),$$RANDOM) CHAOS_MINUTES=$(or $(MINUTES),1) \
		$(CARGO) test --locked --test e2e safety::chaos::churn -- --exact

.PHONY: attack
attack: tools control-plane test-tools ## Make every attack of docs/attacks.md, and print which held
	@CARGO="$(CARGO)" scripts/attack.sh

.PHONY: fuzz
fuzz: tools ## Run the tests' fuzz targets from new seeds, each for FUZZ_SECONDS (60)
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --locked -p atlas-integration-operator --lib fuzz:: -- --nocapture --test-threads=2

.PHONY: scrub
scrub: tools ## Hide secrets in a million texts, in parts and spellings, and look for what is left (SCRUB_TEXTS, SCRUB_SEED)
	# The operator's own crate is optimised: a debug build takes ten times as long.
	SCRUB_TEXTS=$(or $(SCRUB_TEXTS),1000000) SCRUB_SEED=$(or $(SCRUB_SEED),$$RANDOM) \
		$(CARGO) test --locked -p atlas-integration-operator --lib \
		--config 'profile.dev.package.atlas-integration-operator.opt-level=2' \
		atlas::scrub::tests::no_part_of_a_secret -- --nocapture

.PHONY: model
model: tools ## Check the model in larger worlds than `make test` does; this takes much time and memory
	MODEL_BUDGET=large $(CARGO) test --locked --release -p atlas-integration-model -- --nocapture --test-threads=1

.PHONY: mutants
mutants: tools ## List changes of the decisions that no unit test notices (MUTANTS="src/core/plan.rs": only these files)
	@$(call SUBCOMMAND,mutants,$(MUTANTS_VERSION))
	mkdir -p target
	$(CARGO) mutants --package atlas-integration-operator $(foreach file,$(MUTANTS),--file '$(file)') --output target -- --lib

.PHONY: bench
bench: tools control-plane ## Measure time, memory and requests (OBJECTS=1000,10000 SCENARIO=creation); write docs/figures.md
	# Scenarios are creation, lists, edits, memory, tenants, namespaces and attacks, several with commas between. BENCH has the
	# further flags of the measuring program, such as BENCH="--foreign 10000"; WRITE is another file than docs/figures.md.
	# The binary is linked like the one in the image. With a named target, build scripts and macros are not.
	host="$$(rustc -vV | sed -n 's/^host: //p')"; \
	RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
		$(CARGO) build --locked --release --target "$$host" -p atlas-integration-operator -p atlas-integration-bench; \
	"$${CARGO_TARGET_DIR:-target}/$$host/release/atlas-integration-bench" --scenario $(SCENARIO) --objects $(OBJECTS) $(BENCH) \
		--write $(WRITE)

.PHONY: lint
lint: tools ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings

.PHONY: control-plane
control-plane: tools ## Build kube-apiserver, etcd, kubectl and kube-controller-manager once; print their folder
	@$(CARGO) build --locked --quiet -p control-plane
	@$(BUILT)/control-plane build

.PHONY: test-tools
test-tools: tools ## Build the tests' other tools (Helm, kstatus, Flux, Argo CD, kwok, linters) once; print their paths
	@$(CARGO) build --locked --quiet -p control-plane
	@$(BUILT)/control-plane tools

.PHONY: generate
generate: tools ## Regenerate crds/, the chart's README and CRD, docs/reference.md, docs/errors.md, argocd-cm.yaml
	UPDATE=1 $(CARGO) test --locked --quiet --test generated

.PHONY: audit
audit: ## Look up advisories and withdrawn versions of all crates, and check licences (needs GitHub; docs/image.md)
	@$(call SUBCOMMAND,deny,$(DENY_VERSION))
	# The crates of the tests run on our machines too.
	$(CARGO) deny --locked --workspace check advisories licenses sources
	# A crate in two versions is bad for the image alone.
	$(CARGO) deny --locked --exclude-dev check bans

.PHONY: build
build: tools ## Build the release binary
	$(CARGO) build --locked --release

.PHONY: image
image: ## Build the image for amd64 and arm64 into target/image (BASE=IMAGE: compile in this one, as docs/image.md says)
	@$(call NEEDS,buildah,install Debian's package buildah; with Docker see docs/image.md)
	scripts/image.sh $(IMAGE) $(VERSION) $(BASE)

.PHONY: sbom
sbom: ## Write the image's bill of materials (CycloneDX), one for each architecture, into target/sbom
	@$(call SUBCOMMAND,cyclonedx,$(CYCLONEDX_VERSION))
	CARGO="$(CARGO)" scripts/sbom.sh

.PHONY: image-base
image-base: ## Make a stand-in for the image in the Dockerfile's FROM, where its registry can't be reached (as root)
	@$(call NEEDS,buildah,install Debian's package buildah)
	@$(call NEEDS,debootstrap,install Debian's package debootstrap)
	@$(call NEEDS,rustup,install Rust with rustup)
	scripts/image-base.sh '$(RUST_IMAGE)'

.PHONY: image-check
image-check: control-plane test-tools ## Inspect, run and push the image of `make image`, both architectures, with the chart (as root)
	@$(call NEEDS,skopeo,install Debian's package skopeo)
	@$(call NEEDS,docker-registry,install Debian's package docker-registry)
	@$(call NEEDS,qemu-aarch64-static,install Debian's package qemu-user-static)
	$(CARGO) test --locked -p atlas-integration-operator --test image -- --ignored --nocapture --test-threads=1
