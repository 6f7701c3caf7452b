#!/usr/bin/env bash
# Makes the locks anew from pyproject.toml, with hashes and without an index's address. Needs `uv` on the PATH.
#   requirements/compile.sh            keeps today's pins where they still fit
#   UPGRADE=1 requirements/compile.sh  takes the newest of everything
# One resolution serves all: system.txt holds every extra and group, the others are cut from it, so no two locks disagree.
set -euo pipefail
cd "$(dirname "$0")/.."
options=(--quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --no-strip-markers)
[ -z "${UPGRADE:-}" ] || options+=(--upgrade)
compile() {
  uv pip compile "${options[@]}" "$@" --no-emit-package bankmlops pyproject.toml
}
compile --all-extras --group dev --group jupyter -o requirements/system.txt
options=("${options[@]/--upgrade/--quiet}" --constraint requirements/system.txt)
rm -f requirements/{dev,scoring,local,azure}.txt
compile --all-extras --group dev -o requirements/dev.txt
for extra in scoring local azure; do
  compile --extra "$extra" --group build -o "requirements/$extra.txt"
done
