#!/usr/bin/env bash
# Makes .venv, trains HALI on handwritten digits, says where the figures are.
# Arguments go to hali_tf.train, such as --steps=1000. A second run resumes from what is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

ensure_environment explore
say "training on handwritten digits (Ctrl-C saves; the same command resumes)"
"$VENV/bin/python" -m hali_tf.train --flagfile=configs/digits.cfg "$@"
cat <<TEXT

Next, from here:
  play with it              $VENV/bin/python -m hali_tf.explore --run_dir=runs/digits
  losses, images, latents   $VENV/bin/tensorboard --logdir=runs/digits/logs
  all evaluations           $VENV/bin/python -m hali_tf.evaluate --run_dir=runs/digits
  export for TF-Serving     $VENV/bin/python -m hali_tf.export --run_dir=runs/digits --export_dir=export/hali
TEXT
