#!/bin/sh
# On a machine with a GPU, within MINUTES (10 by default): tests on it, its speed, then the training
# of the bundled model film for the time that is left. Nothing is downloaded: fields are simulated there.
#
#     scripts/train_general_gpu.sh OUT [MINUTES]
#
# OUT receives tests.log, step.json, speed.json (four micrographs), film.safetensors and the
# log of its training, which goes on from the weights of film.
# PYTHON chooses the Python, DEVICE=cpu tries the script where there is no GPU.
set -eu
out=${1:?usage: $0 OUT [MINUTES]}
minutes=${2:-10}
device=${DEVICE:-cuda}
python=${PYTHON:-.venv/bin/python}
began=$(date +%s)
mkdir -p "$out"

timeout 90 "$python" -m pytest -q tests/batch tests/training -x > "$out/tests.log" 2>&1 ||
    echo "tests: see $out/tests.log" >&2
timeout 60 "$python" -m benchmarks.training_step --recipe quick --device "$device" > "$out/step.json" ||
    echo "no time of a step" >&2
{ timeout 60 "$python" -m nt2c simulate -o "$out/simulated" --count 4 --shape 2048 2048 &&
    timeout 60 "$python" -m nt2c denoise "$out/simulated" -o "$out/denoised" --device "$device" \
        --json "$out/speed.json"; } > "$out/speed.log" 2>&1 || echo "speed: see $out/speed.log" >&2
rm -rf "$out/simulated" "$out/denoised"

left=$((minutes * 60 - ($(date +%s) - began) - 30))
"$python" -m nt2c train recipes/general.toml --start film --device "$device" --time "${left}s" \
    -o "$out/film.safetensors"
