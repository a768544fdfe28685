#!/usr/bin/env bash
# Renews constraints/python3.X.txt, the exact versions that the scripts install with, for each
# supported Python that runs here: bash scripts/constraints.sh [VERSION...]
# Each is what pip would install today by setup.cfg, with the extras `explore` and `test`, into a fresh
# environment. None of it is installed. Run the tests afterwards.
# constraints/hashes/ has the same with the hashes of all files that PyPI has of each version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

versions=("$@")
if [[ $# == 0 ]]; then
  versions=("${VERSIONS[@]}")
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Prints NAME==VERSION for each package of pip's report, and for pip itself.
packages() {
  "$1" - "$2" <<'PYTHON'
import json
import sys
from importlib.metadata import version

with open(sys.argv[1]) as file:
    installed = [item["metadata"] for item in json.load(file)["install"]]
pins = {f"{one['name']}=={one['version']}" for one in installed if one["name"] != "hali-tf"}
print(*sorted(pins | {f"pip=={version('pip')}"}, key=str.lower), sep="\n")
PYTHON
}

for version in "${versions[@]}"; do
  python=$(find_python "$version") || continue
  say "constraints/python$version.txt, with $("$python" --version)"
  "$python" -m venv "$folder/$version"
  python=$folder/$version/bin/python
  "$python" -m pip install --quiet --upgrade pip
  "$python" -m pip install --dry-run --ignore-installed --quiet \
    --report "$folder/$version.json" ".[explore,test]"
  # Written beside and renamed: an interrupted run leaves the old file.
  {
    echo "# What pip installs on Python $version; made by scripts/constraints.sh."
    packages "$python" "$folder/$version.json"
  } >"$folder/python$version.txt"
  mv "$folder/python$version.txt" "constraints/python$version.txt"
  "$python" -m pip install --quiet uv
  {
    echo "# constraints/python$version.txt with the hashes of PyPI's files; made by scripts/constraints.sh."
    "$folder/$version/bin/uv" pip compile --quiet --no-deps --generate-hashes --no-annotate \
      --no-header --python "$python" "constraints/python$version.txt"
  } >"$folder/hashes.txt"
  mv "$folder/hashes.txt" "constraints/hashes/python$version.txt"
done
