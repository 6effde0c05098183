"""cw-apply on mutated patches: no crash, no hang, no partial change, nothing beside the tree, at most LIMIT_S each.

Every patch that can be applied is, to files in memory (/dev/shm); a quarter of them then fails its check and must be taken back. Short in
the suite; the full number as a command, which prints what it did:

    PYTHONPATH=build/site:. python tests/test_apply_fuzz.py 100000 [seed]
"""

from __future__ import annotations

import collections
import os
import random
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.apply import commit, match, parse, patching, paths, plan, unified
from cromwell.apply.journal import State
from cromwell.apply.tree import Tree
from cromwell.apply.unified import Version
from cromwell.contract.errors import CommandError

SAMPLES = Path(__file__).parent / "test_apply_samples"
LIMIT_S = 5.0  # for one patch, on a busy machine; most take a millisecond
EXTRA = [b"@@ -1,3 +1,3 @@\n", b"@@ -0,0 +1 @@\n", b"@@ -999999999,999999999 +1 @@\n", b"diff --git a/f b/f\n", b"--- /dev/null\n",
         b"+++ b/f\n",
         b'--- "a/\\303\\251"\n', b"rename from f\n", b"rename to g\n", b"copy from f\n", b"copy to g\n", b"similarity index 90%\n",
         b"new file mode 100644\n", b"deleted file mode 100644\n", b"old mode 100644\n", b"new mode 100755\n",
         b"new file mode 120000\n", b"index 1234567..89abcde 120000\n",
         b"index 1234567..89abcde 100644\n", b"GIT binary patch\n", b"literal 5\n", b"delta 9\n", b"\\ No newline at end of file\n",
         b"-\n", b"+\n", b" \n", b"\r\n", b"\0", b"../", b"/", b".git/"]


Files = dict[str, tuple[bytes, int]]
"""Contents (a link's target) and modes by name."""


class Subject(NamedTuple):
    """Files, and patches for them that are well-formed to begin with."""

    files: Files
    patches: list[bytes]


def subject() -> Subject:
    """The sample patches; own diffs with and without versions, of files, links and binary files; several of them together."""
    poem = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n"
    code = b"".join(b"def f%d():\n    return %d\n\n" % (number, number) for number in range(30))
    files = {"poem.txt": poem, "gone.py": b"x = 1\n", "f": code, "dir/g": b"a\nb\n" * 40, "tail": b"a\nb",
             "dos.txt": b"one\r\ntwo\r\nthree\n", "sch\u00f6n er.txt": poem, "binary": bytes(range(256)) * 3}
    links = {"link": b"poem.txt", "up": b"../outside", "old link": b"f"}
    patches = [path.read_bytes() for path in sorted(SAMPLES.glob("*.diff"))]
    changed = code.replace(b"return 7\n", b"return 70\n").replace(b"def f20", b"def g20")
    changed = changed.replace(b"return 25\n", b"return 25\n    # more\n")
    for name, old, new in ((b"f", code, changed), (b"dir/g", files["dir/g"], files["dir/g"] + b"c\n"), (b"new/h", None, b"x\ny"),
                           (b"gone.py", b"x = 1\n", None)):
        text = written(name, old, new)
        patches += [text, b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"index "))]
    patches.append(b"".join(patches[-8::2]))
    patches.append(written(b"binary", files["binary"], bytes(range(255, -1, -1)) + files["binary"]))
    for name, old, new in ((b"link", b"poem.txt", b"/etc"), (b"up", b"../outside", None), (b"new/link", None, b"..")):
        patches.append(written(name, old, new, link=True))
    patches.append(written(b"tail", b"a\nb", None) + written(b"tail", None, b"f", link=True)
                   + b"diff --git a/old link b/moved\nsimilarity index 100%\nrename from old link\nrename to moved\n")
    there = {name: (data, stat.S_IFREG | 0o644) for name, data in files.items()}
    return Subject(there | {name: (target, stat.S_IFLNK | 0o777) for name, target in links.items()}, patches)


