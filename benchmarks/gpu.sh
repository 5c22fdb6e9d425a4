#!/usr/bin/env bash
# Run the tests that need a GPU and measure the speed there: bash benchmarks/gpu.sh
# With --small it only tries everything at small sizes, on any machine. See benchmarks/README.md.
#
# Needs a Python 3.12 (PYTHON=..., or python3) with torch for CUDA, numpy, scipy, numba, h5py, safetensors, pandas, pyarrow,
# pyyaml, transformers and pytest; no network. What else is imported comes as wheels in benchmarks/wheels (or $WHEELS), which
# git ignores. Fill it where there is a network, from the project's folder:
#
#     python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
#         --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
#         --dest benchmarks/wheels --requirement benchmarks/requirements-gpu.txt
#
# The wheels are installed without their dependencies into a temporary folder. The Python and its torch stay as they are.
# Writes gpu.json and gpu.txt to $OUT, or else to benchmarks/. The exit status is 1 if a test failed or a figure is missing.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
out=${OUT:-benchmarks}
folder=${WHEELS:-benchmarks/wheels}
wheels=("$folder"/*.whl)
foreign=("$folder"/{torch,numpy,nvidia_*,triton}-*.whl)
if ((${#foreign[@]})); then
    echo "error: ${foreign[*]}: would hide the packages of $python; delete them" >&2
    exit 1
fi

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if ((${#wheels[@]})); then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "${wheels[@]}"
fi
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1
mkdir -p "$out"
"$python" -m benchmarks.gpu --out "$out" "$@"
