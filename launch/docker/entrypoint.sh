#!/usr/bin/env bash
# usage: docker run IMAGE PROGRAM [ARGUMENTS]     for example: docker run cc_jax train --config=configs/demo.py --workdir=runs/x
# Runs `python -m cc_jax.PROGRAM` (train, evaluate, predict, prepare, tabulate, tools.NAME) with the settings of
# launch/env/$CC_JAX_ENV.env.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source launch/env/load.sh
load_env "${CC_JAX_ENV:-cpu}"
program=${1:-}
file=cc_jax/${program//.//}
if [ -z "$program" ] || ! { [ -f "$file.py" ] || [ -f "$file/__main__.py" ]; }; then
  echo "entrypoint.sh: unknown program '$program'; give train, evaluate, predict, prepare, tabulate or tools.NAME" >&2
  exit 2
fi
shift
# exec passes signals to the program and its exit code to the caller.
exec python -m "cc_jax.$program" "$@"
