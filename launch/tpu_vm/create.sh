#!/usr/bin/env bash
# usage: TPU_NAME=crowd TPU_ZONE=us-west4-a TPU_TYPE=v5litepod-16 TPU_RUNTIME=v2-alpha-tpuv5-lite \
#          [TPU_SPOT=1] [TPU_QUEUED=1] launch/tpu_vm/create.sh
# Creates a TPU VM, unless it exists. Exits with 75 if there is no capacity at the moment.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/tpu.sh"
need TPU_NAME TPU_ZONE TPU_TYPE TPU_RUNTIME

state=$(tpu_state)
case $state in
  READY | WAITING) say "$TPU_NAME exists already"; exit 0 ;;
  GONE) say "$TPU_NAME was preempted or has failed; run launch/tpu_vm/delete.sh first"; exit 1 ;;
esac

if [ -n "${TPU_QUEUED:-}" ]; then
  command=(queued-resources create "$TPU_NAME" "--node-id=$TPU_NAME" "--runtime-version=$TPU_RUNTIME" --async)
else
  command=(tpu-vm create "$TPU_NAME" "--version=$TPU_RUNTIME")
fi
command+=("--accelerator-type=$TPU_TYPE" ${TPU_SPOT:+--spot})
code=0
said=$(tpus "${command[@]}" 2>&1 | tee >(cat >&2)) || code=$?
# Waiting helps against missing capacity, but not against a quota that is used up.
shopt -s nocasematch
if [ "$code" -ne 0 ] && [[ $said =~ capacity|RESOURCE_EXHAUSTED|UNAVAILABLE ]] && ! [[ $said =~ quota ]]; then code=75; fi
exit "$code"