def written(name: bytes, old: bytes | None, new: bytes | None, link: bool = False) -> bytes:
    diff = unified.compare(name, None if old is None else Version(old, link=link), None if new is None else Version(new, link=link),
                           binary="patch")
    assert diff is not None
    return unified.write(diff)


def mutated(generator: random.Random, patches: list[bytes]) -> bytes:
    """A patch with changes: of bytes, digits and lines, or parts of two put together.

    Half of them stay well-formed: several diffs of git's form, mostly without versions, with other bytes in their added lines."""
    gentle = generator.random() < 0.5
    text = bytearray(generator.choice(patches))
    if gentle:
        chosen = [generator.choice(patches) for _ in range(generator.choice([1, 1, 2, 3]))]
        text = bytearray(b"".join(one for one in chosen if one.startswith(b"diff --git a/")) or text)
        if generator.random() < 0.8:
            text = bytearray(re.sub(rb"(?m)^index (?!.* 120000).*\r?\n", b"", text) if b"GIT binary" not in text else text)
    for _ in range(generator.randrange(1, 9)):
        kind, at = 9 if gentle else generator.randrange(9), generator.randrange(len(text) + 1)
        if kind == 9:  # within a line that is added
            added = [match.start() for match in re.finditer(rb"(?m)(?<=^\+)[^+\n]", text)]
            if added:
                text[generator.choice(added)] = generator.randrange(256)
        elif kind == 0 and at < len(text):
            text[at] = generator.randrange(256)
        elif kind == 1:
            del text[at:at + generator.randrange(1, 20)]
        elif kind == 2:
            text[at:at] = generator.choice(EXTRA)
        elif kind == 3:
            del text[at:]
        elif kind == 4:  # another number where there is one
            digits = [index for index, byte in enumerate(text) if 0x30 <= byte <= 0x39]
            if digits:
                text[generator.choice(digits)] = generator.randrange(0x30, 0x3A)
        else:
            lines = bytes(text).split(b"\n")
            line = generator.randrange(len(lines))
            if kind == 5:
                del lines[line]
            elif kind == 6:
                lines.insert(line, lines[generator.randrange(len(lines))])
            elif kind == 7:
                other = generator.randrange(len(lines))
                lines[line], lines[other] = lines[other], lines[line]
            else:
                other_patch = generator.choice(patches).split(b"\n")
                lines[line:] = other_patch[generator.randrange(len(other_patch)):]
            text = bytearray(b"\n".join(lines))
    return bytes(text)


def rules(generator: random.Random) -> patching.Rules:
    """Any options that change how a patch is matched; a merge would only find its bases in a repository."""
    return patching.Rules(ignore_hashes=generator.random() < 0.7, reject=generator.random() < 0.2, binary=generator.random() < 0.7,
                          symlinks=generator.random() < 0.7, ladder=match.Ladder(generator.random() < 0.3, generator.choice([0, 0, 1, 3])))


def snapshot(root: str) -> Files:
    """All files and links below a folder; nothing is followed."""
    found: Files = {}
    folders = [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    data = os.fsencode(os.readlink(entry.path))
                else:
                    with open(entry.path, "rb") as stream:
                        data = stream.read()
                found[entry.path[len(root) + 1:]] = data, mode
    return found


def put(path: str, entry: tuple[bytes, int]) -> None:
    data, mode = entry
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if stat.S_ISLNK(mode):
        return os.symlink(data, os.fsencode(path))
    with open(path, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), stat.S_IMODE(mode))


class Failed(Exception):
    """What the check of a patch raises here."""


