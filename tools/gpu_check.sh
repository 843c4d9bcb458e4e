#!/usr/bin/env bash
# Checks this machine's GPU in less than 10 minutes and writes docs/gpu.md and docs/gpu.json.
#   tools/gpu_check.sh                        all sections
#   tools/gpu_check.sh --only numbers         one of them
#   tools/gpu_check.sh --device cpu --tiny    the same code on small models, without a GPU
# PYTHON names another interpreter than the one of .venv, which `make env` prepares.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
    [ -x .venv/bin/python ] || make env
    PYTHON=.venv/bin/python
fi
exec "$PYTHON" -m hoi_d2 benchmark gpu "$@"
