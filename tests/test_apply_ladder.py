"""cw-apply's match ladder: each rung with its level told, what is ambiguous refused, what does not fit set aside, GNU patch's fuzz."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from cromwell.apply import cw_apply, match, parse, unified
from cromwell.apply.blob import blob_hash
from cromwell.apply.text import MAX_CANDIDATES, Text, squeeze
from cromwell.apply.unified import Version
from cromwell.contract import cli

OLD = b"".join(b"line %d\n" % number for number in range(1, 31))
NEW = OLD.replace(b"line 10\n", b"LINE 10\n").replace(b"line 20\n", b"line 20\nadded\n")


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CROMWELL_STATE", str(tmp_path_factory.mktemp("state")))


def bare(text: bytes) -> bytes:
    """A diff without the lines of git's that name versions."""
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith((b"diff ", b"index ")))


def diff(old: bytes, new: bytes, context: int = 3, name: bytes = b"f") -> bytes:
    compared = unified.compare(name, Version(old), Version(new), context)
    assert compared is not None
    return unified.write(compared)


class Run:
    """cw-apply on a folder with one file f: exit code, stderr, the file and the JSON report after it."""

    def __init__(self, root: Path, capsysbinary, data: bytes | None, text: bytes, *options: str):
        if data is not None:
            (root / "f").write_bytes(data)
        (root.parent / "patch").write_bytes(text)
        self.code = cli.run(cw_apply.app, ["--root", str(root), "--json", str(root.parent / "patch"), *options])
        out, err = capsysbinary.readouterr()
        self.err = err.decode()
        self.data = (root / "f").read_bytes() if (root / "f").exists() else None
        self.files = json.loads(out)["files"] if out else []

    @property
    def hunks(self) -> list[tuple]:
        """(level, offset, fuzz) of every hunk of the first file."""
        return [(hunk["level"], hunk["offset"], hunk["fuzz"]) for hunk in self.files[0]["hunks"]]


@pytest.fixture
def apply(tmp_path, capsysbinary):
    root = tmp_path / "root"
    root.mkdir()
    return lambda data, text, *options: Run(root, capsysbinary, data, text, *options)


# ---- Rungs ------------------------------------------------------------------------------------------------------------------


def test_exact(apply):
    run = apply(OLD, diff(OLD, NEW))
    assert (run.code, run.data, run.hunks) == (0, NEW, [("exact", 0, 0)] * 2)
    assert [hunk["line"] for hunk in run.files[0]["hunks"]] == [7, 18]


def test_moved(apply):
    run = apply(b"top\n" * 4 + OLD, bare(diff(OLD, NEW)))
    assert (run.code, run.data, run.hunks) == (0, b"top\n" * 4 + NEW, [("moved", 4, 0)] * 2)
    assert "hunk 1 at +4 lines" in run.err


def test_whitespace_only_if_asked_for(apply):
    changed = OLD.replace(b"line 8\n", b"line \t8  \n").replace(b"line 10\n", b"line\t10\n")
    text = bare(diff(OLD, NEW))
    refused = apply(changed, text)
    assert (refused.code, refused.data) == (3, changed) and "line 8 is 'line \\t8  \\n'" in refused.err
    run = apply(changed, text, "--ignore-whitespace")
    assert run.code == 0 and run.hunks == [("whitespace", 0, 0), ("exact", 0, 0)]
    assert run.data == NEW.replace(b"line 8\n", b"line \t8  \n")  # context stays as the file has it
    assert "but for white space" in run.err


def test_lines_added_by_whitespace_take_the_files_line_ends(apply):
    run = apply(OLD.replace(b"\n", b"\r\n"), bare(diff(OLD, NEW)), "--ignore-whitespace")
    assert (run.code, run.data) == (0, NEW.replace(b"\n", b"\r\n"))
    run = apply(OLD, bare(diff(OLD.replace(b"\n", b"\r\n"), NEW.replace(b"\n", b"\r\n"))), "--ignore-whitespace")
    assert (run.code, run.data) == (0, NEW)


