# The operator alone: a static binary and the CA certificates, nothing else to run or to update (docs/image.md).
#
#   docker build --tag atlas-integration-operator:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 --tag REGISTRY/atlas-integration-operator:0.1.0 --push .
#
# The compiler is the one of rust-toolchain.toml. A tag can be moved, so the digest alone decides what is pulled: that of
# the list of all architectures (docs/image.md says how to find another one). The compiler runs on the builder's own
# architecture and compiles for the other one: emulated, it would take many times as long.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
ARG TARGETARCH
# No versions of packages: Debian serves a version only until its next fix.
RUN case "$TARGETARCH" in \
        amd64) cpu=x86_64 gcc=gcc-x86-64-linux-gnu ;; \
        arm64) cpu=aarch64 gcc=gcc-aarch64-linux-gnu ;; \
        *) echo "no image is made for the architecture '$TARGETARCH', only for amd64 and arm64" >&2; exit 1 ;; \
    esac \
    && if [ "$TARGETARCH" = "$(dpkg --print-architecture)" ]; then cross=""; else cross="$gcc libc6-dev-$TARGETARCH-cross"; fi \
    && apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev $cross \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$cpu-unknown-linux-gnu" \
    && echo "$cpu" > /cpu
WORKDIR /src
COPY . .
# The target is named even where it is the builder's own, so that build scripts and macros, which run here, are not
# linked statically. Packed relocations save 0.4 MiB of memory; a linker that does not know them for the architecture
# ignores the option.
RUN cpu="$(cat /cpu)" \
    && export RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs -C linker=$cpu-linux-gnu-gcc" \
    && cargo build --locked --release --target "$cpu-unknown-linux-gnu" \
        --package atlas-integration-operator --bin atlas-integration-operator \
    && mkdir -p /image/etc/ssl/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && cp "target/$cpu-unknown-linux-gnu/release/atlas-integration-operator" /image/
# Times of files that depend on nothing but the source, so that the same source makes the same layer.
ARG SOURCE_DATE_EPOCH=0
RUN find /image -exec touch --date="@$SOURCE_DATE_EPOCH" {} +

FROM scratch
LABEL org.opencontainers.image.title="atlas-integration-operator" \
      org.opencontainers.image.description="Keeps the third-party integrations of MongoDB Atlas projects equal to AtlasIntegration objects in Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /image/ /
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/atlas-integration-operator"]
