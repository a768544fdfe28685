#!/usr/bin/env bash
# Minutes or hours of mixed and partly bad requests, and a new version every minute:
#   bash scripts/soak.sh EXPORT_DIR MINUTES [further arguments of scripts/soak.py]
# Ends with 1 if a good request failed, or a bad one was not refused as what it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

[ $# -ge 2 ] || { sed -n '2,4s/^# \{0,1\}//p' scripts/soak.sh >&2; exit 2; }
ensure_environment
exec "$VENV/bin/python" scripts/soak.py --model_base_path="$1" --minutes="$2" "${@:3}"
