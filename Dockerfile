# The operator alone: a static binary and the CA certificates, nothing else to run or to update.
#
#   docker build -t atlas-integration-operator:0.1.0 .
FROM docker.io/library/rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The target is named, so that build scripts and macros, which run here, are not linked statically.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target" \
        --package atlas-integration-operator --bin atlas-integration-operator \
    && cp "target/$target/release/atlas-integration-operator" /atlas-integration-operator

FROM scratch
ARG REVISION=""
LABEL org.opencontainers.image.title="atlas-integration-operator" \
      org.opencontainers.image.description="Keeps the third-party integrations of MongoDB Atlas projects equal to AtlasIntegration objects in Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /atlas-integration-operator /atlas-integration-operator
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/atlas-integration-operator"]
