"""The index: what it says of files, that it says the same however it came about, and that nothing breaks it."""

from __future__ import annotations

import collections
import glob
import math
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cromwell.binding import Model
from cromwell.contract import settings as contract_settings
from cromwell.contract import words
from cromwell.contract.errors import CommandError
from cromwell.contract.settings import Settings
from cromwell.prepare.index import BM25_B, BM25_K1, ChangedError, Def, Index, open_index, text_terms
from cromwell.prepare.index import refresh as refreshing

SITE = Path(contract_settings.__file__).parent.parent.parent
WORD = re.compile(r"[A-Za-z0-9_\x80-\U0010ffff]+")
PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z\x80-\U0010ffff]+|[A-Z]+|[0-9]+")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in list(os.environ):
        if name.startswith(("CROMWELL_", "XDG_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CROMWELL_CACHE", str(tmp_path / "cache"))
    return contract_settings.load({})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    write(root, {
        "pkg/__init__.py": "from .core import Client\n",
        "pkg/core.py":
            "import os\nfrom . import util\nfrom pkg.util import parse_http, other\n\n\n@deco\nclass Client(Base):\n"
            "    def get(self, url,\n            timeout=3):\n        return parse_http(url)  # parse_http twice\n\n\nLIMIT = 3\n",
        "pkg/util.py": "def parse_http(url):\n    return parseHTTPResponse(url)\n\n\ndef other(): pass\n",
        "tests/test_core.py": "from pkg.core import Client\nimport pkg\n",
        "web/app.ts": "import { a } from './lib/helper.js'\nimport x from '@scope/ui'\nexport function main(): void {\n}\n",
        "web/lib/helper.ts": "export const a = () => 1\n", "ui/package.json": '{"name": "@scope/ui"}', "ui/src/index.ts": "export {}\n",
        "c/main.c": '#include "util.h"\n#include <stdio.h>\nint main(void) {\n  return 0;\n}\n', "c/include/util.h": "#define X 1\n",
        "notes.md": "The parse_http function.\n",
    })
    return root


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def ids(index: Index, *paths: str) -> list[int]:
    return [index.by_path[path].id for path in paths]


def paths(index: Index, numbers: list[int]) -> list[str]:
    return [index.files[number].path for number in numbers]


def content(index: Index) -> dict[str, object]:
    """All that an index says, by names instead of ids."""
    every = range(len(index.files))
    names = sorted({name for found in index.references(every).values() for name in found})
    terms = sorted({term for name in names for term in text_terms(name)})
    return {
        "files": [file._replace(id=0, mtime_ns=0) for file in index.files], "state": index.state,
        "definitions": {index.files[number].path: found for number, found in index.definitions(every).items()},
        "imports": {index.files[number].path: paths(index, found) for number, found in index.imports(every).items()},
        "importers": {index.files[number].path: paths(index, found) for number, found in index.importers(every).items()},
        "referring": {name: [(index.files[number].path, count) for number, count in found]
                      for name, found in index.referring(names).items()},
        "frequency": index.document_frequency(terms),
        "bm25": {index.files[number].path: round(score, 9) for number, score in index.bm25(dict.fromkeys(terms[:40], 1.0)).items()},
    }


# ---- What it says ----


def test_files(tree: Path, settings: Settings, model_pack: Path) -> None:
    write(tree, {"crlf.txt": "one\r\ntwo\r\n", "no_end.py": "x = 1", "bom.py": b"\xef\xbb\xbfx = 1\n", "empty.py": ""})
    with open_index(str(tree), settings) as index, Model(model_pack) as model:
        assert [file.path for file in index.files] == sorted(index.by_path)
        assert [file.id for file in index.files] == list(range(len(index.files)))
        assert index.root == os.path.realpath(tree) and all(len(file.digest) == 16 for file in index.files)
        for file in index.files:
            data = (tree / file.path).read_bytes()
            text = data.replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf")
            assert index.read(file) == data
            assert (file.size, file.tokens) == (len(data), len(model.tokenizer.encode(text)))
            assert file.lines == text.count(b"\n") + (not text.endswith(b"\n") and bool(text))
            assert file.mtime_ns == os.stat(tree / file.path).st_mtime_ns
        named = ("pkg/core.py", "web/app.ts", "c/include/util.h", "notes.md", "ui/package.json")
        assert [index.by_path[name].language for name in named] == ["python", "typescript", "c", "markdown", "json"]


def test_definitions_and_references(tree: Path, settings: Settings) -> None:
    with open_index(str(tree), settings) as index:
        core, util, main = ids(index, "pkg/core.py", "pkg/util.py", "c/main.c")
        assert index.definitions([core])[core] == [Def("Client", "class", 6, 7, 10), Def("Client.get", "function", 8, 9, 10),
                                                   Def("LIMIT", "constant", 13, 13, 13)]
        assert index.definitions([main])[main] == [Def("main", "function", 3, 3, 5)]
        assert index.defining(["get", "parse_http", "nothing"]) == {
            "get": [(core, Def("Client.get", "function", 8, 9, 10))], "parse_http": [(util, Def("parse_http", "function", 1, 1, 2))],
            "nothing": []}
        assert index.references([core])[core]["parse_http"] == 2, "the comment does not count"
        assert index.referring(["parse_http"]) == {"parse_http": [(core, 2), (util, 1)]}
        assert index.document_frequency(["parse_http", "parse", "response", "nothing"]) == {
            "parse_http": 3, "parse": 3, "response": 1, "nothing": 0}


def test_imports(tree: Path, settings: Settings) -> None:
    write(tree, {
        "go.mod": "module example.com/m\n", "cmd/main.go": 'package main\n\nimport (\n\t"fmt"\n\tx "example.com/m/lib"\n)\n',
        "lib/a.go": "package lib\n", "lib/a_test.go": "package lib\n",
        "crate/src/lib.rs": "mod net;\nuse crate::net::tcp::{Stream, udp as u};\n", "crate/src/net/mod.rs": "pub mod tcp;\n",
        "crate/src/net/tcp.rs": "use super::*;\n", "app/src/main.rs": "use crate_x::y;\nuse crate::a;\n",
        "j/a/b/C.java": "import a.b.D;\nimport static a.b.E.f;\nimport a.c.*;\n", "j/a/b/D.java": "", "j/a/b/E.java": "",
        "j/a/c/F.java": "",
        "scripts/run.py": "import helper\nfrom helper import x\nimport json\n", "scripts/helper.py": "",
        "deep/pkg2/__init__.py": "", "deep/pkg2/b.py": "",
        "deep/pkg2/a/__init__.py": "from ..b import c\nfrom .. import b\nfrom pkg2 import nothing\n",
    })
    with open_index(str(tree), settings) as index:
        def targets(path: str) -> list[str]:
            return paths(index, index.imports(ids(index, path))[index.by_path[path].id])

        assert targets("pkg/__init__.py") == ["pkg/core.py"]
        assert targets("pkg/core.py") == ["pkg/util.py"]
        assert targets("tests/test_core.py") == ["pkg/__init__.py", "pkg/core.py"]
        assert targets("web/app.ts") == ["ui/src/index.ts", "web/lib/helper.ts"]
        assert targets("c/main.c") == ["c/include/util.h"]
        assert targets("cmd/main.go") == ["lib/a.go"]
        assert targets("crate/src/lib.rs") == ["crate/src/net/mod.rs", "crate/src/net/tcp.rs"]
        assert targets("crate/src/net/mod.rs") == ["crate/src/net/tcp.rs"]
        assert targets("j/a/b/C.java") == ["j/a/b/D.java", "j/a/b/E.java", "j/a/c/F.java"]
        assert targets("scripts/run.py") == ["scripts/helper.py"]
        assert targets("deep/pkg2/a/__init__.py") == ["deep/pkg2/__init__.py", "deep/pkg2/b.py"]
        util = index.by_path["pkg/util.py"].id
        assert paths(index, index.importers([util])[util]) == ["pkg/core.py"]


def python_terms(text: str) -> list[str]:
    """The twin of text_terms."""
    out = []
    for word in WORD.findall(text):
        if not 1 < len(word.encode()) <= 64:
            continue
        whole = re.sub("[A-Z]", lambda m: m[0].lower(), word)
        parts = [re.sub("[A-Z]", lambda m: m[0].lower(), part) for part in PART.findall(word)]
        out += [whole] if parts == [whole] else [whole, *parts]
    return out


def test_terms() -> None:
    assert text_terms("parseHTTPResponse utf8_len x _a") == [
        "parsehttpresponse", "parse", "http", "response", "utf8_len", "utf", "8", "len", "_a", "a"]
    draw = random.Random(1)
    for _ in range(300):
        text = "".join(draw.choices("abXYZ09_ .é\n", k=draw.randint(0, 40)))
        assert text_terms(text) == python_terms(text), repr(text)


def test_bm25_is_what_its_formula_says(tmp_path: Path, settings: Settings) -> None:
    draw = random.Random(3)
    vocabulary = ["alpha", "Beta", "gammaDelta", "eps_zeta", "HTTPServer", "omega"]
    texts = {f"d{number % 5}/f{number:03}.txt": " ".join(draw.choices(vocabulary, k=draw.randint(1, 60))) for number in range(120)}
    write(tmp_path / "t", texts)
    query = {"alpha": 1.0, "delta": 2.5, "http": 0.5, "eps_zeta": 1.0, "absent": 9.0}
    with open_index(str(tmp_path / "t"), settings) as index:
        scores = index.bm25(query)
        counts = [collections.Counter(python_terms(texts[file.path])) for file in index.files]
    mean = sum(sum(count.values()) for count in counts) / len(counts)
    expected: dict[int, float] = {}
    for term, weight in query.items():
        having = sum(term in count for count in counts)
        idf = math.log(1 + (len(counts) - having + 0.5) / (having + 0.5))
        for number, count in enumerate(counts):
            if term in count:
                norm = BM25_K1 * (1 - BM25_B + BM25_B * sum(count.values()) / mean)
                expected[number] = expected.get(number, 0.0) + weight * idf * count[term] * (BM25_K1 + 1) / (count[term] + norm)
    assert scores.keys() == expected.keys()
    assert all(math.isclose(scores[number], expected[number], rel_tol=1e-12) for number in expected)


# ---- However it came about ----


def test_changes_are_seen_and_nothing_else_is_read(tree: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(5)
    monkeypatch.setattr(refreshing, "SMALL_SEGMENTS", 2)  # so that segments are joined, too
    open_index(str(tree), settings).close()
    for turn in range(12):
        names = sorted(path for path in tree.rglob("*") if path.is_file())
        for path in draw.sample(names, 2):
            kind = draw.random()
            if kind < 0.2:
                path.unlink()
            elif kind < 0.4:
                path.rename(path.with_name(f"moved{turn}{path.suffix}"))
            elif kind < 0.5:
                os.utime(path)
            else:
                path.write_text(path.read_text() + f"\ndef made_{turn}(parse_http):\n    return other_{draw.randint(0, 9)}\n")
        if turn % 3 == 0:
            write(tree, {f"new{turn}/x.py": f"class New{turn}:\n    pass\n"})
        with open_index(str(tree), settings) as index, open_index(str(tree), settings._replace(cache=False)) as fresh:
            assert content(index) == content(fresh)


def test_a_change_that_keeps_size_and_time_is_seen(tree: Path, settings: Settings) -> None:
    path = tree / "pkg" / "util.py"
    before = os.stat(path)
    open_index(str(tree), settings).close()
    time.sleep(0.05)
    open_index(str(tree), settings).close()
    path.write_text(path.read_text().replace("other", "OTHER"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with open_index(str(tree), settings) as index:
        assert index.defining(["OTHER"])["OTHER"]


def test_a_change_within_a_tick_is_seen(tree: Path, settings: Settings) -> None:
    path = tree / "pkg" / "util.py"
    for turn in range(20):
        path.write_text(f"def name{turn:02}(): pass\n")
        with open_index(str(tree), settings) as index:
            assert index.defining([f"name{turn:02}"])[f"name{turn:02}"], turn


def test_a_settled_tree_is_not_read(tree: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    open_index(str(tree), settings).close()
    time.sleep(0.05)
    open_index(str(tree), settings).close()
    monkeypatch.setattr(refreshing, "refresh", None)
    with open_index(str(tree), settings) as index:
        assert index.definitions(ids(index, "pkg/util.py"))


def test_state_and_meta(tree: Path, settings: Settings) -> None:
    with open_index(str(tree), settings) as index:
        first = index.state
        index.put_meta("prior", b"\0\1")
        assert index.meta("prior") == b"\0\1" and index.meta("none") is None
    with open_index(str(tree), settings) as index:
        assert (index.state, index.meta("prior")) == (first, b"\0\1")
    write(tree, {"notes.md": "other\n"})
    with open_index(str(tree), settings) as index:
        assert index.state != first and index.meta("prior") is None
    write(tree, {"notes.md": "The parse_http function.\n"})
    with open_index(str(tree), settings) as index:
        assert index.state == first


def test_read_tells_a_change(tree: Path, settings: Settings) -> None:
    with open_index(str(tree), settings) as index:
        file = index.by_path["notes.md"]
        for text in ("The parse_http functioN.\n", "shorter\n", "The parse_http function. And more\n"):
            write(tree, {"notes.md": text})
            with pytest.raises(ChangedError, match="changed since it was indexed"):
                index.read(file)
            assert index.references([file.id]) == {file.id: {}}
        (tree / "notes.md").unlink()
        with pytest.raises(ChangedError):
            index.read(file)


def test_given_names_have_an_index_of_their_own(tree: Path, settings: Settings) -> None:
    write(tree, {".hidden.py": "def hidden(): pass\n"})
    with open_index(str(tree), settings, names=["pkg/util.py", ".hidden.py", "gone.py"]) as index:
        assert [file.path for file in index.files] == [".hidden.py", "pkg/util.py"] and index.defining(["hidden"])["hidden"]
    with open_index(str(tree), settings) as index:
        assert ".hidden.py" not in index.by_path
    with open_index(str(tree), settings, hidden=True) as index:
        assert ".hidden.py" in index.by_path


def test_the_tree_is_never_written(tree: Path, settings: Settings) -> None:
    def listing() -> list[tuple[str, int]]:
        return sorted((str(path), path.lstat().st_mtime_ns) for path in [tree, *tree.rglob("*")])

    before = listing()
    for chosen in (settings, settings._replace(cache=False)):
        with open_index(str(tree), chosen) as index:
            index.put_meta("x", b"y")
            content(index)
    assert listing() == before


# ---- Odd files ----


def test_what_is_no_text_is_left_out(tree: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tree, {"b.bin": b"a\0b", "u16.py": "x = 1\n".encode("utf-16"), "latin.c": b"/* \xe9 */", "late.py": b"x" * 9000 + b"\0",
                 "big.log": "x" * 200, "overlong.txt": b"\xc0\x80", "surrogate.txt": b"\xed\xa0\x80"})
    monkeypatch.setattr(refreshing, "MAX_OTHER_BYTES", 150)
    with open(tree / "huge.py", "wb") as stream:
        stream.truncate(3 << 30)  # a hole: reading it would take minutes and memory
    os.mkfifo(tree / "fifo.py")
    (tree / "link.py").symlink_to("pkg/util.py")
    (tree / "loop").symlink_to(".")
    start = time.monotonic()
    with open_index(str(tree), settings) as index:
        assert not {"b.bin", "u16.py", "latin.c", "late.py", "big.log", "huge.py", "fifo.py", "link.py"} & index.by_path.keys()
        assert index.left_out == {"binary": 2, "not UTF-8": 4, "too large": 2, "symbolic links": 2}
    assert time.monotonic() - start < 20


def test_odd_names(tree: Path, settings: Settings) -> None:
    for name in (b"new\nline.py", b"bad\xff.py", "ü.py".encode()):
        (tree / os.fsdecode(name)).write_text("def odd(): pass\n")
    for chosen in (settings, settings):
        with open_index(str(tree), chosen) as index:
            found = [index.files[number].path for number, _ in index.defining(["odd"])["odd"]]
            assert found == ["bad\udcff.py", "new\nline.py", "ü.py"]
            assert index.read(index.by_path["bad\udcff.py"]) == b"def odd(): pass\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files(tree: Path, settings: Settings) -> None:
    (tree / "notes.md").chmod(0)
    (tree / "web").chmod(0)
    try:
        with open_index(str(tree), settings) as index:
            assert index.left_out == {"unreadable": 1} and index.unreadable == 1
    finally:
        (tree / "web").chmod(0o755)
    (tree / "notes.md").chmod(0o644)
    with open_index(str(tree), settings) as index:
        assert {"notes.md", "web/app.ts"} <= index.by_path.keys()


def test_files_that_change_while_they_are_read(tree: Path, settings: Settings) -> None:
    code = ("import sys\nwhile True:\n    for n in range(50):\n        with open(sys.argv[1], 'w') as f:\n            for k in range(n):\n"
            "                f.write(f'def f{n}_{k}(): pass\\n')\n")
    writer = subprocess.Popen([sys.executable, "-c", code, str(tree / "busy.py")])
    try:
        for _ in range(15):
            with open_index(str(tree), settings) as index:
                file = index.by_path.get("busy.py")
                if file is not None:
                    assert file.lines == len(index.definitions([file.id])[file.id])
    finally:
        writer.kill()
        writer.wait()
    write(tree, {"busy.py": "def last(): pass\n"})
    with open_index(str(tree), settings) as index:
        assert index.defining(["last"])["last"]


def test_no_folder(tmp_path: Path, settings: Settings) -> None:
    for name in ("none", "file"):
        (tmp_path / "file").write_text("x")
        with pytest.raises(CommandError, match="no(t a| such) folder"):
            open_index(str(tmp_path / name), settings)
    (tmp_path / "empty").mkdir()
    with open_index(str(tmp_path / "empty"), settings) as index:
        assert index.files == [] and index.bm25({"a": 1.0}) == {}
        assert index.imports([]) == {} and index.referring(["a"]) == {"a": []}


# ---- The database ----


def database(tmp_path: Path) -> Path:
    found = glob.glob(str(tmp_path / "cache" / "index*" / "*.db"))
    assert len(found) == 1
    return Path(found[0])


def test_damage_is_found_and_made_anew(tree: Path, tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with open_index(str(tree), settings._replace(cache=False)) as fresh:
        wanted = content(fresh)
    open_index(str(tree), settings).close()
    path = database(tmp_path)  # damage that is found late leaves none
    whole = path.read_bytes()
    words.set_verbosity(1)
    try:
        draw = random.Random(7)
        said = 0
        for turn in range(60):
            data = bytearray(whole)
            kind = turn % 4
            if kind == 0:
                data = data[:draw.randrange(len(data))]
            elif kind == 1:
                at = draw.randrange(len(data) - 600)
                data[at:at + 600] = draw.randbytes(600)
            elif kind == 2:
                for _ in range(8):
                    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            else:
                data = bytearray(draw.randbytes(5000))
            for extra in ("-wal", "-shm"):
                path.with_name(path.name + extra).unlink(missing_ok=True)
            path.write_bytes(data)
            with open_index(str(tree), settings) as index:
                assert content(index) == wanted, turn
            said += "thrown away" in capsys.readouterr().err
        assert said >= 30
    finally:
        words.set_verbosity(0)


def test_damage_that_is_found_late(tree: Path, tmp_path: Path, settings: Settings) -> None:
    with open_index(str(tree), settings) as index:
        wanted = index.definitions(ids(index, "pkg/core.py")), [file.tokens for file in index.files]
    with sqlite3.connect(database(tmp_path)) as other:
        other.execute("UPDATE detail SET data = zeroblob(30)")
    other.close()
    with open_index(str(tree), settings) as index:
        assert (index.definitions(ids(index, "pkg/core.py")), [file.tokens for file in index.files]) == wanted
    assert not glob.glob(str(tmp_path / "cache" / "index*" / "*.db")), "the next run makes it again"


def test_another_version_is_made_anew(tree: Path, tmp_path: Path, settings: Settings) -> None:
    open_index(str(tree), settings).close()
    with sqlite3.connect(database(tmp_path)) as other:
        other.execute("PRAGMA user_version=99")
        other.execute("DROP TABLE block")
    other.close()
    with open_index(str(tree), settings) as index:
        assert index.document_frequency(["parse"]) == {"parse": 3}


def test_without_a_cache_folder(tree: Path, tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "plain").write_text("no folder")
    plain = settings._replace(cache_dir=str(tmp_path / "plain"))
    for chosen in (settings._replace(cache=False), plain, settings._replace(cache_dir="/proc/none")):
        with open_index(str(tree), chosen) as index:
            assert len(index.files) == 11 and index.defining(["main"])["main"]
            index.put_meta("k", b"v")
            assert index.meta("k") == b"v"
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").glob("index*"))


def test_the_cache_is_bounded(tmp_path: Path, settings: Settings) -> None:
    small = settings._replace(cache_size_bytes=400_000)
    for number in range(8):
        root = tmp_path / f"tree{number}"
        write(root, {"a.py": f"def f{number}(): pass\n"})
        open_index(str(root), small).close()
        for path in glob.glob(str(tmp_path / "cache" / "index*" / "*.db")):
            os.utime(path, (time.time() - 5000 + number, time.time() - 5000 + number))
    held = [os.path.getsize(path) for path in glob.glob(str(tmp_path / "cache" / "index*" / "*.db"))]
    assert 0 < len(held) < 8 and sum(held) <= 200_000 + max(held)


QUERY = """
import sys
from cromwell.contract import settings
from cromwell.prepare.index import open_index
for _ in range(int(sys.argv[2])):
    with open_index(sys.argv[1], settings.load({})) as index:
        found = index.bm25({"parse": 1.0, "shared": 1.0})
        assert len(index.defining(["parse_http"])["parse_http"]) == 1
        for file in index.files:
            index.definitions([file.id])
        index.imports([0])
        index.put_meta("k", index.state.encode())
print(len(index.files), index.state)
"""


def start(tree: Path, tmp_path: Path, times: int) -> subprocess.Popen[str]:
    environment = os.environ | {"CROMWELL_CACHE": str(tmp_path / "cache"), "PYTHONPATH": f"{SITE}:{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.Popen([sys.executable, "-c", QUERY, str(tree), str(times)], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_several_processes_at_once(tree: Path, tmp_path: Path, settings: Settings) -> None:
    write(tree, {f"many/f{number}.py": f"def f{number}(shared): return shared\n" for number in range(200)})
    running = [start(tree, tmp_path, 6) for _ in range(4)]
    draw = random.Random(9)
    while any(process.poll() is None for process in running):
        number = draw.randrange(200)
        write(tree, {f"many/f{number}.py": f"def f{number}(shared): return shared + {draw.random()}\n"})
        time.sleep(0.02)
    for process in running:
        out, error = process.communicate()
        assert process.returncode == 0 and out.startswith("211 "), error
    with open_index(str(tree), settings) as index, open_index(str(tree), settings._replace(cache=False)) as fresh:
        assert content(index) == content(fresh)


def test_killed_at_any_moment(tree: Path, tmp_path: Path, settings: Settings) -> None:
    write(tree, {f"many/f{number}.py": f"def f{number}(shared):\n    return shared\n" * 20 for number in range(150)})
    draw = random.Random(11)
    for turn in range(14):
        write(tree, {f"many/f{turn}.py": f"def changed{turn}(shared): pass\n"})
        process = start(tree, tmp_path, 3)
        time.sleep(draw.uniform(0.05, 0.7))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with open_index(str(tree), settings) as index:
            assert index.defining([f"changed{turn}"])[f"changed{turn}"]
    with open_index(str(tree), settings) as index, open_index(str(tree), settings._replace(cache=False)) as fresh:
        assert content(index) == content(fresh)
    left = [name for name in os.listdir(database(tmp_path).parent) if ".tmp" in name]
    assert len(left) <= 14, "what the dead left goes after an hour"


def test_a_writer_that_holds_on_is_not_waited_for(tree: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    from cromwell.prepare.index import store

    open_index(str(tree), settings).close()
    monkeypatch.setattr(store.write_lock.__wrapped__, "__defaults__", (0.2,))
    with open(str(database(tmp_path)) + ".lock", "wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        write(tree, {"notes.md": "another text\n"})
        begun = time.monotonic()
        with open_index(str(tree), settings) as index:
            assert index.document_frequency(["another"]) == {"another": 1}
        assert time.monotonic() - begun < 10
