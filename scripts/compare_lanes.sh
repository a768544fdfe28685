#!/usr/bin/env bash
# Measures the two lanes in turns: start-up, train step, serving.
#   bash scripts/compare_lanes.sh .venv-3.11/bin/python .venv/bin/python [ROUNDS]
# Prints a line for each measurement. Compare the best of each: a busy moment only adds time.
# EXPORT=DIR is the export that is served (as of `python -m hali_tf.export`); without, none is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${3:-3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
TIMEFORMAT=%R

for ((round = 1; round <= rounds; round++)); do
  for python in "$1" "$2"; do
    name="$("$python" -c 'from importlib.metadata import version; print("TensorFlow", version("tensorflow"))')"
    # A folder of its own: runs/digits may hold a run that only one of the lanes can resume.
    if ! seconds=$({ time "$python" -m hali_tf.train --flagfile=configs/digits.cfg --dry_run \
      --run_dir="$folder/run" >/dev/null 2>"$folder/log"; } 2>&1); then
      cat "$folder/log" >&2
      exit 1
    fi
    printf '%s: start-up (--dry_run) %s s\n' "$name" "$seconds"
    "$python" scripts/benchmark.py --rounds=1 --steps=12 --noxla |
      grep -E '^\| (float32|mixed_bfloat16|bfloat16)' | sed "s/^/$name: /"
    if [[ -n ${EXPORT:-} ]]; then
      "$python" scripts/load_test.py --model_base_path="$EXPORT" --signatures=encode,sample \
        --clients=8 --seconds=4 | grep -E '^\|' | sed "s/^/$name: /"
    fi
  done
done