def test_whitespace_never_joins_lines(apply):
    """A last line without newline is another line, else lines added after it would continue it."""
    run = apply(b"a\nb", b"--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\n b\n+c\n", "--ignore-whitespace")
    assert (run.code, run.data) == (3, b"a\nb")


def test_fuzz_only_if_asked_for(apply):
    changed = OLD.replace(b"line 7\n", b"other\n")
    text = bare(diff(OLD, NEW))
    assert apply(changed, text).code == 3
    run = apply(changed, text, "--fuzz", "1")
    assert run.code == 0 and run.hunks == [("context", 0, 1), ("exact", 0, 0)] and run.data == NEW.replace(b"line 7\n", b"other\n")
    assert "hunk 1 without 1 of its outer lines" in run.err
    assert apply(OLD.replace(b"line 9\n", b"other\n"), text, "-F2").code == 3
    assert apply(OLD.replace(b"line 9\n", b"other\n"), text, "-F3").hunks[0] == ("context", 0, 3)


def test_fuzz_with_whitespace_and_offset(apply):
    changed = b"top\n" + OLD.replace(b"line 7\n", b"other\n").replace(b"line 8\n", b"line  8\n")
    run = apply(changed, bare(diff(OLD, NEW)), "-F2", "--ignore-whitespace")
    assert run.code == 0 and run.hunks == [("context", 1, 1), ("moved", 1, 0)] and run.files[0]["hunks"][0]["whitespace"] is True
    assert run.data == changed.replace(b"line 10\n", b"LINE 10\n").replace(b"line 20\n", b"line 20\nadded\n")


def test_fuzz_never_drops_all_that_confirms_a_place(apply):
    """GNU patch at fuzz 3 would insert at the stated line, whatever stands there."""
    text = bare(diff(OLD, OLD.replace(b"line 20\n", b"line 20\nadded\n")))
    run = apply(b"x\n" * 30, text, "-F3")
    assert (run.code, run.data) == (3, b"x\n" * 30)


def test_asking_for_a_looser_match_says_that_the_file_changed(apply):
    """A diff that names another version is refused, unless something was said about how to place its hunks."""
    changed = OLD.replace(b"line 7\n", b"other\n")
    refused = apply(changed, diff(OLD, NEW))
    assert refused.code == 3 and "is version" in refused.err and "--3way" in refused.err
    assert apply(changed, diff(OLD, NEW), "-F1").data == NEW.replace(b"line 7\n", b"other\n")


# ---- Ambiguity --------------------------------------------------------------------------------------------------------------

BLOCK = b"begin\n  value = 1\nend\n"


@pytest.mark.parametrize("options", [[], ["-F3"], ["--ignore-whitespace"]])
def test_repeated_sections_are_refused_once_the_file_drifted(apply, options):
    """A copy of the context stands at the very line that the patch states; the version named shows that the file is another."""
    old = b"head\n" + BLOCK + b"middle\n" * 3 + BLOCK + b"tail\n"
    new = old[::-1].replace(b"1 = eulav", b"2 = eulav", 1)[::-1]
    drifted = b"head\n" + BLOCK * 4 + b"middle\n" * 3 + BLOCK + b"tail\n"
    run = apply(drifted, diff(old, new, 1), "--ignore-hashes", *options)
    assert (run.code, run.data) == (3, drifted) and "fits at lines" in run.err


def test_a_strict_match_is_not_given_up_for_loose_ones(apply):
    """Only the first rung that has a place counts: with white space there are two, without there is one."""
    changed = OLD + OLD.replace(b" ", b"  ")
    run = apply(b"top\n" + changed, bare(diff(OLD, NEW)), "--ignore-whitespace")
    assert run.code == 0 and run.data == b"top\n" + NEW + OLD.replace(b" ", b"  ")


def test_hunks_keep_their_order(apply):
    parts = OLD.splitlines(keepends=True)
    swapped = b"".join(parts[15:] + parts[:15])
    run = apply(swapped, bare(diff(OLD, NEW)))
    assert (run.code, run.data) == (3, swapped) and "before the hunk before it" in run.err


