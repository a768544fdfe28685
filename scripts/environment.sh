# Sourced by the other scripts, with the working directory at the root of the repository:
# finds a Python, makes .venv, installs the package in it.

say() { printf '%s\n' "hali_tf: $*" >&2; }

# Whether a command is a Python that runs, is of a supported version, and can make environments.
supported() {
  "$1" -c 'import sys, venv, ensurepip
sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))' >/dev/null 2>&1
}

# Prints the first supported interpreter. A name alone proves nothing: python3 may be newer, and
# version managers leave names that do not run.
find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3.11 python3.10 python3.9 python3 python; do
    if supported "$name"; then
      printf '%s\n' "$name"
      return
    fi
  done
  say "no Python 3.9, 3.10 or 3.11 (with its venv module) found, which TensorFlow 2.15 needs;" \
    "python3 here: $(python3 --version 2>&1 || true)"
  say "install one, or name it: PYTHON=/path/to/python3.11 bash $0"
  return 1
}

# ensure_environment EXTRAS: .venv has the package with these extras ("" or "test"), as an editable
# install. Nothing is done if setup.cfg and EXTRAS are those of the last time.
ensure_environment() {
  local extras=$1 stamp=.venv/installed log=.venv/install.log python wanted
  wanted=$(cat setup.cfg setup.py pyproject.toml | cksum)
  if [[ -x .venv/bin/python && -f $stamp && $(head -n 1 "$stamp") == "$wanted" ]]; then
    if [[ -z $extras ]] || grep -qx "$extras" "$stamp"; then
      return
    fi
  fi
  if .venv/bin/python -c '' 2>/dev/null && ! supported .venv/bin/python; then
    say ".venv has $(.venv/bin/python --version), expected 3.9 to 3.11; remove .venv and start again"
    return 1
  fi
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
  fi
  say "installing TensorFlow and the rest into .venv (about 1.5 GB; some minutes the first time)"
  rm -f "$stamp"
  # pip of old Pythons resolves slowly; its own progress goes to the log.
  if ! { .venv/bin/python -m pip install --upgrade pip &&
    .venv/bin/python -m pip install --editable ".${extras:+[$extras]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    say "the installation failed; all that pip said is in $log"
    return 1
  fi
  printf '%s\n' "$wanted" "$extras" >"$stamp"
  say "installed"
}
