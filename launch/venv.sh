# Sourced by the other scripts. `ensure_venv FILE...` makes .venv in the root of the project if it is absent, installs the
# requirement files and the project itself into it (which gives .venv/bin/cc-jax), and sets $VENV_PYTHON to its interpreter.
# A stamp with the hash of each installed file makes the next call fast; a file that has changed is installed again.
# $PYTHON selects the interpreter that makes the environment. The default is the first of python3, python3.14 ... python3.11
# that is new enough.

_project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
_venv=$_project/.venv
VENV_PYTHON=$_venv/bin/python

_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

_find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if _new_enough "$candidate"; then echo "$candidate"; return; fi
  done
  candidate=$(${PYTHON:-python3} --version 2>/dev/null) || candidate="no ${PYTHON:-python3}"
  echo "${0##*/}: needs Python 3.11 or later, found $candidate;" \
    "install it, or select it with PYTHON=/path/to/python3.11 $0" >&2
  return 2
}

_make_venv() {
  local python
  python=$(_find_python) || return
  echo "making .venv with $("$python" --version)" >&2
  # --clear replaces an environment whose interpreter has been removed.
  "$python" -m venv --clear "$_venv" && return
  echo "${0##*/}: $python cannot make an environment (on Debian and Ubuntu: apt install python3-venv)" >&2
  return 2
}

_hash() { "$VENV_PYTHON" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"; }

_install() {
  local file=$1 stamp=$_venv/installed/${1//\//_} hash
  hash=$(_hash "$_project/$file") || return
  [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ] && return
  echo "installing $file into .venv (this takes a few minutes the first time)" >&2
  if ! "$VENV_PYTHON" -m pip install --quiet --disable-pip-version-check -r "$_project/$file"; then
    echo "${0##*/}: $file could not be installed, see pip's message above; run the same command to try again" >&2
    return 2
  fi
  # Written last, so that an interrupted installation is repeated.
  mkdir -p "${stamp%/*}" && echo "$hash" >"$stamp"
}

# Installs the checkout itself for the command cc-jax. A copy without pyproject.toml can only run `python -m cc_jax.NAME`.
_install_project() {
  local stamp=$_venv/installed/pyproject.toml hash
  [ -f "$_project/pyproject.toml" ] || return 0
  hash=$(_hash "$_project/pyproject.toml") || return
  [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ] && return
  if ! "$VENV_PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --editable "$_project"; then
    echo "${0##*/}: cc-jax could not be installed, see pip's message above; run the same command to try again" >&2
    return 2
  fi
  mkdir -p "${stamp%/*}" && echo "$hash" >"$stamp"
}

ensure_venv() {
  local file
  _new_enough "$VENV_PYTHON" || _make_venv || return
  for file in "$@"; do _install "$file" || return; done
  _install_project
}