class Fuzzed:
    """A tree that mutated patches are applied to; what one of them changed is put back before the next."""

    def __init__(self, folder: Path):
        self.subject, self.folder, self.root = subject(), str(folder / "around"), str(folder / "around/root")
        self.counts: collections.Counter[str] = collections.Counter()
        self.slowest_s = 0.0
        for name, entry in self.subject.files.items():
            put(f"{self.root}/{name}", entry)
        put(f"{self.folder}/outside", (b"untouched\n", 0o600))
        self.before = snapshot(self.folder)
        self.state_folder = str(folder / "state")
        with pytest.MonkeyPatch.context() as patch, opened(self.root) as tree:
            patch.setenv("CROMWELL_STATE", self.state_folder)
            self.state = State(tree)
        self.state.make()

    def one(self, seed: int) -> None:
        """Applies one patch. AssertionError when it crashes, hangs, or changes what it should not."""
        generator = random.Random(seed)
        text, allowed, reverse = mutated(generator, self.subject.patches), rules(generator), generator.random() < 0.3
        fails = generator.random() < 1 / 4
        started = time.monotonic()
        with opened(self.root) as tree:
            try:
                steps = self._plan(tree, text, allowed, reverse)
            except CommandError as error:
                assert error.exit_code in (2, 3), (seed, error)
                steps, what = [], "refused"
            else:
                what = "applied" if steps else "nothing to do"
            if steps:
                what = self._carry_out(tree, steps, fails)
        spent = time.monotonic() - started
        self.counts[what] += 1
        self.slowest_s = max(self.slowest_s, spent)
        assert spent < LIMIT_S, (seed, spent)
        if steps:
            self._check(steps if what == "applied" else [], seed)

    def _carry_out(self, tree: Tree, steps: list[plan.Step], fails: bool) -> str:
        def check() -> None:
            if fails:
                raise Failed

        try:
            commit.commit(tree, self.state, steps, check, commit.Work("fuzz", 0, 0))
        except Failed:
            return "taken back"
        except CommandError as error:  # names that are too long, by an exit code of their own
            assert error.exit_code in (3, 70) and "too long" in str(error), error
            return "impossible"
        return "applied"

    def _plan(self, tree: Tree, text: bytes, allowed: patching.Rules, reverse: bool) -> list[plan.Step]:
        files = parse.parse(text, "patch")
        if reverse:
            files = [file.reversed() for file in reversed(files)]
        planned = plan.Plan(tree, allowed)
        planned.apply(files, paths.targets(files, None, lambda path: tree.read(path) is not None))
        return planned.steps()

    def _check(self, steps: list[plan.Step], seed: int) -> None:
        """The files are exactly as planned, and there is no other; then they are as before again."""
        after: dict[str, tuple[bytes, bool]] = {name: (data, stat.S_ISLNK(mode)) for name, (data, mode) in self.before.items()}
        for step in steps:
            name = "root/" + os.fsdecode(step.path)
            after.pop(name, None)
            if step.new is not None:
                after[name] = step.new.data, step.new.link
        now = snapshot(self.folder)
        assert {name: (data, stat.S_ISLNK(mode)) for name, (data, mode) in now.items()} == after, seed
        assert steps or now == self.before, seed
        for name in now.keys() | self.before.keys():
            if now.get(name) != self.before.get(name):
                if name in now:
                    os.unlink(f"{self.folder}/{name}")
                if name in self.before:
                    put(f"{self.folder}/{name}", self.before[name])
        for folder, _folders, _files in os.walk(self.root, topdown=False):
            if folder != self.root and not os.listdir(folder):
                os.rmdir(folder)


@contextmanager
def opened(root: str) -> Iterator[Tree]:
    tree = Tree(root)
    try:
        yield tree
    finally:
        tree.close()


def memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Fuzzed]:
    with tempfile.TemporaryDirectory(dir=memory(), prefix="cromwell-test-") as folder:
        yield Fuzzed(Path(folder))


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**63))
def test_mutated_patches_change_all_or_nothing(fuzzed, seed):
    fuzzed.one(seed)


def test_many_of_them_can_be_applied(fuzzed):
    before = fuzzed.counts.copy()
    for seed in range(400):
        fuzzed.one(seed)
    counts = fuzzed.counts - before
    assert counts["applied"] > 80 and counts["taken back"] > 20 and counts["refused"] > 100
    assert not os.listdir(fuzzed.state_folder + "/apply")


