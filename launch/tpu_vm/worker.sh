#!/usr/bin/env bash
# usage, on a worker, where the other scripts call it:
#   worker.sh start ARGUMENTS OF cc_jax.train     installs missing packages and starts the run in the background
#   worker.sh state                               prints "cc_jax: " and running, ended CODE, lost (killed), or none
#   worker.sh log                                 prints the last lines of the run's output
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p .run

# All processes of the run hold the lock. The kernel releases it when the last one has ended, for whatever reason.
running() { ! flock --nonblock .run/lock true; }

state() {
  if running; then echo "cc_jax: running"
  elif [ -f .run/code ]; then echo "cc_jax: ended $(<.run/code)"
  elif [ -f .run/log ]; then echo "cc_jax: lost"
  else echo "cc_jax: none"
  fi
}

mount_shared() {
  if [ -z "${TPU_NFS:-}" ] || mountpoint --quiet /mnt/shared; then return; fi
  if ! command -v mount.nfs >/dev/null; then sudo apt-get update -q && sudo apt-get install -y -q nfs-common; fi
  sudo mkdir -p /mnt/shared
  sudo mount -t nfs "$TPU_NFS" /mnt/shared
}

# Some runtimes have Python 3.10. uv installs a newer one without root.
find_python() {
  if [ -x .venv/bin/python ]; then return; fi
  if python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return; fi
  python3 -m pip install --user --quiet uv
  python3 -m uv python install --quiet 3.12
  PYTHON=$(python3 -m uv python find 3.12)
  export PYTHON
}

train() {
  local code=0
  .venv/bin/python -m cc_jax.train --distributed "$@" || code=$?
  echo "$code" >.run/code.new
  mv .run/code.new .run/code
}

start() {
  exec 9>.run/lock
  if ! flock --timeout 5 9; then echo "cc_jax: running already" >&2; return; fi
  mount_shared 9>&-
  find_python 9>&-
  source launch/venv.sh
  ensure_venv requirements.txt launch/tpu_vm/requirements.txt 9>&-
  source launch/env/load.sh
  load_env tpu
  if [ -n "${TPU_NFS:-}" ]; then export TFDS_DATA_DIR=${TFDS_DATA_DIR:-/mnt/shared/data}; fi
  rm -f .run/code
  echo "== $(date -u +%FT%TZ) $*" >>.run/log
  # The connection ends before the run does.
  trap '' HUP
  train "$@" </dev/null >>.run/log 2>&1 &
  echo "cc_jax: started" >&2
}

case ${1:-} in
  start) shift; start "$@" ;;
  state) state ;;
  log) tail -n 20 .run/log ;;
  *) echo "worker.sh: start, state or log" >&2; exit 2 ;;
esac
