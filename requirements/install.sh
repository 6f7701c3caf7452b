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
# pip compiles on one core; Python itself does it on all.
"${pip[@]}" install --no-deps --no-compile --require-hashes --requirement "requirements/$lock.txt"
"${pip[@]}" install --no-deps --no-build-isolation --editable .
"${pip[@]}" check
packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$folder/bin/python" -W ignore -m compileall -q -j 0 "$packages" || true # some packages bring code for other versions
