#!/usr/bin/env bash
# usage: TPU_NAME=crowd TPU_ZONE=us-west4-a TPU_NFS=10.0.0.2:/share \
#          launch/tpu_vm/run.sh --config=configs/X.py --workdir=/mnt/shared/runs/X [ARGUMENTS OF cc_jax.train]
# Copies the project to every worker, installs it there and starts one run on all of them, in the background: it goes on
# when this has ended. Where it runs already, it is left alone. Datasets are those under /mnt/shared/data.
# What it says: gcloud compute tpus tpu-vm ssh $TPU_NAME --zone=$TPU_ZONE --command="tail -f cc_jax/.run/log"
# Several workers: run `ssh-add ~/.ssh/google_compute_engine` once before.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/tpu.sh"
need TPU_NAME TPU_ZONE
if [ $# -eq 0 ]; then say "what to run? --config=configs/X.py --workdir=/mnt/shared/runs/X"; exit 2; fi

project=$(cd "$here/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar -czf "$folder/cc_jax.tar.gz" -C "$project" --exclude=__pycache__ cc_jax configs launch requirements.txt
tpus tpu-vm scp "$folder/cc_jax.tar.gz" "$TPU_NAME:cc_jax.tar.gz" --worker=all
# A run that is going on has the lock, and keeps its files.
start=$(printf '%q ' env "TPU_NFS=${TPU_NFS:-}" bash cc_jax/launch/tpu_vm/worker.sh start "$@")
on_workers "mkdir -p cc_jax/.run
  flock --nonblock --conflict-exit-code=99 cc_jax/.run/lock tar -xzf cc_jax.tar.gz -C cc_jax
  case \$? in 0) $start ;; 99) echo 'cc_jax: running already' >&2 ;; *) exit 1 ;; esac"