# ---- Applied already --------------------------------------------------------------------------------------------------------


def test_applied_is_recognised_where_the_file_moved_on(apply):
    there = b"top\n" * 3 + NEW + b"bottom\n"
    run = apply(there, bare(diff(OLD, NEW)))
    assert (run.code, run.data, run.files[0]["status"]) == (0, there, "already applied")


def test_lines_that_are_nowhere_do_not_prove_a_deletion(apply):
    """A hunk that only takes lines away leaves context that may stand together anyway."""
    removed = OLD.replace(b"line 10\n", b"")
    run = apply(b"top\n" + removed, bare(diff(OLD, removed)))
    assert run.code == 3 and "does not match" in run.err


# ---- Rejects ----------------------------------------------------------------------------------------------------------------


def test_reject_sets_aside_what_does_not_fit(apply, tmp_path):
    changed = OLD.replace(b"line 9\n", b"other\n")
    run = apply(changed, diff(OLD, NEW), "--reject")
    assert run.code == 3 and "1 hunk was rejected: f.rej" in run.err
    assert run.data == changed.replace(b"line 20\n", b"line 20\nadded\n")
    assert run.hunks == [("rejected", None, 0), ("exact", 0, 0)]
    rejected = (tmp_path / "root/f.rej").read_bytes()
    (file,) = parse.parse(rejected, "f.rej")
    assert (file.old_name, len(file.hunks), file.hunks[0].old_start) == (b"a/f", 1, 7)
    again = apply(OLD, rejected)  # and it is a patch
    assert again.code == 0 and again.data == OLD.replace(b"line 10", b"LINE 10")


def test_no_rej_files_unless_asked_for(apply, tmp_path):
    assert apply(OLD.replace(b"line 9\n", b"other\n"), bare(diff(OLD, NEW))).code == 3
    assert apply(OLD.replace(b"line 9\n", b"other\n"), bare(diff(OLD, NEW)), "--reject", "--dry-run").code == 3
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["f"]


def test_rejects_never_go_through_links(apply, tmp_path):
    (tmp_path / "outside").write_bytes(b"mine\n")
    (tmp_path / "root/f.rej").symlink_to(tmp_path / "outside")
    changed = OLD.replace(b"line 9\n", b"other\n")
    run = apply(changed, diff(OLD, NEW), "--reject")
    assert (run.code, run.data) == (3, changed) and "symbolic link" in run.err
    assert (tmp_path / "outside").read_bytes() == b"mine\n" and (tmp_path / "root/f.rej").is_symlink()


def test_rejects_are_no_part_of_the_patch(apply, tmp_path):
    (tmp_path / "root/f.rej").write_bytes(OLD)
    changed = OLD.replace(b"line 9\n", b"other\n")
    run = apply(changed, diff(OLD, NEW) + diff(OLD, NEW, name=b"f.rej"), "--reject")
    assert (run.code, run.data) == (3, changed) and "where rejected hunks would go" in run.err


def test_a_failed_check_takes_rejects_back(apply, tmp_path):
    changed = OLD.replace(b"line 9\n", b"other\n")
    run = apply(changed, diff(OLD, NEW), "--reject", "--check", "false")
    assert (run.code, run.data) == (5, changed) and not (tmp_path / "root/f.rej").exists()


def test_a_version_named_has_no_rejects(apply):
    """Hunks that do not fit the very version they name are a damaged patch."""
    damaged = diff(OLD, NEW).replace(b" line 9\n", b" line X\n")
    run = apply(OLD, damaged, "--reject")
    assert run.code == 3 and "does not fit the very version" in run.err and run.data == OLD


