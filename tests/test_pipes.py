"""The commands as subprocesses: pipes and files, every stage, determinism, truncated streams."""

from __future__ import annotations

import contextlib
import io
import itertools
import shlex
import shutil
import subprocess
import sys

import click.formatting
import pytest

from cromwell import binding
from cromwell.contract import artifact

# Decodes something that passes the gate whatever the model: a text without a grammar, warm draws, and endings that come soon.
DRAW = "--min-confidence 0 -n 6 --temperature 1.2 --seed 3 --max-tokens 40 " + " ".join(f"--stop {letter}" for letter in "eaoi")
NOTES = "first line\nsecond line\nthird line\nfourth line\n"


def instruction_sets() -> list[str]:
    """Those that this machine has, the reference first."""
    found = []
    for name in ("scalar", "avx2"):
        with contextlib.suppress(binding.CromwellError):
            binding.isa_select(name)
            found.append(name)
    binding.isa_select(None)
    return found


INSTRUCTION_SETS = instruction_sets()


@pytest.fixture
def shell(tmp_path, environment):
    """Runs a line of shell in a folder with notes.txt, app.py and a picture."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "notes.txt").write_bytes(NOTES.encode())
    shutil.copy(click.formatting.__file__, work / "formatting.py")

    def run(line: str, code: int | None = 0, **variables: str) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(["sh", "-c", line], cwd=work, env=environment | variables, capture_output=True, check=False)
        assert code is None or done.returncode == code, (line, done.returncode, done.stderr.decode())
        assert b"Traceback" not in done.stderr
        return done

    run.folder = work
    return run


def read(data: bytes, kind: str) -> artifact.Artifact:
    return artifact.read(io.BytesIO(data), "output", {kind})


CONTEXT = "cw-context notes.txt:2-3 -m 'write something else'"


def test_short_pipe(shell):
    shell(f"{CONTEXT} | cw-generate {DRAW} | cw-apply")
    lines = (shell.folder / "notes.txt").read_bytes().split(b"\n")
    assert lines[0] == b"first line" and lines[-2:] == [b"fourth line", b""]
    assert b"\n".join(lines) != NOTES.encode()


def test_long_pipe_shows_what_is_applied(shell):
    shell(f"{CONTEXT} | cw-encode | cw-generate {DRAW} | cw-diff > edit.diff")
    diff = (shell.folder / "edit.diff").read_bytes()
    assert diff.startswith(b"diff --git a/notes.txt b/notes.txt\n") and b"\nindex " in diff
    assert (shell.folder / "notes.txt").read_bytes() == NOTES.encode(), "only cw-apply writes"
    shell("cw-apply edit.diff")
    applied = (shell.folder / "notes.txt").read_bytes()
    (shell.folder / "notes.txt").write_bytes(NOTES.encode())
    shell(f"{CONTEXT} | cw-encode | cw-generate {DRAW} | cw-diff | cw-apply")
    assert (shell.folder / "notes.txt").read_bytes() == applied


def test_files_between_the_stages(shell):
    shell(f"{CONTEXT} -o a.cwa && cw-encode a.cwa -o b.cwe && cw-generate b.cwe {DRAW} -o c.cwa")
    shell("cw-diff c.cwa -o d.diff && cw-apply d.diff")
    piped = shell(f"printf '{NOTES.encode().decode('ascii')}' > notes.txt; {CONTEXT} | cw-encode | cw-generate {DRAW}").stdout
    assert piped == (shell.folder / "c.cwa").read_bytes(), "a pipe and files give the same bytes"


def test_with_and_without_encode_the_candidates_are_the_same(shell):
    short = read(shell(f"{CONTEXT} | cw-generate {DRAW}").stdout, "edit")
    long = read(shell(f"{CONTEXT} | cw-encode | cw-generate {DRAW}").stdout, "edit")
    assert short.meta == long.meta and short.arrays == long.arrays
    assert [entry["tool"] for entry in short.lineage] == ["cw-context", "cw-generate"]
    assert [entry["tool"] for entry in long.lineage] == ["cw-context", "cw-encode", "cw-generate"]


def test_same_bytes_for_any_threads_isa_and_cache(shell):
    shell(f"{CONTEXT} -o a.cwa")
    line = f"cw-encode a.cwa {{0}} -o b.cwe && cw-generate b.cwe {DRAW} {{0}}"
    expected = shell(line.format("--no-cache --threads 1 --isa scalar")).stdout
    encoding = (shell.folder / "b.cwe").read_bytes()
    for threads, isa, cache in (("4", "scalar", ""), ("2", INSTRUCTION_SETS[-1], "")):
        for _ in range(2):  # cold, hot
            variables = {"CROMWELL_ISA": isa, "CROMWELL_THREADS": threads, "CROMWELL_CACHE": str(shell.folder / f"cache-{isa}")}
            got = shell(line.format(cache), **variables)
            assert got.stdout == expected, (threads, isa, cache, got.stderr)
            assert (shell.folder / "b.cwe").read_bytes() == encoding


@pytest.mark.parametrize("picture", [False, True])
def test_same_bytes_for_every_combination(shell, environment, monkeypatch, other_pack, picture):
    """The whole matrix in one process, on a tiny model: threads, instruction set, and the cache off, cold and hot."""
    from cromwell.contract import cli
    from cromwell.generate.cw_generate import app

    extra = ""
    if picture:
        pytest.importorskip("PIL.Image").effect_noise((100, 50), 80).convert("RGB").save(shell.folder / "noise.png")
        extra = " --image noise.png"
    shell(f"{CONTEXT}{extra} -o a.cwa && cw-encode a.cwa -o b.cwe", CROMWELL_MODEL=str(other_pack))
    monkeypatch.chdir(shell.folder)
    monkeypatch.setenv("CROMWELL_MODEL", str(other_pack))
    monkeypatch.setenv("HOME", environment["HOME"])
    expected = {}
    for number, (threads, isa, source) in enumerate(itertools.product("124", INSTRUCTION_SETS, ("a.cwa", "b.cwe"))):
        monkeypatch.setenv("CROMWELL_CACHE", str(shell.folder / f"cache{number}"))
        for cache in ("--no-cache", "--cache", "--cache"):
            assert cli.run(app, [source, *shlex.split(DRAW), "--threads", threads, "--isa", isa, cache, "-o", "out"]) == 0
            assert binding.isa_name() == isa
            got = (shell.folder / "out").read_bytes()
            assert expected.setdefault(source, got) == got, (threads, isa, source, cache)
    binding.isa_select(None)


def test_states_are_restored_and_change_nothing(shell):
    """One prefix, two instructions: the second run starts from the states of the first."""
    text = "".join(f"line {number} of a longer text that fills a few blocks of states\n" for number in range(40))
    (shell.folder / "notes.txt").write_text(text)
    line = f"cw-context notes.txt:20-21 -m '{{}}' | cw-generate -v {DRAW}"
    cold = shell(line.format("write something new") + " --no-cache").stdout
    first = shell(line.format("write something else"))
    second = shell(line.format("write something new"))
    assert b" 0 restored" in first.stderr and b" 0 restored" not in second.stderr
    assert second.stdout == cold
    third = shell(line.format("write something new"))
    assert b"taken from the cache" in third.stderr and third.stdout == cold


def test_a_damaged_cache_changes_nothing(shell):
    line = f"{CONTEXT} | cw-generate {DRAW}"
    expected = shell(line, CROMWELL_CACHE=str(shell.folder / "cache")).stdout
    for path in (shell.folder / "cache").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    assert shell(line, CROMWELL_CACHE=str(shell.folder / "cache")).stdout == expected
    assert shell(line, CROMWELL_CACHE="/proc/no/such").stdout == expected, "an unusable cache costs time only"


def test_pictures_reach_the_model_through_every_stage(shell, environment, other_pack):
    environment["CROMWELL_MODEL"] = str(other_pack)  # random weights: nothing that it sees leaves it cold
    image = pytest.importorskip("PIL.Image")
    image.effect_noise((300, 200), 80).convert("RGB").save(shell.folder / "noise.png")
    image.new("RGB", (60, 40), "white").save(shell.folder / "white.png")
    line = "cw-context notes.txt:2-3 -m 'write the text' --image %s | tee a.cwa | cw-encode | tee b.cwe | cw-generate " + DRAW
    noise, white = (read(shell(line % name).stdout, "edit") for name in ("noise.png", "white.png"))
    encoding = read((shell.folder / "b.cwe").read_bytes(), "encoding")
    context = read((shell.folder / "a.cwa").read_bytes(), "context")
    assert context.arrays["image.0"].shape == (40, 60, 3)
    assert encoding.meta["tiles"] == [{"rows": 1, "cols": 1}] and encoding.arrays["pixels.0"].shape == (1, 256, 256, 3)
    scores = [[candidate["log_probability"] for candidate in edit.meta["candidates"]] for edit in (noise, white)]
    assert scores[0] != scores[1], "another picture must make a difference"
    short = read(shell(f"cw-generate a.cwa --no-cache {DRAW}").stdout, "edit")
    assert short.meta == white.meta and short.arrays == white.arrays


def test_a_truncated_stream_is_noticed_without_pipefail(shell):
    whole = shell(f"{CONTEXT} -o a.cwa; cat a.cwa").stdout
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        for command in ("cw-encode", "cw-generate"):
            done = shell(f"head -c {size} a.cwa | {command} | cat > out; test ! -s out")
            assert done.stderr.startswith(b"error: ")


def test_a_failed_stage_stops_the_pipe(shell):
    before = (shell.folder / "notes.txt").read_bytes()
    done = shell("cw-context notes.txt:9-12 -m x | cw-generate | cw-apply", code=2)
    assert b"notes.txt:9-12" in done.stderr
    assert (shell.folder / "notes.txt").read_bytes() == before


def test_no_acceptable_edit_ends_with_4_and_writes_nothing(shell):
    done = shell(f"{CONTEXT} | cw-generate --max-tokens 1 -o edit.cwa", code=4)
    assert done.stdout == b"" and not (shell.folder / "edit.cwa").exists()
    assert b"no acceptable edit found" in done.stderr and b"hint: " in done.stderr


def test_text_prints_the_region_only(shell):
    edit = read(shell(f"{CONTEXT} | cw-generate {DRAW}").stdout, "edit")
    text = shell(f"{CONTEXT} | cw-generate {DRAW} --text").stdout
    assert text == edit.arrays[f"candidate.{edit.meta['best']}"].data
    assert edit.meta["candidates"][edit.meta["best"]]["accepted"]


def test_stream_shows_the_text_on_stderr(shell):
    line = f"{CONTEXT} | cw-generate --no-cache {DRAW}"
    plain, streamed = shell(line), shell(line + " --stream")
    assert streamed.stdout == plain.stdout and plain.stderr == b""
    shown: dict[int, list[bytes]] = {}
    for text in streamed.stderr.decode().splitlines():
        number, colon, rest = text.partition(": ")
        assert colon
        shown.setdefault(int(number), []).append(rest.encode())
    edit = read(plain.stdout, "edit")
    for number, candidate in enumerate(edit.meta["candidates"]):
        text = b"\n".join(shown.get(number, []))
        assert candidate["stop"] != "string" or text.startswith(edit.arrays[f"candidate.{number}"].data.rstrip(b"\n"))
    one = shell(f"{CONTEXT} | cw-generate --no-cache --seed 3 --temperature 1.2 --max-tokens 40 --stop e --stream", None)
    assert one.stderr and not one.stderr.startswith(b"0: ")


def test_line_ends_bom_and_missing_newline_come_through(shell):
    files = {"crlf.txt": NOTES.replace("\n", "\r\n").encode(), "bom.txt": b"\xef\xbb\xbf" + NOTES.encode(),
             "open.txt": NOTES.rstrip("\n").encode(), "mixed.txt": b"first line\r\nsecond line\nthird line\r\nfourth line\n"}
    for name, data in files.items():
        (shell.folder / name).write_bytes(data)
        (shell.folder / name).chmod(0o640)
        shell(f"cw-context {name}:1-2 -m 'write something else' | cw-generate {DRAW} | cw-apply")
        new = (shell.folder / name).read_bytes()
        kept = b"".join(data.splitlines(keepends=True)[2:])
        assert new.endswith(kept) and new != data
        assert new.startswith(b"\xef\xbb\xbf") == data.startswith(b"\xef\xbb\xbf")
        if name == "crlf.txt":
            assert new.count(b"\r\n") == new.count(b"\n")
        assert (shell.folder / name).stat().st_mode & 0o777 == 0o640


def test_the_instruction_from_standard_input_and_from_a_file(shell):
    (shell.folder / "words").write_text("write something else\n")
    expected = shell(CONTEXT).stdout
    assert shell("echo 'write something else' | cw-context notes.txt:2-3 -m -").stdout == expected
    assert shell("cw-context notes.txt:2-3 --message-file words").stdout == expected


def test_an_absolute_path_below_the_folder_is_kept_relative(shell):
    made = read(shell(f"cw-context {shlex.quote(str(shell.folder))}/notes.txt:2-3 -m 'write something else'").stdout, "context")
    assert made.meta["path"] == "notes.txt"
    assert made == read(shell(CONTEXT).stdout, "context")


def test_the_budget_is_exact(shell):
    found = read(shell("cw-context formatting.py:100-110 -m 'rename a to b'").stdout, "context").meta
    assert found["window"]["start_line"] == 94 and found["window"]["end_line"] == 116
    done = shell("cw-context formatting.py:100-110 -m 'rename a to b' --budget 30", code=2)
    needed = int(done.stderr.split(b"needs ")[1].split()[0])
    for budget, lines in ((needed, 11), (needed + 25, None), (found["prompt_tokens"], 23)):
        meta = read(shell(f"cw-context formatting.py:100-110 -m 'rename a to b' --budget {budget}").stdout, "context").meta
        assert meta["prompt_tokens"] <= budget
        if lines is not None:
            assert meta["window"]["end_line"] - meta["window"]["start_line"] + 1 == lines
    shell(f"cw-context formatting.py:100-110 -m 'rename a to b' --budget {needed - 1}", code=2)
    encoded = read(shell(f"cw-context formatting.py:100-110 -m 'rename a to b' --budget {needed} | cw-encode").stdout, "encoding")
    assert encoded.arrays["tokens"].shape == (needed,)


def test_excerpts_stand_first_and_count(shell):
    made = read(shell("cw-context notes.txt:2-3 -m x --context formatting.py:1-3 --context formatting.py::iter_rows").stdout, "context")
    plain = read(shell("cw-context notes.txt:2-3 -m x").stdout, "context")
    assert made.arrays["excerpt.1"].data.startswith(b"def iter_rows(")
    assert made.meta["prompt_tokens"] > plain.meta["prompt_tokens"]


def test_no_command_imports_torch_or_numpy(shell):
    """Looked for in the modules of a real run of each stage."""
    shell(f"{CONTEXT} -o a.cwa && cw-encode a.cwa -o b.cwe")
    program = ("import sys; sys.path[:0] = {site!r}.split(':')\nfrom {module} import app\nfrom cromwell.contract import cli\n"
               "code = cli.run(app, {arguments!r})\nassert code == 0, code\n"
               "heavy = {{'torch', 'numpy', 'tokenizers', 'pygments', 'rich', 'PIL'}} & set(sys.modules)\nassert not heavy, heavy")
    for module, arguments in (("cromwell.prepare.cw_context", ["notes.txt:2-3", "-m", "x", "-o", "x.cwa"]),
                              ("cromwell.encode.cw_encode", ["a.cwa", "-o", "x.cwe"]),
                              ("cromwell.generate.cw_generate", ["b.cwe", *shlex.split(DRAW), "-o", "x.edit"])):
        site = ":".join(path for path in sys.path if path)
        code = program.format(site=site, module=module, arguments=arguments)
        shell(f"{shlex.quote(sys.executable)} -P -c {shlex.quote(code)}")


def test_a_real_edit_of_a_real_file(shell):
    """The main job, with the model that comes with the package."""
    before = (shell.folder / "formatting.py").read_bytes()
    old, new = b"col_spacing: int = 2", b"col_spacing: int = 4"
    line = before[: before.index(old)].count(b"\n") + 1
    shell(f"cw-context formatting.py:{line} -m 'change 2 to 4' | cw-generate | cw-apply")
    assert (shell.folder / "formatting.py").read_bytes() == before.replace(old, new, 1)
