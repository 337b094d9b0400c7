#!/usr/bin/env bash
# usage: launch/demo.sh [DIR]     (default: runs/demo)
# The method at work on this machine, from nothing: makes .venv, installs what running needs, trains No Adapt, OURS and
# Supervised on the embedded synthetic pair, prints their table and writes DIR/report.html. Run again, it goes on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/venv.sh
ensure_venv requirements.txt
exec "$VENV_PYTHON" -m cc_jax.train --config=configs/demo.py:table --workdir="${1:-runs/demo}"
