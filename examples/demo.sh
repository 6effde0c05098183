#!/bin/sh
# demo.sh BIN: edits a function of a real package with the commands in BIN, shows the edit as a diff and applies it in a scratch copy.
set -eu
bin=${1:?usage: demo.sh BIN (the folder that holds cw-context and its siblings)}
bin=$(cd "$bin" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# click comes with Cromwell's own dependencies, and the model never saw it in training.
source=$("$bin/python" -c 'import click.formatting; print(click.formatting.__file__)')
cp "$source" "$scratch/formatting.py"
cd "$scratch"
line=$(grep -n 'col_spacing: int = 2' formatting.py | head -n 1 | cut -d: -f1)
echo "\$ cw-context formatting.py:$line -m 'change 2 to 4' | cw-generate -o edit.cwa; cw-diff edit.cwa; cw-apply edit.cwa"
"$bin/cw-context" "formatting.py:$line" -m 'change 2 to 4' | "$bin/cw-generate" -o edit.cwa
"$bin/cw-diff" edit.cwa
"$bin/cw-apply" edit.cwa
"$bin/python" -m py_compile formatting.py
cmp -s "$source" formatting.py && { echo "error: nothing was changed" >&2; exit 1; }
echo "applied in a scratch copy, which compiles"
