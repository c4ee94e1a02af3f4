#!/usr/bin/env bash
# Installs into a virtual environment and runs the main job on embedded data: no download but the packages.
# Usage: ./scripts/demo.sh [OUT]     OUT is the study's folder, runs/demo by default
set -euo pipefail
here="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out="${1:-runs/demo}"
[ "${out#/}" != "$out" ] || [ $# -eq 0 ] || out="$here/$out"
source scripts/environment.sh
environment ""
aal study run configs/study/collision_demo.yaml --out "$out"
