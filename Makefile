# `make help` lists the targets. Everything is built from pinned lock files; caches live outside the tree
# (ATLAS_INTEGRATION_CACHE, by default ~/.cache/atlas-integration-operator, and those of cargo and go).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
OBJECTS ?= 1000,10000
FUZZ_SECONDS ?= 60
BUILT = $${CARGO_TARGET_DIR:-target}/debug
IMAGE ?= atlas-integration-operator
# The tag; a test keeps it equal to what the Dockerfile and the chart say.
VERSION = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
RUST_IMAGE = $(shell sed -n 's/^FROM .* \(.*\) AS build$$/\1/p' Dockerfile)
NEEDS = command -v $(1) > /dev/null || { echo "$(1) is not on PATH: $(2)" >&2; exit 1; }

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
test: tools lint control-plane test-tools ## Run every check and test, on real parts
	# Without the operator in the build, so that its features of shared crates are not those of the simulator's tests.
	$(CARGO) test --locked -p atlas-sim -p control-plane -p atlas-integration-demo -p atlas-integration-stage
	# It prints how much it checked.
	$(CARGO) test --locked -p atlas-integration-model -- --nocapture --test-threads=1
	# These mostly wait for servers, so more of them run at a time than there are cores.
	$(CARGO) test --locked -p atlas-integration-operator --tests -- --test-threads=6 --skip crash:: --skip argocd::sync::
	$(MAKE) --no-print-directory crash
	$(MAKE) --no-print-directory test-argocd
	# The suite ran under the ClusterRole; of what differs under the chart's other rules, the main ways.
	$(MAKE) --no-print-directory test-rules RULES=roles TESTS="lifecycle:: secrets:: deletion:: tenancy::"
	$(MAKE) --no-print-directory test-rules RULES=no-secret-watch TESTS="lifecycle:: secrets:: drift:: deletion:: conflict:: tenancy::"

.PHONY: test-rules
test-rules: control-plane test-tools ## Run the end-to-end tests under other rules of the chart (RULES=roles, no-secret-watch)
	RULES=$(or $(RULES),roles) $(CARGO) test --locked -p atlas-integration-operator --test e2e -- --test-threads=6 $(TESTS)

.PHONY: test-argocd
test-argocd: control-plane test-tools ## Sync with Argo CD's engine: waves, health, self-heal, prune
	$(CARGO) test --locked -p atlas-integration-operator --test e2e argocd::sync:: -- --test-threads=6

.PHONY: crash
crash: control-plane ## Let every write meet every fault (CRASH=text: where the position's name has this text in it)
	# By itself, and many positions at a time: it says what it counted.
	CRASH="$(CRASH)" $(CARGO) test --locked -p atlas-integration-operator --test e2e crash:: -- --nocapture

.PHONY: chaos
chaos: tools control-plane ## Churn at random, then compare Kubernetes with Atlas, secrets too (SEED=7 MINUTES=5)
	CHAOS_SEED=$(or $(SEED),$$RANDOM) CHAOS_MINUTES=$(or $(MINUTES),1) \
		$(CARGO) test --locked --test e2e safety::chaos::churn -- --exact

.PHONY: fuzz
fuzz: tools ## Run the fuzz targets of the tests from other seeds, each for FUZZ_SECONDS (60)
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --locked -p atlas-integration-operator --lib fuzz:: -- --nocapture --test-threads=2

.PHONY: model
model: tools ## Check the model in larger worlds than `make test` does; takes much time and memory
	MODEL_BUDGET=large $(CARGO) test --locked --release -p atlas-integration-model -- --nocapture --test-threads=1

.PHONY: bench
bench: tools control-plane ## Measure time, memory and requests beside a floor (OBJECTS=1000,10000); write docs/figures.md
	# Linked as the image's binary is. A named target keeps that from build scripts and macros.
	host="$$(rustc -vV | sed -n 's/^host: //p')"; \
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --locked --release --target "$$host" \
		-p atlas-integration-operator -p atlas-integration-bench; \
	"$${CARGO_TARGET_DIR:-target}/$$host/release/atlas-integration-bench" --objects $(OBJECTS) --write docs/figures.md

