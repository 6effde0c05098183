# Common tasks. `just` alone lists them. They use .venv (the README's commands make it) or the python named in PYTHON.

python := env("PYTHON", ".venv/bin/python")
bin := parent_directory(python)

_list:
    @just --list --unsorted

# Edit a function of a real package: show the diff, then apply it in a scratch copy
demo:
    @sh examples/demo.sh {{bin}}

# Build the library and build/site, the packages laid out as installed
build:
    cmake -S . -B build -G Ninja -DPython_EXECUTABLE=$(realpath -s {{python}}) -DCROMWELL_TESTS=ON
    cmake --build build

# Run the tests against build/site (the README's test command runs them against the installed package)
test *ARGS: build
    PYTHONPATH=build/site {{python}} -m pytest {{ARGS}}

# The engine beside the machine's limits and other programs (docs/benchmarks.md), the main job, and the start of every command
[positional-arguments]
bench *ARGS: build
    cmake --build build --target $(basename -s .c -a libcromwell/tests/bench_*.c)
    PYTHONPATH=build/site {{python}} -m benchmarks.engine "$@"
    {{python}} benchmarks/main_job.py
    {{python}} benchmarks/startup.py

# Check style
lint:
    {{bin}}/ruff check .

# The figures of the README: fetch the held-out packages, make the held-out edits, measure the shipped model beside the baselines
evaluate DIR="data":
    {{python}} -m training.data fetch --manifest training/data/manifest.json --split heldout --out {{DIR}}
    {{python}} -m training.data heldout --src {{DIR}}/src --out {{DIR}}/edits-heldout.jsonl
    {{python}} -m training.data narrow {{DIR}}/edits-heldout.jsonl --out {{DIR}}/edits-narrow.jsonl
    {{python}} -m training.evaluate edits --model models/nano.cwm {{DIR}}/edits-heldout.jsonl --json > {{DIR}}/heldout.json
    {{python}} -m training.evaluate edits --model models/nano.cwm {{DIR}}/edits-narrow.jsonl --json > {{DIR}}/narrow.json
    {{python}} -m training.evaluate perplexity --model models/nano.cwm --src {{DIR}}/src --json > {{DIR}}/perplexity.json
    {{python}} -m training.evaluate card {{DIR}}/heldout.json {{DIR}}/narrow.json {{DIR}}/perplexity.json
