#!/usr/bin/env bash
# Checks style and types, in .venv (made if it is missing): bash scripts/check.sh
# To format all files: .venv/bin/ruff format
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

ensure_environment explore,test
"$VENV/bin/ruff" format --check
"$VENV/bin/ruff" check
"$VENV/bin/mypy"
