#!/usr/bin/env bash
# Topaz-Denoise 0.3.20, the peer of the benchmarks, in an environment of its own:
#
#     benchmarks/setup_topaz.sh DIR        afterwards DIR/bin/topaz
#
# It is licensed under the GPL 3 and is only ever run as a separate program.
set -euo pipefail
dir=${1:?usage: setup_topaz.sh DIR}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"${PYTHON:-python3}" -m venv "$dir"
pip=("$dir/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" "$(grep '^torch==' "$root/constraints.txt")"
# pkg_resources, which it imports, left setuptools with version 81.
"${pip[@]}" 'setuptools<81' future h5py numpy pandas pillow psutil scikit-learn scipy tqdm
"${pip[@]}" --no-deps topaz-em==0.3.20
# It imports torchvision for a rotation that denoising never calls: an empty stand-in will do.
site=$("$dir/bin/python" -c 'import site; print(site.getsitepackages()[0])')
mkdir -p "$site/torchvision/transforms"
: >"$site/torchvision/__init__.py"
: >"$site/torchvision/transforms/__init__.py"
printf 'def rotate(*_, **__):\n    raise NotImplementedError("no torchvision here")\n' \
    >"$site/torchvision/transforms/functional.py"
"$dir/bin/topaz" denoise --help >/dev/null
echo "topaz is ready: $dir/bin/topaz"
