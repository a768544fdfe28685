# Sourced by the other scripts, with the working directory at the root of the repository:
# finds a Python, makes .venv (or the folder that VENV names), installs the package in it.

VENV=${VENV:-.venv}
VERSIONS=(3.13 3.12 3.11 3.10 3.9) # the newest one that runs is taken

say() { printf '%s\n' "hali_tf: $*" >&2; }

# Prints the version (such as 3.12) of a command that is a Python that runs, is supported, and can
# make environments. Fails for any other command.
supported() {
  local version
  version=$("$1" -c 'import sys, venv, ensurepip
print(*sys.version_info[:2], sep=".")
sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null) || return
  [[ $version == 3.* ]] && printf '%s\n' "$version"
}

# Prints where a Python of a version may be: by name, and where version managers keep them. Their
# shims are names too, but often do not run.
places() {
  printf '%s\n' "python$1" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$1"*/bin/"python$1"
  if command -v uv >/dev/null; then
    uv python find "$1" 2>/dev/null || true
  fi
}

# find_python [VERSION...]: prints the first Python that runs, of these versions in this order, or
# else the one that PYTHON names.
find_python() {
  local version place versions=("$@")
  if [[ ${#versions[@]} == 0 && -n ${PYTHON:-} ]]; then
    if supported "$PYTHON" >/dev/null; then
      printf '%s\n' "$PYTHON"
      return
    fi
    say "PYTHON=$PYTHON: expected a Python 3.9 to 3.13 with its venv module," \
      "found: $("$PYTHON" --version 2>&1 | head -n 1 || true)"
    return 1
  fi
  if [[ ${#versions[@]} == 0 ]]; then
    versions=("${VERSIONS[@]}")
  fi
  for version in "${versions[@]}"; do
    while read -r place; do
      if [[ $(supported "$place") == "$version" ]]; then
        printf '%s\n' "$place"
        return
      fi
    done < <(places "$version"; printf '%s\n' python3 python)
  done
  say "no Python ${versions[*]} (with its venv module) found;" \
    "python3 here: $(python3 --version 2>&1 | tail -n 1 || true)"
  say "install one, or name it: PYTHON=/path/to/python3.12 bash $0"
  return 1
}

# Says what is wrong with the Python of an environment that is there already, and fails.
check_environment() {
  local there wanted
  if ! "$VENV/bin/python" -c '' 2>/dev/null; then
    return
  fi
  if ! there=$(supported "$VENV/bin/python"); then
    say "$VENV has $("$VENV/bin/python" --version), expected 3.9 to 3.13;" \
      "remove $VENV and start again"
    return 1
  fi
  if [[ -n ${PYTHON:-} ]]; then
    wanted=$(supported "$(find_python)") || return 1
    if [[ $there != "$wanted" ]]; then
      say "$VENV has Python $there, but PYTHON=$PYTHON is $wanted;" \
        "remove $VENV, or name another folder: VENV=.venv-$wanted"
      return 1
    fi
  fi
}

# ensure_environment EXTRAS: $VENV has the package with these extras ("", "explore" or
# "explore,test"), as an editable install, in the versions of constraints/. Nothing is done if all
# that decides it is unchanged.
ensure_environment() {
  local extras=${1:-} stamp=$VENV/installed log=$VENV/install.log python wanted constraints
  check_environment
  wanted=$(cat setup.cfg setup.py pyproject.toml constraints/*.txt | cksum)
  if [[ -x $VENV/bin/python && -f $stamp && $(head -n 1 "$stamp") == "$wanted" ]]; then
    if [[ -z $extras ]] || grep -qF "$extras" "$stamp"; then
      return
    fi
  fi
  if ! { "$VENV/bin/python" -m pip --version || "$VENV/bin/python" -m ensurepip; } >/dev/null 2>&1
  then
    if [[ -d $VENV && -n $(ls -A "$VENV") && ! -f $VENV/pyvenv.cfg ]]; then
      say "$VENV has files and is no environment; name another folder: VENV=.venv-hali"
      return 1
    fi
    python=$(find_python)
    say "making $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV"
  fi
  say "installing TensorFlow and the rest into $VENV (about 3 GB; some minutes the first time)"
  rm -f "$stamp"
  constraints=constraints/python$(supported "$VENV/bin/python").txt
  # pip of old Pythons resolves slowly; its own progress goes to the log.
  if ! { "$VENV/bin/python" -m pip install --upgrade pip --constraint "$constraints" &&
    "$VENV/bin/python" -m pip install --constraint "$constraints" \
      --build-constraint "$constraints" --editable ".${extras:+[$extras]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    say "the installation failed; all that pip said is in $log"
    return 1
  fi
  printf '%s\n' "$wanted" "$extras" >"$stamp"
  say "installed"
}
