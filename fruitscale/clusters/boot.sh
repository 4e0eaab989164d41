#!/bin/bash
# Installs fruitscale from a bundle on S3 into a Python environment: boot.sh REGION BUNDLE_URI [WHEELS_URI]
# With WHEELS_URI it uses no package index. Running it again with the same bundle does nothing.
set -euo pipefail
region=$1 bundle=$2 wheels=${3:-}
target=${FRUITSCALE_HOME:-/opt/fruitscale}
if [ "$(id -u)" != 0 ] && [ ! -w "$(dirname "$target")" ]; then exec sudo bash "$0" "$@"; fi
export AWS_DEFAULT_REGION=$region PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1

exec 9>"${target%/}.lock"
flock 9
if [ "$(cat "$target/bundle" 2>/dev/null)" = "$bundle" ]; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aws s3 cp --only-show-errors --recursive "$bundle/" "$work/bundle/"
(cd "$work/bundle" && sha256sum --check --strict --quiet SHA256SUMS)

command -v python3.11 >/dev/null || dnf install --quiet --assumeyes python3.11
rm -rf "$target"
python3.11 -m venv "$target"
options=(--quiet --no-compile --require-hashes --only-binary :all:)
if [ -n "$wheels" ]; then
  aws s3 cp --only-show-errors --recursive "$wheels/" "$work/wheels/"
  options+=(--no-index --find-links "$work/wheels")
fi
"$target/bin/python" -m pip install "${options[@]}" --requirement "$work/bundle/requirements.txt"
"$target/bin/python" -m pip install --quiet --no-compile --no-deps --no-index "$work"/bundle/fruitscale-*.whl
"$target/bin/python" -m compileall -q -j 0 "$target/lib" >/dev/null || true  # on all cores; files that fail to compile are unused
cp "$work/bundle/main.py" "$target/main.py"
"$target/bin/python" -c 'import fruitscale, obstore, openvino, pyarrow, simplejpeg'
printf %s "$bundle" >"$target/bundle"
