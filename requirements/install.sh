#!/usr/bin/env bash
# Makes a virtual environment from a lock: requirements/install.sh PYTHON FOLDER LOCK
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 folder=$2 lock=$3
oldest='(3, 11)' serves='Python 3.11, 3.12 or 3.13'
if [ "$lock" = dev ] || [ "$lock" = system ]; then newest='(3, 12)' serves="Python 3.11 (Azure's SDK has no newer one)"; else newest='(3, 14)'; fi
if ! "$python" -c "import sys; sys.exit(not $oldest <= sys.version_info[:2] < $newest)" 2>/dev/null; then
  echo "error: $("$python" --version 2>&1 || true) can't serve here: this needs $serves; name one with PYTHON=python3.11" >&2
  exit 2
fi
echo "Setting up $folder from requirements/$lock.txt (once; a minute or two) ..." >&2
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
pip=("$folder/bin/python" -m pip --quiet --disable-pip-version-check)
# The lock is the whole resolution. A resolver beside it could still fail: pip 23 looks at the newest release for a name with an extra.
# pip unpacks and compiles on one core: here each core unpacks a part of the lock, and Python itself compiles on all of them.
# What is not worth compiling ahead: packages' own tests, and large clients that are hardly ever imported.
parts=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$parts"' EXIT
processors=$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
awk -v parts="$parts" -v count="$((processors < 4 ? processors : 4))" \
  '/^[A-Za-z0-9]/ { part = entries++ % count } { print > (parts "/" part ".txt") }' "requirements/$lock.txt"
installs=()
for part in "$parts"/*.txt; do
  "${pip[@]}" install --no-deps --no-compile --require-hashes --requirement "$part" &
  installs+=($!)
done
for install in "${installs[@]}"; do wait "$install"; done
"${pip[@]}" install --no-deps --no-build-isolation --editable .
"${pip[@]}" check
packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
seldom='/tests?/|/aio/|/azure/mgmt/(authorization|containerregistry|network)/|/databricks/|/ray/'
"$folder/bin/python" -W ignore -m compileall -q -j 0 -x "$seldom" "$packages" || true # some packages bring code for other versions
