#!/usr/bin/env bash
# usage: launch/demo.sh [DIR]     (default: runs/demo)
# Runs the whole method on a fresh machine: makes .venv, installs requirements.txt, trains No Adapt, OURS and Supervised on the
# embedded synthetic pair, prints their table and writes DIR/report.html. Run it again to resume after an interruption.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/venv.sh
ensure_venv requirements.txt
exec "$VENV_PYTHON" -m cc_jax.train --config=configs/demo.py:table --workdir="${1:-runs/demo}"
