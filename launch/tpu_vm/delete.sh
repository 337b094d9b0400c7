#!/usr/bin/env bash
# usage: TPU_NAME=crowd TPU_ZONE=us-west4-a [TPU_QUEUED=1] launch/tpu_vm/delete.sh
# Deletes the TPU VM with its disks, and its request in the queue. Files on TPU_NFS are kept.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/tpu.sh"
need TPU_NAME TPU_ZONE

state=$(tpu_state)
if [ "$state" = NONE ]; then
  say "$TPU_NAME does not exist"
elif [ -n "${TPU_QUEUED:-}" ]; then
  tpus queued-resources delete "$TPU_NAME" --force
else
  tpus tpu-vm delete "$TPU_NAME"
fi
