#!/usr/bin/env bash
# usage: launch/local.sh [N] --config=configs/X.py --workdir=DIR [ARGUMENTS OF cc_jax.train]
# Starts one run as N processes on this machine, one per GPU (default: the number of GPUs). `python -m cc_jax.train` alone uses
# all GPUs in one process and is simpler; this script shows what a cluster will do.
# SIGTERM and Ctrl-C reach all processes. If one fails, the others end. Exit code 75: run the same command to resume.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/venv.sh
source launch/env/load.sh
ensure_venv requirements.txt

gpus=$(nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU' || true)
number=$gpus
if [[ ${1:-} =~ ^[0-9]+$ ]]; then number=$1; shift; fi
if [ "$number" -lt 1 ]; then
  echo "local.sh: this machine has no GPU; give the number of processes: launch/local.sh 2 --config=..." >&2
  exit 2
fi
if [ "$gpus" -gt 0 ] && [ "$number" -gt "$gpus" ]; then
  echo "local.sh: $number processes need as many GPUs, but there are $gpus; give a smaller number" >&2
  exit 2
fi
if [ "$gpus" -gt 0 ]; then load_env gpu; fi
port=$("$VENV_PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export JAX_COORDINATOR_BIND_ADDRESS=127.0.0.1:$port

processes=()
forward() { kill -s TERM "${processes[@]}" 2>/dev/null || true; }
trap forward TERM INT
for ((i = 0; i < number; i++)); do
  if [ "$gpus" -gt 0 ]; then export CUDA_VISIBLE_DEVICES=$i; fi
  "$VENV_PYTHON" -m cc_jax.train "$@" \
    --distributed --coordinator="127.0.0.1:$port" --processes="$number" --process="$i" &
  processes+=($!)
done
# A signal interrupts `wait`, hence the inner loop. The exit code is the first one that is neither 0 nor 75, else 75, else 0.
code=0
for pid in "${processes[@]}"; do
  while :; do
    one=0
    wait "$pid" || one=$?
    kill -0 "$pid" 2>/dev/null || break
  done
  if [ "$one" -ne 0 ] && { [ "$code" -eq 0 ] || [ "$code" -eq 75 ]; }; then code=$one; fi
done
exit "$code"
