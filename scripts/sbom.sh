#!/usr/bin/env bash
# Writes which crates are in the image, as CycloneDX, one file for each architecture (`make sbom`, docs/image.md).
#
#     scripts/sbom.sh
#
# cargo-cyclonedx writes beside each Cargo.toml, so it works on a copy of the commit.
set -euo pipefail
cd "$(dirname "$0")/.."
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
git archive HEAD | tar --extract --directory "$copy"
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
export SOURCE_DATE_EPOCH
mkdir -p target/sbom
for architecture in amd64:x86_64 arm64:aarch64; do
	target="${architecture#*:}-unknown-linux-gnu"
	"${CARGO:-cargo}" cyclonedx --quiet --format json --spec-version 1.5 --target "$target" \
		--manifest-path "$copy/Cargo.toml" --override-filename sbom
	mv "$copy/sbom.json" "target/sbom/${architecture%:*}.cdx.json"
	echo "target/sbom/${architecture%:*}.cdx.json"
done