# ---- Never quadratic --------------------------------------------------------------------------------------------------------


def hostile(size: int) -> dict[str, tuple[bytes, bytes]]:
    """Files and patches that are work for a simple reader: what takes time is linear in `size`, or bounded."""
    head = b"--- a/f\n+++ b/f\n"
    lines = [b"line %d\n" % number for number in range(size)]
    moved = head + b"".join(b"@@ -%d,3 +%d,3 @@\n %s-%s+x\n %s" % (at + 1, at + 1, lines[at], lines[at + 1], lines[at + 2])
                            for at in range(0, size - 3, 4))
    same = head + b"".join(b"@@ -%d,3 +%d,3 @@\n a\n-a\n+b\n a\n" % (at + 1, at + 1) for at in range(0, size - 3, 4))
    return {
        "every hunk moved": (b"top\n" + b"".join(lines), moved),
        "all lines alike": (b"top\n" + b"a\n" * size, same),
        "long hunk of lines alike": (b"a\n" * size + b"b\n", head + b"@@ -9,%d +9,%d @@\n" % (size // 2, size // 2)
                                     + b" a\n" * (size // 2 - 1) + b"-c\n+d\n"),
        "many parts": (b"x", b"".join(b"diff --git a/m%d b/m%d\nnew file mode 100644\n" % (at, at) for at in range(size // 8))),
        "spaces in a header": (b"x", b"diff --git " + b"a " * size + b"\nold mode 100644\nnew mode 100755\n"),
        "dashes": (b"x", b"--- a\n" * size), "signs": (b"x", b"@" * size + b"\n--- a\n+++ b\n@@ -1 +1 @@\n" + b"\n" * size),
        "blanks in lines": (b" \t" * size + b"x\n", head + b"@@ -1 +1 @@\n-" + b"\t " * size + b"y\n+z\n"),
        "quotes": (b"x", b'--- "' + b"\\" * size + b"\n+++ b\n@@ -1 +1 @@\n-x\n+y\n"),
        "slashes": (b"x", head.replace(b"a/f", b"a" + b"/" * size + b"f") + b"@@ -1 +1 @@\n-x\n+y\n"),
        "many folders": (b"x", head.replace(b"f", b"d/" * size + b"f") + b"@@ -1 +1 @@\n-x\n+y\n"),
    }


@pytest.mark.parametrize("what", hostile(8))
@pytest.mark.parametrize("allowed", [patching.Rules(), patching.Rules(ladder=match.Ladder(True, 3), reject=True)], ids=["strict", "loose"])
def test_hostile_patches_take_linear_time(what, allowed, tmp_path):
    """8,000 lines or bytes of nonsense: processor time, so that a busy machine does not count."""
    data, text = hostile(8_000)[what]
    (tmp_path / "f").write_bytes(data)
    tree = Tree(str(tmp_path))
    started = time.process_time()
    try:
        files = parse.parse(text, "patch")
        planned = plan.Plan(tree, allowed)
        planned.apply(files, paths.targets(files, None, lambda path: tree.read(path) is not None))
        planned.steps()
    except CommandError:
        pass
    finally:
        tree.close()
    assert time.process_time() - started < 2.0


def main(count: int, first_seed: int) -> None:
    """Runs `count` mutations."""
    with tempfile.TemporaryDirectory(dir=memory(), prefix="cromwell-test-") as folder:
        fuzzed, started = Fuzzed(Path(folder)), time.monotonic()
        for seed in range(first_seed, first_seed + count):
            try:
                fuzzed.one(seed)
            except BaseException:
                print(f"seed {seed}", file=sys.stderr)
                raise
        figures = ", ".join(f"{number} {what}" for what, number in sorted(fuzzed.counts.items()))
        print(f"{count} patches in {time.monotonic() - started:.0f} s: {figures}; the slowest took {1e3 * fuzzed.slowest_s:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
