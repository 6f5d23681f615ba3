#!/usr/bin/env bash
# Builds the image for amd64 and arm64 into target/image, as an OCI layout (`make image`, docs/image.md).
#
#     scripts/image.sh NAME VERSION [BASE]
#
# BASE is an image on this machine to compile in, in place of the one that the Dockerfile names by its digest.
set -euo pipefail
cd "$(dirname "$0")/.."
image="$1:$2"
base=()
if [ -n "${3:-}" ]; then
	echo "compiling in $3: use this image to try out the build, and do not publish what it makes" >&2
	base=(--build-context "$(sed -n 's/^FROM .* \(.*\) AS build$/\1/p' Dockerfile)=container-image://$3")
fi

buildah manifest rm "$image" > /dev/null 2>&1 || true
# Times, labels and the order in the list depend on the commit alone, so that the same commit makes the same digest.
time="$(git log -1 --format=%ct)"
for architecture in amd64 arm64; do
	buildah build --pull=false "${base[@]}" --manifest "$image" --platform "linux/$architecture" \
		--build-arg BUILDPLATFORM="linux/$(buildah info --format '{{.host.arch}}')" \
		--timestamp "$time" --build-arg SOURCE_DATE_EPOCH="$time" \
		--label org.opencontainers.image.created="$(date --utc --date="@$time" +%FT%TZ)" \
		--label org.opencontainers.image.revision="$(git rev-parse HEAD)" .
done
mkdir -p target
rm -rf target/image
buildah manifest push --all "$image" "oci:target/image:$2"
