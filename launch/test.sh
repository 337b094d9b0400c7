#!/usr/bin/env bash
# usage: launch/test.sh [PYTEST ARGUMENTS]     for example: launch/test.sh tests/density_test.py -k border
# Makes .venv where it is absent, installs what running and testing need, and runs the tests.
# Files of tests are shared out over the cores, up to eight; --numprocesses=0 runs them one after the other.
# Real images: under ../shared/data or $CC_JAX_DATA; tests that need them say so and are skipped without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/venv.sh
ensure_venv requirements.txt tests/requirements.txt
exec "$VENV_PYTHON" -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile "$@"
