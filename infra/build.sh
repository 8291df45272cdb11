#!/usr/bin/env bash
# Builds the images of infra/Dockerfile, and says what is in them.
#
#   infra/build.sh lock              # write infra/locks anew, with the versions of requirements/
#   infra/build.sh image cpu TAG     # or gpu; PUSH=1 pushes it
#   infra/build.sh sbom gpu FILE     # CycloneDX, from the lock that the image is made of
#
# PYTHON_DIGEST=sha256:… names the base image; without it the registry is asked, and
# the answer printed, to be kept with the release.
set -euo pipefail
cd "$(dirname "$0")/.."

BIN=${BIN:-.venv/bin}
PYTHON_IMAGE=${PYTHON_IMAGE:-docker.io/library/python:3.12-slim-bookworm}
LOCKS=infra/locks
# Packages that differ between the images, and what only CUDA needs.
CUDA='^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)=='

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 2
}

compile() {
    "$BIN/uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --python-version 3.12 --python-platform x86_64-unknown-linux-gnu \
        --constraint "$LOCKS/versions.tmp" "$@"
}

# Drops the packages whose name matches $1, with their lines of hashes.
without() {
    awk -v names="$1" '/^[^ ]/ { keep = $1 !~ names } keep'
}

lock() {
    mkdir -p "$LOCKS"
    trap 'rm -f "$LOCKS"/*.tmp' EXIT
    # The versions that the tests have seen, without their hashes.
    sed -n 's/^\([A-Za-z0-9._-]*==[^\\]*\).*/\1/p' requirements/dev.txt >"$LOCKS/versions.tmp"
    compile --extra retinaface --override requirements/overrides.txt pyproject.toml \
        --output-file "$LOCKS/gpu.tmp"
    mv "$LOCKS/gpu.tmp" "$LOCKS/gpu.txt"
    without "$CUDA" <"$LOCKS/gpu.txt" >"$LOCKS/cpu.txt"
    grep -oE '^(torch|torchvision)==[^ ]+' "$LOCKS/gpu.txt" >"$LOCKS/torch.tmp"
    "$BIN/uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --no-deps --torch-backend cpu --python-version 3.12 \
        --python-platform x86_64-unknown-linux-gnu "$LOCKS/torch.tmp" \
        --output-file "$LOCKS/torch-cpu.txt" ||
        fail "torch's wheels for CPUs cannot be locked from here" "run it where their index is reached"
}

digest() {
    docker buildx imagetools inspect "$PYTHON_IMAGE" --format '{{.Manifest.Digest}}' ||
        fail "no digest of $PYTHON_IMAGE" "give it: PYTHON_DIGEST=sha256:…"
}

image() {
    local target=$1 tag=$2
    [ "$target" = gpu ] || [ -e "$LOCKS/torch-cpu.txt" ] ||
        fail "torch for CPUs is not locked" "infra/build.sh lock"
    local base=${PYTHON_DIGEST:-$(digest)} output=docker
    [ -z "${PUSH:-}" ] || output=registry
    echo "base image: $PYTHON_IMAGE@$base" >&2
    docker buildx build --file infra/Dockerfile --target "$target" --tag "$tag" \
        --build-arg PYTHON_IMAGE="$PYTHON_IMAGE" --build-arg PYTHON_DIGEST="$base" \
        --provenance=mode=max --sbom=true --output="type=$output" .
}

sbom() {
    local target=$1 file=$2
    local lock="$LOCKS/$target.txt"
    [ -e "$lock" ] || fail "no such lock: $lock" "infra/build.sh lock"
    "$BIN/cyclonedx-py" requirements "$lock" --pyproject pyproject.toml --mc-type application \
        --output-reproducible --of JSON --output-file "$file"
}

case "${1:-} ${2:-} $#" in
"lock  1") lock ;;
"image cpu 3" | "image gpu 3") image "$2" "$3" ;;
"sbom cpu 3" | "sbom gpu 3") sbom "$2" "$3" ;;
*) fail "a verb is expected" "$0 lock | image cpu|gpu TAG | sbom cpu|gpu FILE" ;;
esac
