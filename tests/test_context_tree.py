"""cw-context over a tree: lists, selections, explanations, folders as targets, and trees that are odd or hostile."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from cromwell.contract import artifact, cli, model_input
from cromwell.prepare import cw_context

CLIENT = """import json

from net.session import Session


class Client:
    def __init__(self, url):
        self.session = Session(url)

    def fetch_quotes(self, symbols):
        answer = self.session.get_page("/quotes", symbols)
        return json.loads(answer)


def close_client(client):
    client.session.close_session()
"""
SESSION = """RETRY_LIMIT = 3


class Session:
    def __init__(self, url):
        self.url = url

    def get_page(self, path, query):
        for attempt in range(RETRY_LIMIT):
            page = self.open_page(path, query)
            if page is not None:
                return page
        return ""

    def close_session(self):
        self.url = None
"""
OTHER = "".join(f"def helper_{n}(value):\n    return value + {n}\n\n\n" for n in range(30))
KEY = "AKIA" + "Q7RT5BF2CZLNMVYH"


@pytest.fixture
def tree(tmp_path, monkeypatch, model_pack):
    """A project in the current folder: net/client.py, net/session.py, other.py."""
    root = tmp_path / "project"
    (root / "net").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "net" / "client.py").write_text(CLIENT)
    (root / "net" / "session.py").write_text(SESSION)
    (root / "other.py").write_text(OTHER)
    monkeypatch.chdir(root)
    monkeypatch.setenv("CROMWELL_MODEL", str(model_pack))
    monkeypatch.setenv("CROMWELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return root


@pytest.fixture
def run(capfdbinary):
    """Runs the command in this process; (exit code, standard output, standard error)."""
    def call(*arguments: str, code: int = 0) -> tuple[bytes, str]:
        capfdbinary.readouterr()
        found = cli.run(cw_context.app, list(arguments))
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        assert found == code, (arguments, found, err.decode())
        if code:
            assert err.count(b"error: ") == 1 and not out, (out, err)
        return out, err.decode()
    return call


def test_a_list_of_lines(tree, run):
    out, err = run("--list", "net/client.py::Client.fetch_quotes", "-m", "retry get_page of the session", "--budget", "400")
    lines = out.decode().splitlines()
    assert lines == sorted(lines, key=lambda line: line.rpartition(":")[0])
    assert any(line.startswith("net/session.py:") for line in lines)
    assert not any(line.startswith("net/client.py:10-") for line in lines) and not err
    assert out == run("--list", "net/client.py::Client.fetch_quotes", "-m", "retry get_page of the session", "--budget", "400")[0]
    for line in lines:
        path, _, span = line.rpartition(":")
        first, last = map(int, span.split("-"))
        assert 1 <= first <= last <= (tree / path).read_text().count("\n")


def test_json_and_nul(tree, run):
    options = ("net/client.py", "-m", "retry get_page of the session", "--budget", "300", "--list")
    document = json.loads(run(*options, "--json", "--explain")[0])
    assert document["version"] == 1 and document["tokens"] <= 300 and document["root"] == str(tree)
    assert document["target"]["path"] == "net/client.py" and document["target"]["how"] == "instruction"
    scores = {entry["path"]: entry for entry in document["scores"]}
    assert scores["net/session.py"]["score"] > scores["other.py"]["score"]
    for entry in document["scores"]:
        assert sum(entry["factors"].values()) == pytest.approx(entry["score"], abs=1e-4)
    rows = [f"{e['path']}:{e['start_line']}-{e['end_line']}" for e in document["excerpts"]]
    assert run(*options)[0].decode().splitlines() == rows
    assert run(*options, "-0")[0] == b"".join(row.encode() + b"\0" for row in rows)


def test_a_tree_by_itself(tree, run):
    out, _ = run("--list", ".", "-m", "close_session must forget the url")
    assert b"net/session.py:" in out
    assert run("--list", "net", "-m", "close_session must forget the url", "--root", ".")[0]


@pytest.mark.parametrize("tokens", [60, 150])
def test_a_selection_in_the_context(tree, run, tokens):
    options = ("net/client.py::Client.fetch_quotes", "-m", "retry get_page of the session")
    from cromwell import binding

    plain = artifact.read(io.BytesIO(run(*options, "-o", "-")[0]), "plain", {"context"})
    out, _ = run(*options, "--select", str(tokens), "-o", "-")
    made = artifact.read(io.BytesIO(out), "made", {"context"})
    assert made.meta["region"] == plain.meta["region"] and made.meta["window"] == plain.meta["window"]
    assert made.meta["excerpts"] and made.arrays["target"].data == plain.arrays["target"].data
    for number, excerpt in enumerate(made.meta["excerpts"]):
        lines = (tree / excerpt["path"]).read_bytes().splitlines(keepends=True)
        assert made.arrays[f"excerpt.{number}"].data == b"".join(lines[excerpt["start_line"] - 1:excerpt["end_line"]])
    with binding.Model(os.environ["CROMWELL_MODEL"]) as model:
        assert made.meta["prompt_tokens"] == len(model_input.prompt_tokens(made.meta, made.arrays, model.tokenizer)) <= 1024
    assert 0 < made.meta["prompt_tokens"] - plain.meta["prompt_tokens"] <= tokens
    assert out == run(*options, "--select", str(tokens), "-o", "-")[0]


def test_no_room_for_a_selection(tree, run):
    options = ("net/client.py::Client.fetch_quotes", "-m", "retry get_page of the session", "--select", "500", "-o", "-")
    _, err = run(*options, "--budget", "20", code=2)
    needed = int(err.split("needs ")[1].split()[0])
    made = artifact.read(io.BytesIO(run(*options, "--budget", str(needed))[0]), "made", {"context"})
    assert made.meta["prompt_tokens"] == needed and not made.meta["excerpts"]


def test_a_folder_as_target(tree, run):
    out, err = run(".", "-m", "in close_session, set self.url to an empty string", "-o", "-", "-v")
    meta = artifact.read(io.BytesIO(out), "made", {"context"}).meta
    assert meta["path"] == "net/session.py" and meta["region"]["start_line"] <= 16 <= meta["region"]["end_line"]
    assert "net/session.py:" in err and "likely by" in err
    out, _ = run("net", "-m", "replace json.loads(answer) with orjson.loads(answer)", "-o", "-")
    made = artifact.read(io.BytesIO(out), "made", {"context"})
    assert made.meta["path"] == "net/client.py"


def test_a_folder_that_holds_nothing_meant(tree, run):
    _, err = run(".", "-m", "rename zebra_count to giraffe_count in Savannah.count_animals", code=4)
    assert err.count("\n\n") == 1 and "hint:" in err
    assert "nearest: " in err or "nothing that the instruction names" in err


def test_explanations(tree, run):
    options = ("net/client.py::Client.fetch_quotes", "-m", "retry <get_page> & close", "--list", "--explain")
    out, err = run(*options, "--explain-plot", "scores.svg")
    assert "net/session.py" in err and "score" in err and b"score" not in out
    picture = ElementTree.fromstring((tree / "scores.svg").read_text())
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "net/session.py" in texts and "retry <get_page> & close" in texts
    assert float(picture.get("width")) > 300 and len(list(picture.iter("{http://www.w3.org/2000/svg}rect"))) > 5
    run("net/client.py:10-12", "-m", "x", "--explain-plot", "scores.png", code=2)
    assert "net/session.py" in run("net/client.py:10-12", "-m", "retry", "--explain", "-o", "-")[1]


def test_only_some_files(tree, run):
    (tree / "list").write_text("net/client.py\nother.py\nmissing.py\n")
    (tree / "list0").write_bytes(b"net/client.py\0other.py\0")
    for name, extra in (("list", ()), ("list0", ("-0",))):
        out, _ = run("--list", ".", "-m", "close_session helper_3", "--files-from", name, *extra)
        assert b"session.py" not in out and b"other.py:" in out
    for line, data in (("named outside", "../elsewhere.py\n"), ("empty", ""), ("missing", "nothing.py\n"), ("nul", "a\0b\0")):
        (tree / "bad").write_text(data)
        run("--list", ".", "-m", line, "--files-from", "bad", code=2)


def test_secrets_are_left_out(tree, run):
    (tree / "net" / "session.py").write_text(SESSION + f'\nSESSION_KEY = "{KEY}"\n\n\ndef get_page_key():\n    return SESSION_KEY\n')
    (tree / "net" / ".env").write_text("SESSION=get_page\n")
    options = ("--list", "net/client.py::Client.fetch_quotes", "-m", "get_page of Session takes SESSION_KEY", "--hidden")
    out, err = run(*options)
    assert KEY not in err and "net/session.py:18: looks like a secret (AWS access key)" in err and b".env" not in out
    for line in out.decode().splitlines():
        path, _, span = line.rpartition(":")
        first, last = map(int, span.split("-"))
        assert path != "net/session.py" or not first <= 18 <= last
    document = json.loads(run(*options, "--json")[0])
    assert {"path": "net/session.py", "line": 18, "kind": "AWS access key"} in document["left_out"]
    assert len(run(*options, "--allow-secrets")[0]) > len(out)
    _, err = run("net/session.py:18-20", "-m", "x", "-o", "-")
    assert "net/session.py:18" in err and "shown to the model" in err and KEY not in err


def test_no_network(tree, run, monkeypatch):
    def refuse(*_arguments, **_named):
        raise AssertionError("a socket")
    monkeypatch.setattr(socket, "socket", refuse)
    run("--list", ".", "-m", "close_session")
    run("net/client.py", "-m", "json.loads", "--select", "100", "-o", "-")


def test_nothing_heavy_is_loaded(tree):
    program = ("import sys; from cromwell.prepare import cw_context; from cromwell.contract import cli; "
               "code = cli.run(cw_context.app, sys.argv[1:]); print(code, ' '.join(sys.modules), file=sys.stderr)")
    site = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(cli.__file__))))
    done = subprocess.run([sys.executable, "-c", program, "--list", "net/client.py:10-12", "-m", "get_page"],
                          capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH", site)}, check=False)
    code, *loaded = done.stderr.split()
    assert code == "0", done.stderr
    assert not set(loaded) & {"numpy", "torch", "rich", "asyncio", "PIL", "socket", "http", "ssl", "xml", "multiprocessing", "concurrent",
                              "ctypes", "email", "unittest", "pygments"}


# ---- What may be wrong ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    ("--budget", "0"), ("--budget", "-5"), ("--budget", "x"), ("--root", "nowhere"), ("--root", "other.py"), ("--root", "net"),
    ("--files-from", "nowhere"), ("--files-from", "net"), ("--image", "a.png"), ("--select", "10"), ("--context", "other.py"),
    ("--json", "-0"), ("--explain-plot", "a.png"),
])
def test_refused(tree, run, arguments):
    run("--list", "other.py:1-2", "-m", "x", *arguments, code=2)


@pytest.mark.parametrize("arguments", [("--json",), ("-0",), ("--select", "0"), ("--root", "."), ("--files-from", "x"), ("--hidden",)])
def test_refused_without_a_list(tree, run, arguments):
    run("other.py:1-2", "-m", "x", "-o", "-", *arguments, code=2)


def test_odd_names(tree, run):
    for name in (b"new\nline.py", b"bad\xff\xfe.py", b'quote".py', "grün.py".encode(), b"a b.py"):
        with open(os.path.join(os.fsencode(tree), name), "wb") as stream:
            stream.write(b"def zebra_crossing():\n    return 1\n")
    out, _ = run("--list", ".", "-m", "zebra_crossing returns 2")
    assert set(out.splitlines()) >= {b'"new\\nline.py":1-2', b'"bad\\377\\376.py":1-2', b'"quote\\".py":1-2', "grün.py:1-2".encode(),
                                     b"a b.py:1-2"}
    raw, _ = run("--list", ".", "-m", "zebra_crossing returns 2", "-0")
    assert b"new\nline.py:1-2\0" in raw and b"bad\xff\xfe.py:1-2\0" in raw
    assert {e["path"] for e in json.loads(run("--list", ".", "-m", "zebra_crossing", "--json")[0])["excerpts"]} >= {"bad\udcff\udcfe.py"}
    run(".", "-m", "in zebra_crossing, return 2", "--files-from", str(tree / "names"), code=2)


def test_links_and_loops(tree, run):
    (tree / "everything").symlink_to("/")
    (tree / "net" / "loop").symlink_to("..")
    (tree / "net" / "itself.py").symlink_to("itself.py")
    (tree / "inner").mkdir()
    (tree / "inner" / ".git").write_text("gitdir: ../.git/modules/inner\n")
    (tree / "inner" / "zebra.py").write_text("zebra = 1\n")
    out, _ = run("--list", ".", "-m", "zebra helper_3 close_session")
    assert b"everything" not in out and b"loop" not in out and b"itself" not in out
    run("net/itself.py", "-m", "x", code=2)
    run("--list", "net/itself.py", "-m", "x", code=2)
    run("--list", "everything/etc/passwd", "-m", "root", "--root", ".", code=2)


def test_large_and_binary_files(tree, run):
    with open(tree / "huge.log", "wb") as stream:
        stream.truncate(1 << 30)
    with open(tree / "long.log", "wb") as stream:
        stream.write(b"close_session\n" * 3_000_000)
    (tree / "binary.dat").write_bytes(b"close_session\0" * 100)
    out, _ = run("--list", ".", "-m", "close_session")
    assert b".log" not in out and b".dat" not in out and b"session.py" in out
    for name in ("huge.log", "long.log", "binary.dat"):
        run(name, "-m", "close_session", code=2)
        run("--list", f"{name}:1-2", "-m", "close_session", code=2)


def test_a_file_that_changes(tree, run, monkeypatch):
    from cromwell.prepare import index, pack

    real = pack.select

    def change(*arguments):
        selection = real(*arguments)
        (tree / "net" / "session.py").write_text("gone = 1\n" * 3)
        return selection
    monkeypatch.setattr(pack, "select", change)
    out, err = run("--list", "net/client.py::Client.fetch_quotes", "-m", "retry get_page of the session")
    assert b"session.py" not in out and "changed while it was read" in err
    monkeypatch.setattr(pack, "select", real)
    monkeypatch.setattr(index.Index, "read", lambda _self, _file: (_ for _ in ()).throw(index.ChangedError("x")))
    run("--list", "net/client.py::Client.fetch_quotes", "-m", "retry get_page of the session")
    run(".", "-m", "retry get_page of the session", code=4)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_unreadable_folders(tree, run):
    (tree / "closed").mkdir(mode=0)
    assert run("--list", ".", "-m", "close_session")[0]
    run("--list", "closed", "-m", "close_session")


def test_a_tree_that_is_no_repository(tree, run, tmp_path, monkeypatch):
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a.py").write_text("def zebra():\n    return 1\n")
    monkeypatch.chdir(plain)
    document = json.loads(run("--list", "a.py:1-2", "-m", "zebra", "--json")[0])
    assert document["root"] == str(plain) and not document["excerpts"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("--list", str(empty), "-m", "zebra")[0] == b""
    run(str(empty), "-m", "zebra", code=4)
    run("--list", str(tree / "other.py"), "-m", "zebra", "--root", str(plain), code=2)


def test_the_root(tree, tmp_path):
    from cromwell.prepare.tree import find_root

    assert find_root("net/client.py") == find_root("net") == find_root("net/missing.py") == str(tree)
    (tree / "net" / ".git").write_text("gitdir: elsewhere\n")
    assert find_root("net/client.py") == str(tree / "net")
    project = tmp_path / "package"
    (project / "src" / "deep").mkdir(parents=True)
    (project / "pyproject.toml").write_text("")
    assert find_root(str(project / "src" / "deep")) == str(project)
