# Sourced by the other scripts. `load_env NAME` exports the variables in NAME.env, except those that the caller has set, even
# if to an empty string: `XLA_FLAGS= sbatch ...` runs without the flags. The compile cache is not set here. The program uses
# $JAX_COMPILATION_CACHE_DIR, or a folder that belongs to the user (cc_jax/app.py).

_environments=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

load_env() {
  local line name
  if ! [ -f "$_environments/$1.env" ]; then
    echo "${0##*/}: CC_JAX_ENV=$1: launch/env/$1.env does not exist" >&2
    return 2
  fi
  while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^[A-Z_][A-Z0-9_]*= ]] || continue
    name=${line%%=*}
    [ -n "${!name+set}" ] || export "${line?}"
  done <"$_environments/$1.env"
}
