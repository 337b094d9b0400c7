#!/usr/bin/env bash
# usage: like launch/tpu_vm/run.sh, with TPU_TYPE and TPU_RUNTIME (and TPU_SPOT, TPU_QUEUED) as for launch/tpu_vm/create.sh
# Sees one run through. Creates the TPU if it does not exist, starts the run, and checks it every TPU_POLL seconds (default: 60).
# Deletes and recreates a preempted TPU. Resumes a run that was stopped and has saved (75) or was killed with its worker. Exits
# with 0 after training, or with the exit code and the last lines of a run that failed. Delete the TPU with launch/tpu_vm/delete.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/tpu.sh"
# TPU_NFS is required, because a workdir on the disk of the TPU would be deleted with it.
need TPU_NAME TPU_ZONE TPU_TYPE TPU_RUNTIME TPU_NFS
if [ $# -eq 0 ]; then say "no arguments for the run; give --config=configs/X.py --workdir=/mnt/shared/runs/X"; exit 2; fi

make_tpu() {
  local code=0
  "$here/create.sh" || code=$?
  if [ "$code" -eq 75 ]; then say "no capacity at the moment; trying again"; return; fi
  if [ "$code" -ne 0 ]; then say "could not create $TPU_NAME"; exit "$code"; fi
}

# Prints the state of the run from the answers of its workers: running, again (start it), or "ended CODE". Fails if they do not
# answer.
run_state() {
  local said codes
  said=$(on_workers "bash cc_jax/launch/tpu_vm/worker.sh state 2>/dev/null || echo 'cc_jax: none'") || return
  said=$(grep -o '^cc_jax: .*' <<<"$said") || return
  codes=$(sed -n 's/^cc_jax: ended //p' <<<"$said")
  if grep -q 'running' <<<"$said"; then
    # A process that has lost the others ends by itself, see --heartbeat.
    echo running
  elif grep -q 'none\|lost' <<<"$said"; then
    # The exit codes of the other workers are consequences.
    echo again
  elif grep -qvx '0\|75' <<<"$codes"; then
    # The smallest code is the cause. Codes from 128 on are signals that followed.
    echo "ended $(grep -vx '0\|75' <<<"$codes" | sort -n | head -n 1)"
  elif grep -qx 75 <<<"$codes"; then
    echo again
  else
    echo "ended 0"
  fi
}

troubles=0
trouble() {
  troubles=$((troubles + 1))
  if [ "$troubles" -ge 10 ]; then say "$1, $troubles times in a row"; exit 1; fi
  say "$1; trying again"
}

while :; do
  state=$(tpu_state) || state=UNKNOWN
  case $state in
    UNKNOWN) trouble "gcloud cannot read the state of $TPU_NAME" ;;
    WAITING) troubles=0 ;;
    NONE) troubles=0; say "creating $TPU_NAME"; make_tpu ;;
    GONE) say "$TPU_NAME was preempted; recreating it"; "$here/delete.sh" || trouble "could not delete $TPU_NAME" ;;
    READY)
      run=$(run_state) || run=unknown
      case $run in
        unknown) trouble "$TPU_NAME does not answer" ;;
        running) troubles=0 ;;
        again)
          say "starting the run"
          if "$here/run.sh" "$@"; then troubles=0; else trouble "could not start the run"; fi
          ;;
        "ended 0") say "training has finished"; exit 0 ;;
        *)
          on_workers "bash cc_jax/launch/tpu_vm/worker.sh log" >&2 || true
          say "training has failed with exit code ${run#ended }; its last lines are printed above"
          exit "${run#ended }"
          ;;
      esac
      ;;
  esac
  sleep "${TPU_POLL:-60}"
done
