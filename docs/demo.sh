#!/bin/sh
# What `make demo` shows: score, inspect and prune the bundled dataset. What it writes lies in demo/.
set -eu
mkdir -p demo
run() { printf '\n$ %s\n' "$*"; "$@"; }
run goldore score --width 32 --trials 4 --epochs 6 --out demo/scores.h5 --overwrite
run goldore inspect demo/scores.h5
run goldore inspect demo/scores.h5 --report demo/report.html --overwrite
run goldore prune demo/scores.h5 --criterion LossConverge_large --keep-ratio 0.1 --out demo/keep.npy --overwrite
run python -c "import numpy as np; keep = np.load('demo/keep.npy'); print(keep.dtype, keep.shape, keep[:8])"
