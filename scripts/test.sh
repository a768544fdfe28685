#!/usr/bin/env bash
# Makes .venv if it is missing and runs the tests: bash scripts/test.sh [--all] [pytest arguments]
# --all includes the slow ones. Two processes share the test files; --numprocesses=0 is one alone.
# --cov says which lines no test runs, and fails below the share that pyproject.toml asks for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

which=()
if [[ ${1:-} == --all ]]; then
  shift
  which=(-m "slow or not slow")
fi
ensure_environment explore,test
exec "$VENV/bin/python" -m pytest --numprocesses=2 --dist=loadfile ${which[@]+"${which[@]}"} "$@"
