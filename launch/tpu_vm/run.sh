#!/usr/bin/env bash
# usage: TPU_NAME=crowd TPU_ZONE=us-west4-a TPU_NFS=10.0.0.2:/share \
#          launch/tpu_vm/run.sh --config=configs/X.py --workdir=/mnt/shared/runs/X [ARGUMENTS OF cc_jax.train]
# Copies the project to every worker, installs it and starts one run on all workers in the background. The run continues after
# this script has ended. Does nothing on a worker that runs it already. Datasets are read from /mnt/shared/data.
# To follow the output: gcloud compute tpus tpu-vm ssh $TPU_NAME --zone=$TPU_ZONE --command="tail -f cc_jax/.run/log"
# With several workers, run `ssh-add ~/.ssh/google_compute_engine` once before.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/tpu.sh"
need TPU_NAME TPU_ZONE
if [ $# -eq 0 ]; then say "no arguments for the run; give --config=configs/X.py --workdir=/mnt/shared/runs/X"; exit 2; fi

project=$(cd "$here/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar -czf "$folder/cc_jax.tar.gz" -C "$project" --exclude=__pycache__ cc_jax configs launch requirements.txt
tpus tpu-vm scp "$folder/cc_jax.tar.gz" "$TPU_NAME:cc_jax.tar.gz" --worker=all
# A running run holds the lock. Its files are not replaced.
start=$(printf '%q ' env "TPU_NFS=${TPU_NFS:-}" bash cc_jax/launch/tpu_vm/worker.sh start "$@")
on_workers "mkdir -p cc_jax/.run
  flock --nonblock --conflict-exit-code=99 cc_jax/.run/lock tar -xzf cc_jax.tar.gz -C cc_jax
  case \$? in 0) $start ;; 99) echo 'cc_jax: running already' >&2 ;; *) exit 1 ;; esac"
