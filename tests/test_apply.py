"""cw-apply's reading, matching and planning: every dialect, every refusal, and agreement with git, GNU patch and unidiff."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
import unidiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cromwell.apply import cw_apply, match, parse, paths, plan, unified
from cromwell.apply.blob import blob_hash
from cromwell.apply.errors import PatchError, Refused
from cromwell.apply.names import quote
from cromwell.apply.patching import Rules
from cromwell.apply.text import Text
from cromwell.apply.tree import Tree
from cromwell.apply.unified import Version
from cromwell.contract import cli
from cromwell.contract.errors import CommandError

SAMPLES = Path(__file__).parent / "test_apply_samples"

POEM = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n"
POEM_AFTER = b"one\ntwo\nTHREE\nfour\nfive\nsix\nseven\neight\n"
BEFORE = {"poem.txt": POEM, "gone.py": b"x = 1\n"}
AFTER = {"poem.txt": POEM_AFTER, "made.py": b"y = 2\n"}
DIALECTS = {
    "git-mail": (BEFORE, AFTER),
    "gnu-recursive": (BEFORE, AFTER),
    "mercurial": (BEFORE, AFTER),
    "subversion": (BEFORE, {**AFTER, "gone.py": b"x = 1\n"}),
    "subversion-nonexistent": (BEFORE, AFTER),
    "gnu-backup": (BEFORE, {"poem.txt": POEM_AFTER, "gone.py": b"x = 1\n"}),
    "crlf-mail": (BEFORE, {"poem.txt": POEM_AFTER, "gone.py": b"x = 1\n"}),
    "crlf-lines": ({"dos.txt": b"one\r\ntwo\r\nthree\n"}, {"dos.txt": b"one\r\nTWO\r\nthree\n"}),
    "git-no-newline": ({"gone.py": b"x = 1\n", "tail": b"a\nb"}, {"gone.py": b"x = 2", "tail": b"a\nb\n"}),
    "git-rename": ({"sch\u00f6n er.txt": b"a\nb\n", "poem.txt": POEM, "with space.sh": b""},
                   {"new folder/sch\u00f6n.txt": b"a\nc\n", "poem.txt": POEM, "copies/poem.txt": POEM, "with space.sh": b""}),
}


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CROMWELL_STATE", str(tmp_path_factory.mktemp("state")))


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def command(capsysbinary, *arguments) -> tuple[int, bytes, bytes]:
    code = cli.run(cw_apply.app, [str(argument) for argument in arguments])
    return code, *capsysbinary.readouterr()


def steps(root: Path, text: bytes, reverse: bool = False, **rules) -> list[plan.Step]:
    """The plan of a patch, on the files of `root`."""
    files = parse.parse(text, "patch")
    if reverse:
        files = [file.reversed() for file in reversed(files)]
    tree = Tree(str(root))
    try:
        planned = plan.Plan(tree, Rules(**rules))
        planned.apply(files, paths.targets(files, None, lambda path: tree.read(path) is not None))
        return planned.steps()
    finally:
        tree.close()


def patched(data: bytes, text: bytes, reverse: bool = False) -> bytes:
    """`data` with the one file part of `text` applied at its stated places, without files."""
    (file,) = parse.parse(text, "patch")
    file = file.reversed() if reverse else file
    lines = Text(data)
    return match.apply(lines, match.place(lines, file.hunks, True, False))


# ---- Dialects ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIALECTS)
def test_dialect(name, tmp_path, capsysbinary):
    before, after = DIALECTS[name]
    put(tmp_path, before)
    code, _out, err = command(capsysbinary, "--root", tmp_path, SAMPLES / f"{name}.diff")
    assert (code, contents(tmp_path)) == (0, after), err
    if name in ("git-mail", "git-rename"):
        executable = "poem.txt" if name == "git-mail" else "with space.sh"
        assert (tmp_path / executable).stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", [name for name in DIALECTS if name not in ("git-rename", "subversion")])
def test_dialect_reversed(name, tmp_path, capsysbinary):
    before, after = DIALECTS[name]
    put(tmp_path, after)
    (tmp_path / next(iter(after))).chmod(0o755)
    code, _out, err = command(capsysbinary, "--root", tmp_path, "--reverse", SAMPLES / f"{name}.diff")
    assert (code, contents(tmp_path)) == (0, before), err


def test_every_sample_is_listed():
    assert {path.stem for path in SAMPLES.glob("*.diff")} == set(DIALECTS)


@pytest.mark.parametrize("name", [name for name in DIALECTS if not name.startswith(("crlf", "gnu-backup"))])
def test_applied_twice_changes_nothing(name, tmp_path, capsysbinary):
    before, after = DIALECTS[name]
    put(tmp_path, before)
    arguments = ["--root", tmp_path, "--json", SAMPLES / f"{name}.diff"]
    assert command(capsysbinary, *arguments)[0] == 0
    if name in ("git-rename", "mercurial", "gnu-recursive", "git-mail", "subversion-nonexistent"):
        # a deleted file counts as done only beside others that are
        assert command(capsysbinary, *arguments)[0] in (0, 3)
    else:
        code, out, err = command(capsysbinary, *arguments)
        assert code == 0 and out.count(b"already applied") == out.count(b'"path"'), err
    assert contents(tmp_path) == after


# ---- Own diffs ---------------------------------------------------------------------------------------------------------------

ODD_LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"\n", b"a\r\n", b"\r", b"\0", b"\x0c\n", "\u2028".encode(), b"-- \n",
                                      b"--- x\n", b"+++ y\n",
                                      b"@@ -1 +1 @@\n", b"\\ No\n", b"diff --git a b\n", b" \n", b"x" * 300 + b"\n"]), max_size=30)
TEXTS = st.one_of(ODD_LINES.map(b"".join), st.binary(max_size=40))


@settings(max_examples=250, deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 4))
def test_applies_own_diff_and_its_reverse(old, new, context):
    diff = unified.compare(b"dir/file", Version(old), Version(new), context)
    if diff is None:
        assert old == new
        return
    text = unified.write(diff)
    assert patched(old, text) == new
    assert patched(new, text, reverse=True) == old


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.none(), TEXTS), st.one_of(st.none(), TEXTS), st.booleans(), st.booleans())
def test_plans_own_diff_on_files(tmp_path, old, new, old_executable, new_executable):
    root = tmp_path / "tree"
    root.mkdir(exist_ok=True)
    target = root / "f"
    target.unlink(missing_ok=True)
    before = None if old is None else Version(old, old_executable)
    after = None if new is None else Version(new, new_executable)
    if before:
        target.write_bytes(before.data)
        target.chmod(0o755 if before.executable else 0o600)
    diff = unified.compare(b"f", before, after)
    if diff is None:
        return
    (step,) = steps(root, unified.write(diff))
    assert step.path == b"f" and (step.new and (step.new.data, step.new.executable)) == (after and (after.data, after.executable))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_damaged_patches_are_refused_or_applied(noise, seed):
    """A patch with bytes changed never crashes the parser."""
    text = bytearray((SAMPLES / random.Random(seed).choice(list(DIALECTS))).with_suffix(".diff").read_bytes())
    generator = random.Random(seed)
    for byte in noise[:8]:
        text[generator.randrange(len(text))] = byte
    for damaged in (bytes(text), bytes(text[:generator.randrange(len(text))]), noise):
        try:
            parse.parse(damaged, "patch")
        except (PatchError, Refused):
            pass


@given(st.binary(max_size=30).filter(lambda name: b"\0" not in name))
def test_quoted_names(name):
    written = quote(name)
    if written.startswith(b'"'):
        (file,) = parse.parse(b"diff --git x\nrename from " + written + b"\nrename to y\n", "patch")
        assert file.old_name == name
    else:
        assert written == name


# ---- Other tools as oracles --------------------------------------------------------------------------------------------------


def random_versions(seed: int, count: int) -> dict[str, tuple[bytes | None, bytes | None]]:
    """Names with old and new contents; None: no such file."""
    generator = random.Random(seed)
    pieces = [b"", b"\n", b"x", b"def f():\n", b"    return 1\n", b"}\n", b"\t\r\n", b"caf\xc3\xa9\n", b"last", b" \n", b"\x0c\n",
              b"\\ \n", b"+\n", b"-- \n"]
    versions: dict[str, tuple[bytes | None, bytes | None]] = {}
    for number in range(count):
        lines = [generator.choice(pieces) for _ in range(generator.randrange(40))]
        edited = list(lines)
        for _ in range(generator.randrange(6)):
            edited.insert(generator.randrange(len(edited) + 1), generator.choice(pieces))
            del edited[generator.randrange(len(edited))]
        name = generator.choice(["f%d", "dir/f%d", "with space/f %d.txt", "caf\u00e9-%d", 'quo"te\\%d', "tab\t%d"]) % number
        versions[name] = (b"".join(lines), b"".join(edited))
        if generator.random() < 0.2:
            versions[name] = generator.choice([(None, b"".join(lines)), (b"".join(lines), None)])
    return {name: (old, new) for name, (old, new) in versions.items() if old != new}


def git(*arguments, cwd, text: bytes = b"") -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1",
                   "GIT_CEILING_DIRECTORIES": str(Path(cwd).parent)}
    return subprocess.run(["git", *arguments], cwd=cwd, input=text, capture_output=True, env=environment, check=False)


def test_git_apply_takes_own_diffs(tmp_path):
    versions = random_versions(1, 150)
    put(tmp_path, {name: old for name, (old, _new) in versions.items() if old is not None})
    diffs = [unified.compare(os.fsencode(name), None if old is None else Version(old), None if new is None else Version(new))
             for name, (old, new) in versions.items()]
    result = git("apply", "--whitespace=nowarn", "-", cwd=tmp_path, text=b"".join(unified.write(diff) for diff in diffs if diff))
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path) == {name: new for name, (_old, new) in sorted(versions.items()) if new is not None}


@pytest.mark.parametrize("options", [["--full-index"], ["-U1", "--histogram"], ["-M", "-C"], ["--no-prefix"], ["-U0", "--patience"]])
def test_git_diffs_are_applied(options, tmp_path):
    versions = random_versions(2, 150)
    put(tmp_path / "a", {name: old for name, (old, _new) in versions.items() if old is not None})
    git("init", "-q", cwd=tmp_path / "a")
    git("add", "-A", cwd=tmp_path / "a")
    git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "before", cwd=tmp_path / "a")
    for name, (_old, new) in versions.items():
        if new is None:
            (tmp_path / "a" / name).unlink()
        else:
            put(tmp_path / "a", {name: new})
    git("add", "-A", cwd=tmp_path / "a")
    text = git("diff", "--cached", "--text", *options, cwd=tmp_path / "a").stdout
    put(tmp_path / "b", {name: old for name, (old, _new) in versions.items() if old is not None})
    after = {name: data for name, data in contents(tmp_path / "b").items()}
    for step in steps(tmp_path / "b", text):
        if step.new is None:
            del after[os.fsdecode(step.path)]
        else:
            after[os.fsdecode(step.path)] = step.new.data
    assert after == {name: new for name, (_old, new) in sorted(versions.items()) if new is not None}


def test_unidiff_reads_own_diffs():
    for name, (old, new) in random_versions(3, 60).items():
        if old is None or new is None or any(byte in name for byte in '"\t\u00e9 '):
            continue
        diff = unified.compare(os.fsencode(name), Version(old.replace(b"\x0c", b"")), Version(new.replace(b"\x0c", b"")))
        if diff is None or b"\r" in old + new:
            continue
        (file,) = unidiff.PatchSet(unified.write(diff).decode())
        assert (file.path, file.added, file.removed, len(file)) == (name, diff.added, diff.removed, len(diff.hunks))


# ---- Matching ----------------------------------------------------------------------------------------------------------------

PLAIN = b"--- a/poem.txt\n+++ b/poem.txt\n@@ -2,3 +2,3 @@\n two\n-three\n+THREE\n four\n"


def test_moved_lines_are_found(tmp_path, capsysbinary):
    put(tmp_path, {"poem.txt": b"zero\n" * 5 + POEM, "p": PLAIN})
    code, out, err = command(capsysbinary, "--root", tmp_path, tmp_path / "p", "--json")
    assert code == 0 and b'"offsets": [\n        5\n      ]' in out and b"at +5 lines" in err
    assert (tmp_path / "poem.txt").read_bytes() == b"zero\n" * 5 + POEM.replace(b"three", b"THREE")


def refusal(root: Path, text: bytes, code: int, *words: str, **options) -> None:
    before = contents(root)
    with pytest.raises(CommandError) as raised:
        steps(root, text, **options)
    assert raised.value.exit_code == code
    said = f"{raised.value.where_and_what} {raised.value.hint}"
    assert all(word in said for word in words), said
    assert contents(root) == before


def test_ambiguous_places_are_refused(tmp_path):
    put(tmp_path, {"poem.txt": b"zero\n" + POEM + POEM})
    refusal(tmp_path, PLAIN, 3, "fits at lines 3, 10")


def test_a_decoy_at_the_stated_line_is_refused_in_a_drifted_file(tmp_path):
    """One hunk shows that the file has changed, so the other may not trust its line."""
    block = b"begin\n  value = 1\nend\n"
    old = b"zero\ntop\n" + block + b"middle\n" * 2 + block + b"last\n"
    new = old.replace(b"top", b"TOP")
    place = new.rindex(b"1")
    new = new[:place] + b"2" + new[place + 1:]
    diff = unified.compare(b"f", Version(old), Version(new), 1)
    text = b"".join(line for line in unified.write(diff).splitlines(keepends=True) if not line.startswith(b"index"))
    assert len(diff.hunks) == 2
    put(tmp_path, {"f": b"new\n" * 5 + old})
    refusal(tmp_path, text, 3, "fits at lines 8, 13")


def test_nearest_region_is_shown(tmp_path):
    put(tmp_path, {"poem.txt": b"zero\n" + POEM.replace(b"three", b"3")})
    refusal(tmp_path, PLAIN, 3, "poem.txt: hunk 1 (patch line 3) does not match", "nearest are lines 3-5, 2 of 3",
            "line 4 is '3\\n'", "'three\\n'")


def test_lines_without_context_need_a_known_version(tmp_path):
    put(tmp_path, {"poem.txt": POEM})
    insertion = b"--- a/poem.txt\n+++ b/poem.txt\n@@ -2,0 +3 @@\n+new\n"
    refusal(tmp_path, insertion, 3, "without any context")
    index = f"diff --git a/poem.txt b/poem.txt\nindex {blob_hash(POEM)[:8]}..0123456\n".encode()
    refusal(tmp_path, index + insertion, 2, "does not make the version")
    new = POEM.replace(b"two\n", b"two\nnew\n")
    index = f"diff --git a/poem.txt b/poem.txt\nindex {blob_hash(POEM)[:8]}..{blob_hash(new)}\n".encode()
    assert steps(tmp_path, index + insertion)[0].new.data == new


def test_hunks_at_a_border_stay_there(tmp_path):
    put(tmp_path, {"poem.txt": POEM + b"more\n"})
    refusal(tmp_path, b"--- a/poem.txt\n+++ b/poem.txt\n@@ -6,2 +6,3 @@\n six\n seven\n+eight\n", 3, "made for the end")


def test_context_between_changes_alone_says_where_the_borders_are(tmp_path):
    """Changes on the first and the last line: the hunk was made for a file of three lines."""
    put(tmp_path, {"poem.txt": b"one\ntwo\nthree\none\n"})
    text = b"--- a/poem.txt\n+++ b/poem.txt\n@@ -1,3 +1,3 @@\n-one\n+ONE\n two\n-three\n+THREE\n"
    refusal(tmp_path, text, 3, "made for the end")
    put(tmp_path, {"poem.txt": b"one\ntwo\nthree\n"})
    assert steps(tmp_path, text)[0].new.data == b"ONE\ntwo\nTHREE\n"


def test_versions_are_enforced(tmp_path):
    text = unified.write(unified.compare(b"poem.txt", Version(POEM), Version(POEM_AFTER)))
    put(tmp_path, {"poem.txt": POEM.replace(b"one", b"1")})
    refusal(tmp_path, text, 3, "is version", "--ignore-hashes")
    put(tmp_path, {"poem.txt": b"zero\n" + POEM})
    assert steps(tmp_path, text, ignore_hashes=True)[0].new.data == b"zero\n" + POEM_AFTER
    put(tmp_path, {"poem.txt": POEM_AFTER})
    assert steps(tmp_path, text) == []
    assert steps(tmp_path, text, reverse=True)[0].new.data == POEM


def test_files_in_one_patch_build_on_one_another(tmp_path):
    middle = POEM.replace(b"two", b"TWO")
    made = Version(b"n\n")
    series = (unified.write(unified.compare(b"poem.txt", Version(POEM), Version(middle)))
              + unified.write(unified.compare(b"new", None, made)) + unified.write(unified.compare(b"new", made, None))
              + unified.write(unified.compare(b"poem.txt", Version(middle), Version(POEM_AFTER, True))))
    put(tmp_path, {"poem.txt": POEM})
    (step,) = steps(tmp_path, series)
    assert (step.new.data, step.new.executable) == (POEM_AFTER, True)
    put(tmp_path, {"poem.txt": POEM_AFTER})
    (tmp_path / "poem.txt").chmod(0o755)
    assert steps(tmp_path, series, reverse=True)[0].new.data == POEM


# ---- What is refused ---------------------------------------------------------------------------------------------------------

HEAD = b"--- a/poem.txt\n+++ b/poem.txt\n"
MALFORMED = {
    "empty": (b"", "empty"),
    "no patch": (b"hello\n", "no patch found"),
    "cut within a hunk": (HEAD + b"@@ -1,3 +1,3 @@\n one\n-two\n", "ends within a hunk"),
    "cut within a line": (HEAD + b"@@ -1,2 +1,2 @@\n one\n-two\n+tw", "ends within a line"),
    "counts too small": (HEAD + b"@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n+more\n", "more lines than its header"),
    "counts forget context": (HEAD + b"@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n three\n", "more lines than its header"),
    "counts too large": (HEAD + b"@@ -1,4 +1,4 @@\n one\n-two\n+TWO\n@@ -6 +6 @@\n-six\n+SIX\n", "fewer lines than its header"),
    "overlap": (HEAD + b"@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n@@ -2,2 +2,2 @@\n two\n-three\n+T\n", "overlaps"),
    "hunk without header": (b"@@ -1 +1 @@\n-one\n+ONE\n", "hunk without a file header"),
    "line 0": (HEAD + b"@@ -0,2 +1,2 @@\n one\n-two\n+TWO\n", "impossible line numbers"),
    "no change": (HEAD + b"@@ -1,2 +1,2 @@\n one\n two\n", "without a change"),
    "second index": (b"diff --git a/f b/f\nindex 0000001..0000002\nindex 0000001..0000002\n" + HEAD, "second `index`"),
    "names disagree": (b"diff --git a/f b/f\n" + PLAIN, "not those of the header"),
    "bad escape": (b'--- "a/\\q"\n+++ "b/\\q"\n@@ -1 +1 @@\n-one\n+ONE\n', "unknown escape"),
    "mixed prefixes": (PLAIN + PLAIN.replace(b"a/", b"").replace(b"b/", b""), "some names have a prefix"),
    "half a rename": (b"diff --git a/f b/g\nrename from f\n" + PLAIN, "do not come together"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case, tmp_path):
    text, words = MALFORMED[case]
    refusal(put(tmp_path, BEFORE), text, 2, words)


def creation(name: bytes, mode: bytes = b"100644") -> bytes:
    return b"diff --git %s %s\nnew file mode %s\n--- /dev/null\n+++ %s\n@@ -0,0 +1 @@\n+x\n" % (
        quote(b"a/" + name), quote(b"b/" + name), mode, quote(b"b/" + name))


REFUSED = {
    "absolute": (b"--- /etc/hosts\n+++ /etc/hosts\n@@ -1 +1 @@\n-a\n+b\n", "absolute"),
    "leaves the root": (creation(b"../x"), "leads out"),
    "leaves further in": (creation(b"a/../../x"), "leads out"),
    "git folder": (creation(b".git/config"), "git's own folder"),
    "git folder, other case": (creation(b"sub/.GIT/hooks/x"), "git's own folder"),
    "git folder, short name": (creation(b"git~1/config"), "git's own folder"),
    "git folder, dots": (creation(b".git. /config"), "git's own folder"),
    "git folder, invisible": (creation(".g\u200cit/config".encode()), "git's own folder"),
    "NUL": (creation(b"a\0b"), "NUL or a newline"),
    "newline": (creation(b"a\nb"), "NUL or a newline"),
    "symbolic link": (creation(b"link", b"120000"), "a symbolic link"),
    "submodule": (creation(b"sub", b"160000"), "a submodule"),
    "set-user-id": (creation(b"suid", b"104755"), "mode 104755"),
    "copy from outside": (b"diff --git a/x b/y\nsimilarity index 100%\ncopy from ../../etc/passwd\ncopy to y\n", "leads out"),
    "rename into git": (b"diff --git a/poem.txt b/.git/x\nsimilarity index 100%\nrename from poem.txt\nrename to .git/x\n",
                        "git's own folder"),
    "binary": (b"diff --git a/f b/f\nindex 0000001..0000002 100644\nBinary files a/f and b/f differ\n", "binary"),
    "git binary": (b"diff --git a/f b/f\nindex 0000001..0000002 100644\nGIT binary patch\nliteral 1\nHcmb2|00000\n\n", "binary"),
    "context diff": (b"*** a/f\n--- b/f\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b\n", "context diff"),
    "merge": (b"diff --cc f\nindex 1,2..3\n--- a/f\n+++ b/f\n@@@ -1,1 -1,1 +1,1 @@@\n- a\n", "combined"),
    "exists": (creation(b"poem.txt"), "exists already"),
    "missing": (PLAIN.replace(b"poem", b"verse"), "no such file"),
    "missing deletion": (b"diff --git a/nix b/nix\ndeleted file mode 100644\nindex e69de29..0000000\n", "no such file"),
    "below a file": (creation(b"poem.txt/x"), "is a file, not a folder"),
    "file and folder at once": (creation(b"new") + creation(b"new/x"), "is a file, not a folder"),
    "two names": (PLAIN.replace(b"+++ b/poem.txt", b"+++ b/gone.py"), "both exist"),
    "other contents deleted": (b"diff --git a/gone.py b/gone.py\ndeleted file mode 100644\n--- a/gone.py\n+++ /dev/null\n"
                               b"@@ -1 +0,0 @@\n-x = 2\n", "does not match"),
    "half a file deleted": (b"diff --git a/poem.txt b/poem.txt\ndeleted file mode 100644\n--- a/poem.txt\n+++ /dev/null\n"
                            b"@@ -1,2 +0,0 @@\n-one\n-two\n", "not the file that the patch deletes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    text, words = REFUSED[case]
    refusal(put(tmp_path, BEFORE), text, 3, words)


def test_an_ed_script_is_no_patch(tmp_path):
    refusal(put(tmp_path, BEFORE), b"--- a/poem.txt\n+++ b/poem.txt\n1d\n!touch pwned\n.\n", 2, "no patch found")


@pytest.mark.parametrize(("text", "names"), [
    (b"a/f b/f", (b"a/f", b"b/f")), (b"a/x y b/x y", (b"a/x y", b"b/x y")), (b"x y x y", (b"x y", b"x y")),
    (b"old/a b new/a b", (b"old/a b", b"new/a b")),
    (b"a/x b/x b/x b/x", (b"a/x b/x", b"b/x b/x")), (b"a b c", None), (b"f g", (b"f", b"g")), (b"f", None), (b"f ", None),
    (b'"a/\\t" "b/\\t"', (b"a/\t", b"b/\t")), (b'a/x y "b/\\t"', (b"a/x y", b"b/\t")), (b'"a/\\t" b/x y', (b"a/\t", b"b/x y")),
    (b'"a"b/x', None), (b'"a/x" "b/x" y', None), (b"a/d/x y b/d/x y", (b"a/d/x y", b"b/d/x y")), (b"a/ b/", (b"a/", b"b/")),
])
def test_names_of_a_git_header(text, names):
    (file,) = parse.parse(b"diff --git " + text + b"\nrename from x\nrename to y\n", "patch")
    assert file.header_names == names


# ---- Names -------------------------------------------------------------------------------------------------------------------


def test_strip(tmp_path, capsysbinary):
    put(tmp_path, {"poem.txt": POEM, "p": PLAIN.replace(b"a/", b"x/y/").replace(b"b/", b"x/y/")})
    assert command(capsysbinary, "--root", tmp_path, tmp_path / "p")[0] == 3
    assert command(capsysbinary, "--root", tmp_path, "-p", "9", tmp_path / "p")[0] == 2
    assert command(capsysbinary, "--root", tmp_path, "-p2", tmp_path / "p")[0] == 0
    assert (tmp_path / "poem.txt").read_bytes() == POEM.replace(b"three", b"THREE")


def test_a_name_without_prefix_is_not_stripped(tmp_path):
    """`src/poem.txt` twice means src/poem.txt, though there is a poem.txt, too."""
    put(tmp_path, {"poem.txt": POEM, "src/poem.txt": POEM})
    (step,) = steps(tmp_path, PLAIN.replace(b"a/", b"src/").replace(b"b/", b"src/"))
    assert step.path == b"src/poem.txt"


def test_folders_as_prefixes(tmp_path):
    put(tmp_path, {"poem.txt": POEM})
    (step,) = steps(tmp_path, PLAIN.replace(b"a/", b"cromwell-1.0/").replace(b"b/", b"cromwell-1.1/"))
    assert step.path == b"poem.txt"


# ---- Words for what goes wrong in real use -----------------------------------------------------------------------------------


def test_prefixes_of_files_that_are_only_made_or_deleted(tmp_path):
    """GNU diff -ruN old new: dates say which files are missing, both names which prefix they have."""
    text = (b"diff -ruN old/gone.py new/gone.py\n--- old/gone.py\t2020-01-01 00:00:00.000000000 +0000\n"
            b"+++ new/gone.py\t1970-01-01 00:00:00.000000000 +0000\n@@ -1 +0,0 @@\n-x = 1\n"
            b"--- old/made\t1970-01-01 00:00:00.000000000 +0000\n+++ new/made\t2020-01-01 00:00:00.000000000 +0000\n@@ -0,0 +1 @@\n+1\n")
    files = parse.parse(text, "patch")
    assert paths.targets(files, None, lambda _path: True) == [(b"gone.py", None), (None, b"made")]


@pytest.mark.parametrize(("text", "hint"), [
    (b"\x1b[1mdiff --git a/f b/f\x1b[m\n\x1b[1m--- a/f\x1b[m\n", "--no-color"), (b"404\n", "give a unified diff"),
    (b"From: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n--- a/new\n+++ b/new\n@@ -0,0 +1 @@\n+x =3D 1\n", "git mailinfo"),
    (b"From: x\ncontent-transfer-encoding: BASE64\n\nLS0tIGEvbmV3\n", "git mailinfo"),
])
def test_what_is_no_patch_or_not_yet(text, hint):
    with pytest.raises(PatchError) as caught:
        parse.parse(text, "patch")
    assert hint in caught.value.hint


def test_a_message_about_encodings_is_no_encoded_mail():
    text = b"From: x\n\ncontent-transfer-encoding: base64\n--- a/new\n+++ b/new\n@@ -0,0 +1 @@\n+x =3D 1\n"
    assert len(parse.parse(text, "patch")) == 1


def test_a_name_that_is_there_with_its_first_folder(tmp_path):
    root = put(tmp_path, {"src/a": b"1\n"})
    with pytest.raises(Refused) as caught:
        steps(root, b"--- src.orig/a\n+++ src/a\n@@ -1 +1 @@\n-1\n+2\n")
    assert caught.value.hint == "-p0 if src/a is meant, which is here"
