# Sourced by the scripts beside it: `ensure_venv FILE...` makes .venv in the project's root where it is absent and
# installs the requirement files into it. A stamp with the hash of each installed file makes the next call quick;
# a file that changed is installed again. Afterwards $VENV_PYTHON is the environment's interpreter.
# $PYTHON chooses the interpreter that makes the environment (default: the first of python3, python3.14 ... python3.11
# that is new enough).

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
    "install one, or name it: PYTHON=/path/to/python3.11 $0" >&2
  return 2
}

_make_venv() {
  local python
  python=$(_find_python) || return
  echo "making .venv with $("$python" --version)" >&2
  # --clear: an environment whose interpreter has gone is of no use.
  "$python" -m venv --clear "$_venv" && return
  echo "${0##*/}: $python cannot make an environment (on Debian and Ubuntu: apt install python3-venv)" >&2
  return 2
}

_hash() { "$VENV_PYTHON" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"; }

_install() {
  local file=$1 stamp=$_venv/installed/${1//\//_} hash
  hash=$(_hash "$_project/$file") || return
  [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ] && return
  echo "installing $file into .venv (a few minutes the first time)" >&2
  if ! "$VENV_PYTHON" -m pip install --quiet --disable-pip-version-check -r "$_project/$file"; then
    echo "${0##*/}: $file could not be installed; pip's message stands above. The same command tries again." >&2
    return 2
  fi
  mkdir -p "${stamp%/*}" && echo "$hash" >"$stamp"  # only now: an interrupted installation is done again
}

ensure_venv() {
  local file
  _new_enough "$VENV_PYTHON" || _make_venv || return
  for file in "$@"; do _install "$file" || return; done
}
