# Sourced by the other scripts. Environment variables:
#   TPU_NAME, TPU_ZONE       required
#   TPU_TYPE, TPU_RUNTIME    required to create a TPU, for example v5litepod-16 and v2-alpha-tpuv5-lite
#   TPU_NFS                  HOST:/EXPORT of a file system (Filestore) that every worker mounts at /mnt/shared; your user on the
#                            workers must be able to write to it
#   TPU_PROJECT              the project, if it is not gcloud's default
#   TPU_SPOT=1               use a cheaper TPU that may be preempted
#   TPU_QUEUED=1             wait in the queue for a TPU
# Exit codes: 2 for a wrong call, 75 for "try again later".

say() { echo "${0##*/}: $*" >&2; }

need() {
  local name
  for name in "$@"; do
    if [ -z "${!name:-}" ]; then
      say "$name is not set (see launch/tpu_vm/tpu.sh)"
      exit 2
    fi
  done
}

# Runs a gcloud command on TPUs of this project and zone, without prompts.
tpus() { gcloud compute tpus "$@" --zone="$TPU_ZONE" --quiet ${TPU_PROJECT:+"--project=$TPU_PROJECT"}; }

# Runs a shell command on every worker and prints their output.
on_workers() { tpus tpu-vm ssh "$TPU_NAME" --worker=all --command="$1"; }

# Prints a description by gcloud, or NONE if the resource does not exist. Fails with gcloud's message on any other error.
_described() {
  local errors code=0
  errors=$(mktemp)
  tpus "$@" 2>"$errors" || code=$?
  if [ "$code" -ne 0 ]; then
    if grep -q NOT_FOUND "$errors"; then echo NONE; code=0; else cat "$errors" >&2; fi
  fi
  rm -f "$errors"
  return "$code"
}

# Prints the state of the TPU: NONE (does not exist), READY, WAITING (is being created or deleted), or GONE (preempted or broken,
# must be deleted and recreated).
tpu_state() {
  local state
  state=$(_described tpu-vm describe "$TPU_NAME" --format='value(state)') || return
  if [ "$state" = NONE ] && [ -n "${TPU_QUEUED:-}" ]; then
    state=$(_described queued-resources describe "$TPU_NAME" --format='value(state.state)') || return
    # The request is active, but its TPU has not appeared yet, or has just gone.
    if [ "$state" = ACTIVE ]; then state=WAITING; fi
  fi
  case $state in
    NONE | READY) echo "$state" ;;
    PREEMPTED | TERMINATED | STOPPED | SUSPENDED | FAILED) echo GONE ;;
    *) echo WAITING ;;
  esac
}
