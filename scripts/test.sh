#!/usr/bin/env bash
# Installs into a virtual environment with the test extras; runs ruff, mypy and every test, on all cores up to 8.
# Usage: ./scripts/test.sh [--quick] [PYTEST ARGUMENTS]     --quick: while working, without slow tests and most real runs;
#                                                           -n 0: all tests in one process
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment "[test]"
ruff check .
ruff format --check .
mypy
export OMP_NUM_THREADS=1  # the cores are taken: two threads on each would wait for one another
processes="$(python -c 'import os; print(min(os.cpu_count() or 1, 8))')"
python -m pytest -n "$processes" --dist worksteal --durations 25 "$@"
