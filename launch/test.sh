#!/usr/bin/env bash
# usage: launch/test.sh [PYTEST ARGUMENTS]     for example: launch/test.sh tests/density_test.py -k border
# Makes .venv if it is absent, installs the requirements of the program and of the tests, and runs the tests.
# Up to eight processes share the test files, in the order that tests/conftest.py gives. --numprocesses=0 runs them in one
# process. Compiled programs and prepared datasets stay in .test_cache for the next run.
# Tests on real images look under ../shared/data or $CC_JAX_DATA and are skipped if there are none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/venv.sh
ensure_venv requirements.txt tests/requirements.txt
exec "$VENV_PYTHON" -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile --no-loadscope-reorder "$@"
