"""cw-apply beside git apply and GNU patch, on generated repositories and patches: the same bytes where both apply, and a reason from a
short list where only one does. Then the failures that were measured in those tools, one test each."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from cromwell.apply import parse, patching, paths, plan, unified
from cromwell.apply.tree import Tree
from cromwell.apply.unified import Version
from cromwell.contract.errors import CommandError

CASES = 80
Files = dict[str, tuple[bytes, bool]]
"""Contents by name, and whether the file is executable."""

WORDS = [b"alpha", b"beta", b"gamma", b"delta", b"    return x", b"def f():", b"}", b"", b"\tpass", b"caf\xc3\xa9", b"-- ", b"+++",
         b"--- a/b", b"@@ x"]
NAMES = ["a.txt", "src/b.py", "src/deep/c.py", "with space.txt", "caf\u00e9.txt", "tab\tname", 'quo"te', "d", "src/e"]

REFUSED_BY_US = ["fits at lines", "without any context", "before the hunk before it", "is version"]
"""What git applies and cw-apply does not, by words of its error; docs/apply.md has the reasons."""


class Case(NamedTuple):
    """A patch from one tree to another as git writes it, and the tree that it is applied to."""

    text: bytes
    target: Files
    strip: int
    without_context: bool
    reverse: bool


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CEILING_DIRECTORIES": str(folder.parent)}


def git(folder: Path, *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=folder, input=text, capture_output=True, check=False, env=environment(folder))


def put(folder: Path, files: Files) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, (data, executable) in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if executable else 0o644)
    return folder


def contents(folder: Path) -> Files:
    return {str(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
            for path in sorted(folder.rglob("*")) if path.is_file() and ".git" not in path.parts}


def lines(generator: random.Random, count: int) -> list[bytes]:
    """Mostly unlike lines, some that repeat."""
    return [generator.choice(WORDS) if generator.random() < 0.3 else b"%s %d" % (generator.choice(WORDS), generator.randrange(10**6))
            for _ in range(count)]


def joined(generator: random.Random, rows: list[bytes]) -> bytes:
    end = generator.choice([b"\n", b"\n", b"\n", b"\r\n"])
    data = b"".join(row + end for row in rows)
    return data.removesuffix(b"\n") if generator.random() < 0.15 else data


def edited(generator: random.Random, data: bytes, times: int) -> bytes:
    rows = data.split(b"\n")
    for _ in range(times):
        at = generator.randrange(len(rows) + 1)
        rows[at:at + generator.randrange(3)] = lines(generator, generator.randrange(3))
    return b"\n".join(rows)


def case(seed: int, folder: Path) -> Case | None:
    """A generated patch; None when there is no difference."""
    generator = random.Random(seed)
    old: Files = {name: (joined(generator, lines(generator, generator.randrange(30))), generator.random() < 0.2)
                  for name in generator.sample(NAMES, generator.randrange(1, 6))}
    new = dict(old)
    for name in list(old):
        what = generator.random()
        data, executable = old[name]
        if what < 0.55:
            new[name] = edited(generator, data, generator.randrange(1, 4)), executable
        elif what < 0.65:
            new[name] = data, not executable
        elif what < 0.72:
            del new[name]
        elif what < 0.88:
            new[f"moved/{name}"] = edited(generator, new.pop(name)[0], generator.randrange(2)), executable
        else:
            new[f"copied {name}"] = edited(generator, data, generator.randrange(2)), executable
    if generator.random() < 0.2:
        new["made"] = joined(generator, lines(generator, 4)), generator.random() < 0.5
    put(folder, old)
    for arguments in (["init", "-q"], ["config", "core.autocrlf", "false"], ["add", "-A"]):
        git(folder, *arguments)
    tree = git(folder, "write-tree").stdout.decode().strip()
    for name in old.keys() - new.keys():
        (folder / name).unlink()
    for name, (data, executable) in new.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o755 if executable else 0o644)
    git(folder, "add", "-A")
    options = generator.choice([[], [], ["-U1"], ["-U0"], ["--no-prefix"], ["--full-index", "--patience"], ["-U8"], ["--src-prefix=old/"]])
    finds = generator.choice([[], ["-M"], ["-M20%"], ["-C", "--find-copies-harder"]])
    text = git(folder, "diff", "--cached", "--text", *options, *finds, tree).stdout
    if not text:
        return None
    if generator.random() < 0.8:  # else the versions named are required, which git does not
        text = b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"index "))
    if generator.random() < 0.3:  # parts in another order, with words around them
        parts = [b"diff --git" + part for part in text.split(b"\ndiff --git")]
        parts[0] = parts[0][len(b"diff --git"):]
        parts = [part.removesuffix(b"\n") + b"\n" for part in parts]
        generator.shuffle(parts)
        text = b"Subject: a change\n\nSome words.\n---\n" + b"".join(parts) + b"-- \n2.39.5\n"
    reverse = generator.random() < 0.25
    old, new = (new, old) if reverse else (old, new)
    target = dict(old)
    for name, (data, executable) in old.items():
        if generator.random() < 0.4:
            target[name] = edited(generator, data, generator.randrange(1, 3)), executable
        if generator.random() < 0.1:
            target[name] = data + b"".join(row + b"\n" for row in lines(generator, 2)) + data, executable
        if generator.random() < 0.05:
            target[name] = new.get(name, old[name])
    if target and generator.random() < 0.05:
        del target[generator.choice(list(target))]
    return Case(text, target, 0 if options == ["--no-prefix"] else 1, options == ["-U0"], reverse)


def ours(folder: Path, text: bytes, strip: int | None, reverse: bool = False, **rules) -> tuple[Files, list[plan.Report]]:
    """What cw-apply makes of the files in `folder`, worked out and not written."""
    files = parse.parse(text, "patch")
    tree = Tree(str(folder))
    try:
        files = [file.reversed() for file in reversed(files)] if reverse else files
        planned = plan.Plan(tree, patching.Rules(**rules))
        planned.apply(files, paths.targets(files, strip, lambda path: tree.read(path) is not None))
        after = contents(folder)
        for step in planned.steps():
            after.pop(os.fsdecode(step.path), None)
            if step.new:
                after[os.fsdecode(step.path)] = step.new.data, step.new.executable
        return dict(sorted(after.items())), planned.reports
    finally:
        tree.close()


def reason_against(folder: Path, made: Case) -> tuple[str, str]:
    """("both" | "neither" | "git" | "ours", why) of who applies a patch; asserts that the bytes are the same where both do."""
    put(folder, made.target)
    try:
        after, reports = ours(folder, made.text, made.strip, made.reverse)
        refused = ""
    except CommandError as error:
        after, reports, refused = {}, [], f"{error.where_and_what}; {error.hint}"
    options = ["--unidiff-zero"] * made.without_context + ["--reverse"] * made.reverse
    result = git(folder, "apply", "--whitespace=nowarn", f"-p{made.strip}", *options, "-", text=made.text)
    if result.returncode:
        return ("neither", refused) if refused else ("ours", " ".join(
            [report.status for report in reports] + [hunk.level for report in reports for hunk in report.hunks]))
    if refused:
        return "git", refused
    assert after == contents(folder)
    return "both", ""


def test_agrees_with_git_apply(tmp_path):
    """Generated patches on trees that drifted by edits, repeats and deletions; some with the versions that they are made for."""
    counts = {"both": 0, "neither": 0, "git": 0, "ours": 0}
    for seed in range(CASES):
        made = case(seed, tmp_path / "git")
        if made is None:
            continue
        who, why = reason_against(tmp_path / "files", made)
        counts[who] += 1
        assert who != "git" or any(words in why for words in REFUSED_BY_US), (seed, why)
        assert who != "ours" or made.without_context or "already applied" in why or "moved" in why, (seed, why)
    assert counts["both"] > CASES / 3 and counts["neither"] > 10, counts


# ---- What either refuses for safety -----------------------------------------------------------------------------------------

UNSAFE = {
    "absolute": b"--- /tmp/f\n+++ /tmp/f\n@@ -1 +1 @@\n-a\n+b\n",
    "above": b"--- a/../f\n+++ b/../f\n@@ -1 +1 @@\n-a\n+b\n",
    "git folder": b"diff --git a/.git/x b/.git/x\nnew file mode 100644\n--- /dev/null\n+++ b/.git/x\n@@ -0,0 +1 @@\n+x\n",
    "through a link": b"--- a/link/f\n+++ b/link/f\n@@ -1 +1 @@\n-a\n+b\n",
    "made through a link": b"diff --git a/link/new b/link/new\nnew file mode 100644\n--- /dev/null\n+++ b/link/new\n@@ -0,0 +1 @@\n+x\n",
    "link made and used": (b"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/tmp\n"
                           b"\\ No newline at end of file\n"
                           b"diff --git a/l/x b/l/x\nnew file mode 100644\n--- /dev/null\n+++ b/l/x\n@@ -0,0 +1 @@\n+x\n"),
    "link patched": b"--- a/link\n+++ b/link\n@@ -1 +1 @@\n-a\n+b\n",
    "exists": b"diff --git a/f b/f\nnew file mode 100644\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n",
    "deletion of other contents": b"diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n",
    "file as folder": b"diff --git a/f/x b/f/x\nnew file mode 100644\n--- /dev/null\n+++ b/f/x\n@@ -0,0 +1 @@\n+x\n",
    "rename onto a file": b"diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n",
    "copy onto a file": b"diff --git a/f b/g\nsimilarity index 100%\ncopy from f\ncopy to g\n",
    "cut short": b"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-a\n",
    "cut off binary": b"diff --git a/f b/f\nindex %s..%s\nGIT binary patch\nliteral 1\nHcmb2|" % (b"1" * 40, b"2" * 40),
}


def unsafe_tree(folder: Path) -> Path:
    put(folder / "outside", {"f": (b"a\n", False)})
    put(folder / "root", {"f": (b"a\n", False), "g": (b"g\n", False)})
    (folder / "root/link").symlink_to(folder / "outside")
    git(folder / "root", "init", "-q")
    return folder / "root"


@pytest.mark.parametrize("what", UNSAFE)
def test_what_git_refuses_for_safety_is_refused(what, tmp_path):
    root = unsafe_tree(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CommandError):
        ours(root, UNSAFE[what], 1)
    assert git(root, "apply", "-", text=UNSAFE[what]).returncode != 0
    assert contents(tmp_path) == before


# ---- What was measured to go wrong in git apply and GNU patch ------------------------------------------------------------------

POEM = b"".join(b"line %d\n" % number for number in range(1, 11))
HEAD = b"diff --git a/src/f b/src/f\n--- a/src/f\n+++ b/src/f\n"


def refused(folder: Path, files: Files, text: bytes, words: str, **rules) -> None:
    put(folder, files)
    with pytest.raises(CommandError) as raised:
        ours(folder, text, None, **rules)
    assert words in f"{raised.value.where_and_what}; {raised.value.hint}"


@pytest.mark.parametrize("rest", [b" line 4\n", b"+more\n", b"-line 4\n", b"+more\n line 4\n"])
def test_counts_that_forget_trailing_lines(tmp_path, rest):
    """git apply and GNU patch cut such a hunk short and end well."""
    text = HEAD + b"@@ -2,2 +2,2 @@\n line 2\n-line 3\n+LINE 3\n" + rest
    refused(tmp_path / "x", {"src/f": (POEM, False)}, text, "more lines than its header says")


def test_names_without_prefix_hit_no_other_file(tmp_path):
    """git apply takes src/ for a prefix and patches the other f."""
    text = b"--- src/f\n+++ src/f\n@@ -2,3 +2,3 @@\n line 2\n-line 3\n+LINE 3\n line 4\n"
    files: Files = {"f": (POEM, False), "src/f": (POEM, False)}
    after, _reports = ours(put(tmp_path / "x", files), text, None)
    assert after == {"f": (POEM, False), "src/f": (POEM.replace(b"line 3", b"LINE 3"), False)}
    assert git(put(tmp_path / "x", files), "apply", "-", text=text).returncode == 0
    assert contents(tmp_path / "x")["src/f"] == (POEM, False)


def test_a_decoy_at_the_stated_line(tmp_path):
    """The file drifted, as its version shows, so that another copy of the context stands where the patch says."""
    block = b"begin\n  value\nend\n"
    old = b"head\n" * 6 + block + b"tail\n"
    text = unified.write(unified.compare(b"f", Version(old), Version(old.replace(b"value", b"VALUE")), 1))
    drifted = b"head\n" * 6 + block + b"between\n" + block + b"tail\n"
    refused(tmp_path / "x", {"f": (drifted, False)}, text, "is version")
    refused(tmp_path / "x", {"f": (drifted, False)}, text, "fits at lines 7, 11", ignore_hashes=True)
    assert git(tmp_path / "x", "apply", "-", text=text).returncode == 0  # in the first of them


def test_repeated_sections_of_a_drifted_file(tmp_path):
    """Without versions the first hunk shows the drift, and the second may not trust its line."""
    block = b"begin\n  value\nend\n"
    old = b"top\n" + block + b"a\nb\n" + block
    new = b"TOP\n" + block + b"a\nb\n" + block.replace(b"value", b"VALUE")
    (_git, _index, *rest) = unified.write(unified.compare(b"f", Version(old), Version(new), 1)).splitlines(keepends=True)
    drifted = b"new\n" + b"top\n" + block * 2 + b"a\nb\n" + block
    refused(tmp_path / "x", {"f": (drifted, False)}, b"".join(rest), "")


@pytest.mark.parametrize("how", [b"copy", b"rename"])
@pytest.mark.parametrize("source", [b"../outside", b"/etc/hostname", b"link/outside"])
def test_moves_from_outside_the_root(tmp_path, how, source):
    (tmp_path / "outside").write_bytes(b"secret\n")
    text = b"diff --git a/f b/y\nsimilarity index 100%%\n%s from %s\n%s to y\n" % (how, source, how)
    root = put(tmp_path / "x", {"f": (POEM, False)})
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(CommandError):
        ours(root, text, None)
    assert contents(root) == {"f": (POEM, False)} and not (root / "y").exists()


def test_a_refusal_late_in_a_patch_changes_nothing(tmp_path):
    """GNU patch has changed the files before it by then; here nothing is written before all of it is worked out."""
    good = HEAD + b"@@ -2,2 +2,2 @@\n line 2\n-line 3\n+LINE 3\n"
    bad = good.replace(b"/src/f", b"/g").replace(b"-line 3", b"-line X")
    files: Files = {"src/f": (POEM, False), "g": (POEM, False)}
    refused(tmp_path / "x", files, good.replace(b"@@\n line 2", b"@@\n line 2") + bad, "")
    assert contents(tmp_path / "x") == dict(sorted(files.items()))


def sections(names: list[int], changed: int | None) -> bytes:
    """A file of sections alike but for their first line; that named `changed` has another value."""
    return b"".join(b"[%d]\nbegin\n  a = 1\n  value = %d\n  b = 2\nend\n\n" % (name, 2 if name == changed else 1) for name in names)


def test_drifted_patches_never_land_in_the_wrong_section(tmp_path):
    """Sections were inserted since the patch was made. By the version it names it is refused; by its lines it is right or refused;
    git apply changes another section now and then."""
    right = git_wrong = 0
    for seed in range(50):
        generator = random.Random(seed)
        names = list(range(generator.randrange(3, 8)))
        target, at = generator.choice(names), generator.randrange(len(names) + 1)
        versions = Version(sections(names, None)), Version(sections(names, target))
        compared = unified.compare(b"f", *versions, generator.choice([1, 2, 3]))
        assert compared is not None
        drifted = names[:at] + [90, 91][:generator.randrange(1, 3)] + names[at:]
        root, text = put(tmp_path / "x", {"f": (sections(drifted, None), False)}), unified.write(compared)
        with pytest.raises(CommandError, match="is version"):
            ours(root, text, None)
        try:
            after, _reports = ours(root, text, None, ignore_hashes=True)
            assert after["f"][0] == sections(drifted, target), seed
            right += 1
        except CommandError as error:
            assert "fits at lines" in error.where_and_what
        if git(root, "apply", "-", text=text).returncode == 0:
            git_wrong += contents(root)["f"][0] != sections(drifted, target)
    assert right > 5 and git_wrong > 5, (right, git_wrong)
