#!/usr/bin/env bash
# Installs into a virtual environment with the test extras; runs ruff, mypy and every test.
# Usage: ./scripts/test.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment "[test]"
ruff check .
ruff format --check .
mypy
python -m pytest "$@"
