"""cw-apply on mutated patches: no crash, no hang, no partial change, at most LIMIT_S each.

Short in the suite; the full number as a command, which prints what it did:

    PYTHONPATH=build/site:. python tests/test_apply_fuzz.py 100000 [seed]
"""

from __future__ import annotations

import collections
import os
import random
import sys
import tempfile
import time
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
         b"index 1234567..89abcde 100644\n", b"GIT binary patch\n", b"literal 5\n", b"delta 9\n", b"\\ No newline at end of file\n",
         b"-\n", b"+\n", b" \n", b"\r\n", b"\0", b"../", b"/", b".git/"]


class Subject(NamedTuple):
    """Files, and patches for them that are well-formed to begin with."""

    files: dict[str, bytes]
    patches: list[bytes]


def subject() -> Subject:
    """The sample patches, own diffs with and without versions, and a binary patch."""
    poem = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n"
    code = b"".join(b"def f%d():\n    return %d\n\n" % (number, number) for number in range(30))
    files = {"poem.txt": poem, "gone.py": b"x = 1\n", "f": code, "dir/g": b"a\nb\n" * 40, "tail": b"a\nb",
             "dos.txt": b"one\r\ntwo\r\nthree\n"}
    patches = [path.read_bytes() for path in sorted(SAMPLES.glob("*.diff"))]
    changed = code.replace(b"return 7\n", b"return 70\n").replace(b"def f20", b"def g20")
    changed = changed.replace(b"return 25\n", b"return 25\n    # more\n")
    for name, old, new in ((b"f", code, changed), (b"dir/g", files["dir/g"], files["dir/g"] + b"c\n"), (b"new/h", None, b"x\ny"),
                           (b"gone.py", b"x = 1\n", None)):
        diff = unified.compare(name, None if old is None else Version(old), None if new is None else Version(new))
        assert diff is not None
        text = unified.write(diff)
        patches += [text, b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"index "))]
    patches.append(b"".join(patches[-8::2]))
    patches.append(b"diff --git a/new b/new\nnew file mode 100644\nindex %s..%s\nGIT binary patch\nliteral 3\nKcmYdfNCE%%>hycU@\n\n"
                   b"literal 0\nHcmV?d00001\n\n" % (b"0" * 40, b"1" * 40))
    return Subject(files, patches)


def mutated(generator: random.Random, patches: list[bytes]) -> bytes:
    """A patch with one to eight changes: of bytes, digits and lines, or parts of two put together."""
    text = bytearray(generator.choice(patches))
    for _ in range(generator.randrange(1, 9)):
        kind, at = generator.randrange(9), generator.randrange(len(text) + 1)
        if kind == 0 and at < len(text):
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
    return patching.Rules(ignore_hashes=generator.random() < 0.5, reject=generator.random() < 0.2, binary=generator.random() < 0.5,
                          ladder=match.Ladder(generator.random() < 0.3, generator.choice([0, 0, 1, 3])))


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode) for path in root.rglob("*") if path.is_file()}


class Fuzzed:
    """A tree that mutated patches are applied to; whatever one of them did is put back before the next."""

    def __init__(self, folder: Path):
        self.subject, self.root, self.state = subject(), folder / "root", folder / "state"
        self.counts: collections.Counter[str] = collections.Counter()
        self.slowest_s = 0.0
        self._put()
        self.before = snapshot(self.root)

    def _put(self) -> None:
        import shutil

        shutil.rmtree(self.root, ignore_errors=True)
        for name, data in self.subject.files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_bytes(data)

    def one(self, seed: int, write: bool) -> None:
        """Applies one patch; with `write`, to the files. AssertionError when it crashes, hangs, or changes what it should not."""
        generator = random.Random(seed)
        text, allowed, reverse = mutated(generator, self.subject.patches), rules(generator), generator.random() < 0.3
        started = time.monotonic()
        tree = Tree(str(self.root))
        try:
            steps = self._plan(tree, text, allowed, reverse)
            if steps and write:
                commit.commit(tree, self._state(tree), steps, None, commit.Work("fuzz", 0, 0))
                self._check(steps, seed)
            self.counts["applied" if steps else "nothing to do"] += 1
        except CommandError as error:
            assert error.exit_code in (2, 3), (seed, error)
            self.counts["refused"] += 1
            if write:
                assert snapshot(self.root) == self.before, seed
        finally:
            tree.close()
        spent = time.monotonic() - started
        self.slowest_s = max(self.slowest_s, spent)
        assert spent < LIMIT_S, (seed, spent)

    def _state(self, tree: Tree) -> State:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CROMWELL_STATE", str(self.state))
            state = State(tree)
        state.make()
        return state

    def _plan(self, tree: Tree, text: bytes, allowed: patching.Rules, reverse: bool) -> list[plan.Step]:
        files = parse.parse(text, "patch")
        if reverse:
            files = [file.reversed() for file in reversed(files)]
        planned = plan.Plan(tree, allowed)
        planned.apply(files, paths.targets(files, None, lambda path: tree.read(path) is not None))
        return planned.steps()

    def _check(self, steps: list[plan.Step], seed: int) -> None:
        """The files are exactly as planned, and there is no other."""
        after = {name: data for name, (data, _mode) in self.before.items()}
        for step in steps:
            after.pop(os.fsdecode(step.path), None)
            if step.new is not None:
                after[os.fsdecode(step.path)] = step.new.data
        assert {name: data for name, (data, _mode) in snapshot(self.root).items()} == after, seed
        self._put()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory) -> Fuzzed:
    return Fuzzed(tmp_path_factory.mktemp("fuzz"))


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**63))
def test_mutated_patches_are_planned_or_refused(fuzzed, seed):
    fuzzed.one(seed, write=False)


def test_mutated_patches_change_all_or_nothing(fuzzed):
    for seed in range(120):
        fuzzed.one(seed, write=True)
    assert fuzzed.counts["applied"] > 20 and fuzzed.counts["refused"] > 100


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
    """Runs `count` mutations, one in fifty of them to the files."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzed, started = Fuzzed(Path(folder)), time.monotonic()
        for seed in range(first_seed, first_seed + count):
            try:
                fuzzed.one(seed, write=seed % 50 == 0)
            except BaseException:
                print(f"seed {seed}", file=sys.stderr)
                raise
        figures = ", ".join(f"{number} {what}" for what, number in sorted(fuzzed.counts.items()))
        print(f"{count} patches in {time.monotonic() - started:.0f} s: {figures}; the slowest took {1e3 * fuzzed.slowest_s:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
