#!/usr/bin/env bash
# Renews constraints/python3.X.txt, the exact versions that the scripts install with, for each
# supported Python that runs here: bash scripts/constraints.sh [VERSION...]
# Each is what pip installs today by setup.cfg into a fresh environment. Run the tests afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

versions=("$@")
if [[ $# == 0 ]]; then
  versions=("${VERSIONS[@]}")
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in "${versions[@]}"; do
  python=$(find_python "$version") || continue
  say "constraints/python$version.txt, with $("$python" --version)"
  "$python" -m venv "$folder/$version"
  "$folder/$version/bin/python" -m pip install --quiet --upgrade pip
  "$folder/$version/bin/python" -m pip install --quiet --editable ".[test]"
  # Written beside and renamed: an interrupted run leaves the old file.
  {
    echo "# What pip installs on Python $version; made by scripts/constraints.sh."
    "$folder/$version/bin/python" -m pip freeze --all --exclude-editable
  } >"$folder/python$version.txt"
  mv "$folder/python$version.txt" "constraints/python$version.txt"
  rm -rf "${folder:?}/$version"
done
