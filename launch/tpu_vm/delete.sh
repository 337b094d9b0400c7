#!/usr/bin/env bash
# usage: TPU_NAME=crowd TPU_ZONE=us-west4-a [TPU_QUEUED=1] launch/tpu_vm/delete.sh
# Deletes the TPU VM with all on its disks, and its place in the queue. What TPU_NFS holds stays.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/tpu.sh"
need TPU_NAME TPU_ZONE

state=$(tpu_state)
if [ "$state" = NONE ]; then
  say "there is no $TPU_NAME"
elif [ -n "${TPU_QUEUED:-}" ]; then
  tpus queued-resources delete "$TPU_NAME" --force
else
  tpus tpu-vm delete "$TPU_NAME"
fi