# ---- Which files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "names"), [
    (["--include", "src/*"], {"src/a.py", "src/deep/b.py"}), (["--exclude", "*.py"], {"c.txt"}),
    (["--include", "*.py", "--exclude", "src/deep/*"], {"src/a.py"}), (["--include", "nothing"], set()),
])
def test_include_and_exclude(apply, tmp_path, options, names):
    text = b""
    for name in ("src/a.py", "src/deep/b.py", "c.txt"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_bytes(OLD)
        text += diff(OLD, NEW, name=name.encode())
    run = apply(None, text, *options)
    assert (run.code, {file["path"] for file in run.files}) == (0, names)
    for name in ("src/a.py", "src/deep/b.py", "c.txt"):
        assert (tmp_path / "root" / name).read_bytes() == (NEW if name in names else OLD)


# ---- GNU patch as oracle ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("patch") is None, reason="GNU patch is not installed")
def test_agrees_with_gnu_patch_on_fuzz(tmp_path):
    """Where both find a place for every hunk, with the same fuzz allowed, the bytes are the same; and most of the time both do."""
    both = only_patch = 0
    for seed in range(60):
        generator = random.Random(seed)
        old = [b"line %d\n" % number for number in range(40)]
        new = list(old)
        for _ in range(3):
            at = generator.randrange(len(new))
            new[at:at + generator.randrange(2)] = [b"new %d\n" % generator.randrange(99)] * generator.randrange(3)
        drifted = list(old)
        for _ in range(generator.randrange(1, 4)):
            at = generator.randrange(len(drifted))
            drifted[at:at + generator.randrange(2)] = [b"drift %d\n" % generator.randrange(99)] * generator.randrange(3)
        old_data, new_data, data = b"".join(old), b"".join(new), b"".join(drifted)
        if old_data == new_data:
            continue
        text, fuzz = bare(diff(old_data, new_data)), generator.randrange(4)
        (tmp_path / "f").write_bytes(data)
        ran = subprocess.run(["patch", "-s", "-f", "-p1", f"-F{fuzz}", "-o", "out", "-r", "-", "f"], input=text, cwd=tmp_path, check=False,
                             capture_output=True)
        lines = Text(data)
        try:
            places = match.place(lines, parse.parse(text, "patch")[0].hunks, False, False, match.Ladder(fuzz=fuzz))
        except match.NoMatch as error:
            only_patch += ran.returncode == 0
            assert ran.returncode or fuzz == 3 or error.what.startswith(("fits at", "stands at")), (seed, error.what)
            continue
        if ran.returncode == 0:
            both += 1
            assert match.apply(lines, places) == (tmp_path / "out").read_bytes(), seed
    assert both >= 25 and only_patch <= 6, (both, only_patch)


# ---- Searching --------------------------------------------------------------------------------------------------------------


def test_places_are_those_of_a_plain_search():
    generator = random.Random(5)
    for _ in range(300):
        lines = [generator.choice([b"a\n", b"b\n", b"c\n", b"\n"]) for _ in range(generator.randrange(40))]
        if lines and generator.random() < 0.3:
            lines[-1] = generator.choice([b"a", b"b"])
        size = generator.randrange(1, 4)
        wanted = [generator.choice([b"a\n", b"b\n", b"\n"]) for _ in range(size)]
        if generator.random() < 0.2:
            wanted[-1] = b"a"
        expected = [at for at in range(len(lines) - size + 1) if lines[at:at + size] == wanted]
        indexed = Text(b"".join(lines))
        assert indexed.index is not None
        assert Text(b"".join(lines)).places(wanted) == indexed.places(wanted) == expected


def test_lines_that_repeat_are_searched_in_bounded_time():
    text = Text(b"a\n" * 200_000 + b"b\n")
    assert len(text.index[b"a\n"]) > MAX_CANDIDATES
    assert text.places([b"a\n"] * 5 + [b"b\n"]) == [199_995]
    for _ in range(40):
        assert text.places([b"b\n", b"a\n"]) == []


def test_squeezed_lines():
    assert squeeze(b"\t a  b \r\n") == b" a b\n" and squeeze(b"a") == b"a" and squeeze(b" \n") == b"\n"
    assert blob_hash(Text(OLD).squeezed.data) == blob_hash(OLD)