.PHONY: lint
lint: tools ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings

.PHONY: control-plane
control-plane: tools ## Build kube-apiserver, etcd, kubectl and kube-controller-manager once; print their folder
	@$(CARGO) build --locked --quiet -p control-plane
	@$(BUILT)/control-plane build

.PHONY: test-tools
test-tools: tools ## Build what else the tests run (Helm, kstatus, Flux, Argo CD, kwok, linters) once; print their paths
	@$(CARGO) build --locked --quiet -p control-plane
	@$(BUILT)/control-plane tools

.PHONY: generate
generate: tools ## Write generated files anew: crds/, the chart's README and CRD, docs/reference.md, docs/errors.md, argocd-cm.yaml
	UPDATE=1 $(CARGO) test --locked --quiet --test generated

.PHONY: build
build: tools ## Build the release binary
	$(CARGO) build --locked --release

.PHONY: image
image: ## Build the image for amd64 and arm64 into target/image (as root where containers can't run: BUILDAH_ISOLATION=chroot)
	@$(call NEEDS,buildah,install Debian's package buildah; with Docker see docs/image.md)
	@buildah manifest rm $(IMAGE):$(VERSION) > /dev/null 2>&1 || true
	@# Times, labels and the order in the list depend on the commit alone, so that the same commit makes the same digest.
	time="$$(git log -1 --format=%ct)"; \
	for architecture in amd64 arm64; do \
		buildah build --pull=false --manifest $(IMAGE):$(VERSION) --platform linux/$$architecture \
			--build-arg BUILDPLATFORM="linux/$$(buildah info --format '{{.host.arch}}')" \
			--timestamp "$$time" --build-arg SOURCE_DATE_EPOCH="$$time" \
			--label org.opencontainers.image.created="$$(date --utc --date="@$$time" +%FT%TZ)" \
			--label org.opencontainers.image.revision="$$(git rev-parse HEAD)" .; \
	done
	mkdir -p target && rm -rf target/image
	buildah manifest push --all $(IMAGE):$(VERSION) oci:target/image:$(VERSION)

.PHONY: image-base
image-base: ## Where the registry of the Dockerfile's FROM can't be reached: make that image of Debian's packages (as root)
	@$(call NEEDS,buildah,install Debian's package buildah)
	@$(call NEEDS,debootstrap,install Debian's package debootstrap)
	@$(call NEEDS,rustup,install Rust with rustup)
	image='$(RUST_IMAGE)'; version="$${image##*:}"; version="$${version%%-*}"; \
	container="$$(buildah from scratch)"; root="$$(buildah mount "$$container")"; \
	trap 'buildah rm "$$container" > /dev/null' EXIT; \
	debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev "$${image##*-}" "$$root"; \
	mkdir -p "$$root"/usr/local/cargo/bin; \
	cp -L "$$(command -v rustup)" "$$root"/usr/local/cargo/bin/; \
	for name in cargo rustc; do ln -s rustup "$$root"/usr/local/cargo/bin/$$name; done; \
	RUSTUP_HOME="$$root"/usr/local/rustup rustup toolchain install --no-self-update --profile minimal \
		--target x86_64-unknown-linux-gnu --target aarch64-unknown-linux-gnu "$$version"; \
	RUSTUP_HOME="$$root"/usr/local/rustup rustup default "$$version"; \
	cp /etc/ssl/certs/ca-certificates.crt "$$root"/usr/local/cargo/; \
	buildah config --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo \
		--env CARGO_HTTP_CAINFO=/usr/local/cargo/ca-certificates.crt \
		--env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$$container"; \
	buildah commit "$$container" "$$image"

.PHONY: image-check
image-check: control-plane test-tools ## Inspect, run and push what `make image` built: both architectures, chart beside it (as root)
	@$(call NEEDS,skopeo,install Debian's package skopeo)
	@$(call NEEDS,docker-registry,install Debian's package docker-registry)
	@$(call NEEDS,qemu-aarch64-static,install Debian's package qemu-user-static)
	$(CARGO) test --locked -p atlas-integration-operator --test image -- --ignored --nocapture --test-threads=1
