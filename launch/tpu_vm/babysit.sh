#!/usr/bin/env bash
# usage: as launch/tpu_vm/run.sh, with TPU_TYPE and TPU_RUNTIME (and TPU_SPOT, TPU_QUEUED) as for create.sh beside it
# Sees one run through: makes the TPU where there is none, starts the run, and looks every TPU_POLL seconds (60). A preempted
# TPU is deleted and made again; a run that was stopped and saved (75), or killed with its worker, goes on. Ends with 0 when
# training has finished, or with the exit code and the last words of one that failed. The TPU stays: launch/tpu_vm/delete.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/tpu.sh"
# TPU_NFS: a workdir on the TPU's own disk would be deleted with it.
need TPU_NAME TPU_ZONE TPU_TYPE TPU_RUNTIME TPU_NFS
if [ $# -eq 0 ]; then say "what to run? --config=configs/X.py --workdir=/mnt/shared/runs/X"; exit 2; fi

make_tpu() {
  local code=0
  "$here/create.sh" || code=$?
  if [ "$code" -eq 75 ]; then say "no capacity now; asking again"; return; fi
  if [ "$code" -ne 0 ]; then say "cannot make $TPU_NAME"; exit "$code"; fi
}

# What the run is doing, from what its workers say: running, again, "ended CODE"; fails where they do not answer.
run_state() {
  local said codes
  said=$(on_workers "bash cc_jax/launch/tpu_vm/worker.sh state 2>/dev/null || echo 'cc_jax: none'") || return
  said=$(grep -o '^cc_jax: .*' <<<"$said") || return
  codes=$(sed -n 's/^cc_jax: ended //p' <<<"$said")
  if grep -q 'running' <<<"$said"; then
    echo running  # one that has lost the others ends by itself, see --heartbeat
  elif grep -q 'none\|lost' <<<"$said"; then
    echo again  # what became of the others follows from that
  elif grep -qvx '0\|75' <<<"$codes"; then
    echo "ended $(grep -vx '0\|75' <<<"$codes" | sort -n | head -n 1)"  # its own error before a signal (128 and more)
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
    UNKNOWN) trouble "gcloud does not tell the state of $TPU_NAME" ;;
    WAITING) troubles=0 ;;
    NONE) troubles=0; say "making $TPU_NAME"; make_tpu ;;
    GONE) say "$TPU_NAME was preempted: making it again"; "$here/delete.sh" || trouble "cannot delete $TPU_NAME" ;;
    READY)
      run=$(run_state) || run=unknown
      case $run in
        unknown) trouble "$TPU_NAME does not answer" ;;
        running) troubles=0 ;;
        again)
          say "starting the run"
          if "$here/run.sh" "$@"; then troubles=0; else trouble "the run could not be started"; fi
          ;;
        "ended 0") say "training has finished"; exit 0 ;;
        *)
          on_workers "bash cc_jax/launch/tpu_vm/worker.sh log" >&2 || true
          say "training has failed with exit code ${run#ended }; its last words stand above"
          exit "${run#ended }"
          ;;
      esac
      ;;
  esac
  sleep "${TPU_POLL:-60}"
done
