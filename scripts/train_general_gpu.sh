#!/bin/sh
# On a machine with a GPU, within MINUTES (10 by default): tests on it, its speed, then the training
# of the bundled model for the time that is left. Nothing is downloaded: fields are simulated there.
#
#     scripts/train_general_gpu.sh OUT [MINUTES]
#
# OUT receives tests.log, speed.jsonl, step.json, general.safetensors and the log of its training.
# It goes on from training/general-next.safetensors where that is there. PYTHON chooses the Python.
set -eu
out=${1:?usage: $0 OUT [MINUTES]}
minutes=${2:-10}
python=${PYTHON:-.venv/bin/python}
began=$(date +%s)
mkdir -p "$out"

timeout 90 "$python" -m pytest -q tests/inference tests/training -x > "$out/tests.log" 2>&1 ||
    echo "tests: see $out/tests.log" >&2
timeout 60 "$python" -m benchmarks.training_step --recipe quick --device cuda > "$out/step.json" ||
    echo "no time of a step" >&2
timeout 90 "$python" -m benchmarks.stages > "$out/speed.jsonl" || echo "no speed" >&2

left=$((minutes * 60 - ($(date +%s) - began) - 30))
start=training/general-next.safetensors
set --
[ -f "$start" ] && set -- --start "$start"
"$python" -m nt2c train recipes/general.toml "$@" --device cuda --time "${left}s" \
    -o "$out/general.safetensors"
