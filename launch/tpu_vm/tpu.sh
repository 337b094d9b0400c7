# Sourced by the scripts beside it. What they are told, in the environment:
#   TPU_NAME, TPU_ZONE       always
#   TPU_TYPE, TPU_RUNTIME    to create it: v5litepod-16 and v2-alpha-tpuv5-lite, for example
#   TPU_NFS                  HOST:/EXPORT of a file system that every worker mounts at /mnt/shared (Filestore), and that
#                            your user there can write to
#   TPU_PROJECT              where it is not gcloud's own
#   TPU_SPOT=1               may be preempted, and costs less
#   TPU_QUEUED=1             waits in the queue until there is one
# And exit codes: 2 for a wrong call, 75 for "nothing is wrong, later".

say() { echo "${0##*/}: $*" >&2; }

need() {
  local name
  for name in "$@"; do
    if [ -z "${!name:-}" ]; then
      say "$name is not set (launch/tpu_vm/tpu.sh says what it is)"
      exit 2
    fi
  done
}

# gcloud's commands on TPUs, for this project and zone, without questions.
tpus() { gcloud compute tpus "$@" --zone="$TPU_ZONE" --quiet ${TPU_PROJECT:+"--project=$TPU_PROJECT"}; }

# A shell command on every worker; each says what it has to say.
on_workers() { tpus tpu-vm ssh "$TPU_NAME" --worker=all --command="$1"; }

# What gcloud says of a thing, NONE where there is none; fails, with gcloud's message, where it cannot tell.
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

# NONE: to be made. READY. WAITING: on its way, in or out. GONE: preempted or broken, to be deleted and made again.
tpu_state() {
  local state
  state=$(_described tpu-vm describe "$TPU_NAME" --format='value(state)') || return
  if [ "$state" = NONE ] && [ -n "${TPU_QUEUED:-}" ]; then
    state=$(_described queued-resources describe "$TPU_NAME" --format='value(state.state)') || return
    if [ "$state" = ACTIVE ]; then state=WAITING; fi  # its TPU appears, or has just gone
  fi
  case $state in
    NONE | READY) echo "$state" ;;
    PREEMPTED | TERMINATED | STOPPED | SUSPENDED | FAILED) echo GONE ;;
    *) echo WAITING ;;
  esac
}
