#!/bin/bash
# Measures what docs/performance.md says of long batches: speed, memory, overlap, and what becomes of
# a run that is killed, shared out, or watches a folder. For a machine of two cores or more that does
# nothing else; about 15 minutes, and 10 more with Topaz (.venv-topaz, see setup_topaz.sh).
#
#   benchmarks/scaling.sh [LOG]     records go to benchmarks/results, all that is said to LOG too
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
topaz=.venv-topaz/bin/topaz
export OMP_WAIT_POLICY=passive PYTHONPATH=src:. TIMEFORMAT='(%0R s)'
exec > >(tee "${1:-/dev/null}") 2>&1

step() {
    echo
    echo "== $1"
    shift
    time "$@" || echo "FAILED"
}

step "4096 x 4096, stage by stage, in a batch, and the floor: 1 min" \
    $python -m benchmarks.stages --threads 2
[ ! -x $topaz ] || step "4096 x 4096 against Topaz unet: 10 min" \
    $python -m benchmarks.speed --topaz $topaz --sizes 4096 --peer-sizes 4096 --threads 2 --repeats 2
step "memory of 300 micrographs, and of 11520 x 8184: 4 min" \
    $python -m benchmarks.memory --threads 2
step "reading and writing beside computing, 100 files of each kind: 5 min" \
    $python -m benchmarks.overlap --files 100 --kinds cold deflate lzw
export OMP_NUM_THREADS=1
step "two shards killed 20 times: 3 min" \
    $python -m pytest -m slow tests/batch/test_shards.py
step "Slurm of two nodes: 1 min" \
    $python -m pytest -m slow tests/test_slurm_cluster.py
step "training and nt2c fit in two processes: 1 min" \
    $python -m pytest -m "slow or not slow" tests/training/test_two_processes.py tests/test_fit_processes.py
step "watching a folder, and dask: 1 min" \
    $python -m pytest -m "slow or not slow" tests/batch/test_live.py tests/batch/test_dask.py
