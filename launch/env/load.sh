# Sourced by the scripts of launch/: `load_env NAME` exports the lines of NAME.env beside this file, and leaves alone what
# the caller has set, be it to nothing: `XLA_FLAGS= sbatch ...` runs without them. The compile cache is not among them:
# the program chooses a folder of the user's own (cc_jax/app.py), or $JAX_COMPILATION_CACHE_DIR.

_environments=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

load_env() {
  local line name
  if ! [ -f "$_environments/$1.env" ]; then
    echo "${0##*/}: CC_JAX_ENV=$1: there is no launch/env/$1.env" >&2
    return 2
  fi
  while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^[A-Z_][A-Z0-9_]*= ]] || continue
    name=${line%%=*}
    [ -n "${!name+set}" ] || export "${line?}"
  done <"$_environments/$1.env"
}
