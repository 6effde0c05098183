"""Settings: flags over environment over project file over user file over defaults, each value with its origin."""

from __future__ import annotations

import os

import pytest

from cromwell.contract import settings
from cromwell.contract.errors import CommandError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project folder (with .git) that is the current one, and an empty home."""
    for name in list(os.environ):
        if name.startswith("CROMWELL_"):
            monkeypatch.delenv(name)
    project = tmp_path / "project"
    (project / "deep" / "er").mkdir(parents=True)
    (project / ".git").mkdir()
    (tmp_path / "config" / "cromwell").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(project)
    return tmp_path


def test_defaults(place):
    values = settings.load({})
    assert values[:4] == (None, 0, None, True)
    assert values.cache_dir == str(place / "home" / ".cache" / "cromwell") and values.cache_size_bytes == 2 << 30
    assert set(values.origins.values()) == {"default"}


def test_order_of_origins(place, monkeypatch):
    user = place / "config" / "cromwell" / "config.toml"
    user.write_text("threads = 1\nisa = 'scalar'\ncache_size = '5M'\ncache = false\n")
    values = settings.load({})
    assert (values.threads, values.isa, values.cache_size_bytes, values.cache) == (1, "scalar", 5 << 20, False)
    assert values.origins["threads"] == str(user)
    project = place / "project" / ".cromwell.toml"
    project.write_text("threads = 2\n")
    assert settings.load({})[1:3] == (2, "scalar") and settings.load({}).origins["threads"] == str(project)
    monkeypatch.setenv("CROMWELL_THREADS", "3")
    assert settings.load({}).threads == 3 and settings.load({}).origins["threads"] == "CROMWELL_THREADS"
    assert settings.load({"threads": "4", "isa": None}).threads == 4
    assert settings.load({"threads": "4"}).origins["threads"] == "flag"
    assert settings.load({"cache": True}).cache is True


def test_project_file_is_found_upwards_within_the_repository(place, monkeypatch):
    (place / ".cromwell.toml").write_text("threads = 9\n")
    monkeypatch.chdir(place / "project" / "deep" / "er")
    assert settings.load({}).threads == 0  # the search ends at .git
    (place / "project" / ".cromwell.toml").write_text("threads = 2\nmodel = 'models/own.cwm'\n")
    values = settings.load({})
    assert values.threads == 2 and values.model == str(place / "project" / "models" / "own.cwm")
    (place / "project" / "deep" / ".cromwell.toml").write_text("threads = 5\n")
    assert settings.load({}).threads == 5


def test_a_folder_anybody_may_write_to_is_not_trusted(place, monkeypatch):
    (place / "project" / "deep" / ".cromwell.toml").write_text("threads = 5\n")
    (place / "project" / "deep").chmod(0o777)
    monkeypatch.chdir(place / "project" / "deep" / "er")
    assert settings.load({}).threads == 0


def test_a_removed_current_folder_is_no_failure(place, monkeypatch):
    gone = place / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert settings.load({"threads": "1"}).threads == 1


@pytest.mark.parametrize(("text", "words"), [
    ("cache_dir = '/tmp/x'", "belongs into the user file"),
    ("cache_size = '1G'", "belongs into the user file"),
    ("thread = 2", "is no setting"),
    ("threads = 'many'", "threads: 'many'"),
    ("threads = -1", "is not a number"),
    ("threads = [1]", "is not a plain value"),
    ("threads = 1.5", "threads"),
    ("threads = nan", "is not a plain value"),
    ("threads = ", "Invalid"),
    ("[threads]\nx = 1", "is not a plain value"),
    ("cache = 'maybe'", "neither true nor false"),
    ("isa = ''", "instruction set"),
    ("model = ''", "is not a path"),
    ('model = "a\\u0000b"', "is not a path"),
    ("a = " + "[" * 100000, "cromwell.toml"),
    ("x = '\\u0000", "cromwell.toml"),
])
def test_bad_files(place, text, words):
    path = place / "project" / ".cromwell.toml"
    path.write_text(text)
    with pytest.raises(CommandError) as caught:
        settings.load({})
    assert words in caught.value.where_and_what and str(path) in caught.value.where_and_what
    assert caught.value.hint and caught.value.exit_code == 2


def test_bad_bytes_and_sizes(place):
    path = place / "project" / ".cromwell.toml"
    for data in (b"threads = '\xff'", b"#" * (2 << 20)):
        path.write_bytes(data)
        with pytest.raises(CommandError):
            settings.load({})


@pytest.mark.parametrize(("variable", "text"), [
    ("CROMWELL_THREADS", "x"), ("CROMWELL_THREADS", "65"), ("CROMWELL_THREADS", "²"), ("CROMWELL_ISA", "avx 2"),
    ("CROMWELL_CACHE_SIZE", "G"), ("CROMWELL_CACHE_SIZE", "-1"), ("CROMWELL_CACHE_SIZE", "1" * 30), ("CROMWELL_CACHE_ENABLED", "2"),
])
def test_bad_environment(place, monkeypatch, variable, text):
    monkeypatch.setenv(variable, text)
    with pytest.raises(CommandError) as caught:
        settings.load({})
    assert caught.value.where_and_what.startswith(f"{variable}: ")


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("17", 17), ("3k", 3 << 10), ("500M", 500 << 20), ("2G", 2 << 30), ("1T", 1 << 40)])
def test_sizes(place, monkeypatch, text, size):
    monkeypatch.setenv("CROMWELL_CACHE_SIZE", text)
    assert settings.load({}).cache_size_bytes == size


def test_empty_variables_count_as_unset(place, monkeypatch):
    monkeypatch.setenv("CROMWELL_THREADS", "")
    assert settings.load({}).origins["threads"] == "default"


def test_relative_xdg_folders_are_ignored(place, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert settings.load({}).cache_dir == str(place / "home" / ".cache" / "cromwell")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    assert settings.load({}).cache_dir == str(place / "cromwell")


def test_print_config(place, capsys):
    settings.print_config({"threads": "2", "input": "x"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(settings._SETTINGS)
    assert "threads = 2  # flag" in lines and "cache = true  # default" in lines and "cache_size = 2147483648  # default" in lines
