#!/usr/bin/env bash
# Makes the locks anew from pyproject.toml, with hashes and without an index's address. Needs `uv` on the PATH.
#   requirements/compile.sh            keeps today's pins where they still fit
#   UPGRADE=1 requirements/compile.sh  takes the newest of everything
# One resolution serves all: dev.txt holds every extra, the others are cut from it, so no two locks disagree.
set -euo pipefail
cd "$(dirname "$0")/.."
options=(--quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --no-strip-markers)
[ -z "${UPGRADE:-}" ] || options+=(--upgrade)
uv pip compile "${options[@]}" --all-extras --group dev --no-emit-package bankmlops pyproject.toml -o requirements/dev.txt
for lock in scoring local azure; do
  rm -f "requirements/$lock.txt"
  uv pip compile "${options[@]/--upgrade/--quiet}" --extra "$lock" --group build --constraint requirements/dev.txt \
    --no-emit-package bankmlops pyproject.toml -o "requirements/$lock.txt"
done
