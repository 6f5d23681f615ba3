#!/usr/bin/env bash
# Makes a stand-in for the image that the Dockerfile builds in, of Debian's packages and rustup's compiler, for machines
# that can't reach that image's registry (`make image-base`, docs/image.md). Needs root.
#
#     scripts/image-base.sh IMAGE
#
# The tag of that image names what goes into the stand-in: the compiler's version first, Debian's release last.
set -euo pipefail
image="${1%@*}"
version="${image##*:}"
version="${version%%-*}"
release="${image##*-}"

container="$(buildah from scratch)"
trap 'buildah rm "$container" > /dev/null' EXIT
root="$(buildah mount "$container")"
debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev "$release" "$root"
mkdir -p "$root"/usr/local/cargo/bin
cp -L "$(command -v rustup)" "$root"/usr/local/cargo/bin/
for name in cargo rustc; do
	ln -s rustup "$root/usr/local/cargo/bin/$name"
done
export RUSTUP_HOME="$root"/usr/local/rustup
rustup toolchain install --no-self-update --profile minimal \
	--target x86_64-unknown-linux-gnu --target aarch64-unknown-linux-gnu "$version"
rustup default "$version"
cp /etc/ssl/certs/ca-certificates.crt "$root"/usr/local/cargo/
buildah config --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo \
	--env CARGO_HTTP_CAINFO=/usr/local/cargo/ca-certificates.crt \
	--env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
image="localhost/${image##*/}"
buildah commit "$container" "$image"
echo "build with it by: make image BASE=$image"
