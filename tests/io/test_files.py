"""Results appear whole or not at all, and never replace another by accident."""

import os
import stat
from pathlib import Path

import pytest

from temporem.errors import TemporemError
from temporem.io.files import atomic_write, fresh_directory, held
from temporem.io.outputs import require_replaceable


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["directory", "file"])
def kind(request):
    return request.param


def write(kind: str, path: Path, content: str, *, overwrite: bool = False, error=None) -> None:
    """Write a result of one file, at ``path`` or in the directory ``path``, or fail half-way."""
    writer = fresh_directory if kind == "directory" else atomic_write
    with writer(path, overwrite=overwrite) as temporary:
        assert temporary.parent == path.parent
        (temporary / "a" if kind == "directory" else temporary).write_text(content)
        if error is not None:
            raise error


def read(kind: str, path: Path) -> str:
    return (path / "a" if kind == "directory" else path).read_text()


def test_result_appears_only_when_complete(kind, tmp_path):
    path = tmp_path / "result.json"
    writer = fresh_directory if kind == "directory" else atomic_write
    with writer(path, overwrite=False) as temporary:
        assert not path.exists()
        (temporary / "a" if kind == "directory" else temporary).write_text("new")
        assert temporary.suffix == (".partial" if kind == "directory" else ".json")
    assert read(kind, path) == "new"
    assert names(tmp_path) == ["result.json"]


def test_existing_result_is_refused_before_any_work(kind, tmp_path):
    path = tmp_path / "result"
    write(kind, path, "old")
    writer = fresh_directory if kind == "directory" else atomic_write
    with pytest.raises(TemporemError, match=r"exists.*--overwrite"):
        writer(path, overwrite=False).__enter__()
    assert read(kind, path) == "old"
    assert names(tmp_path) == ["result"]


def test_overwrite_replaces_and_leaves_nothing_of_the_old_result(kind, tmp_path):
    path = tmp_path / "result"
    write(kind, path, "old")
    if kind == "directory":
        (path / "stale").touch()
    write(kind, path, "new", overwrite=True)
    assert read(kind, path) == "new"
    assert names(tmp_path) == ["result"]
    assert kind == "file" or names(path) == ["a"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [True, False])
def test_failure_leaves_what_was_there(kind, tmp_path, error, old):
    path = tmp_path / "result"
    if old:
        write(kind, path, "old")
    with pytest.raises(type(error)):
        write(kind, path, "new", overwrite=True, error=error)
    assert names(tmp_path) == (["result"] if old else [])
    assert not old or read(kind, path) == "old"


@pytest.mark.parametrize("failing_call", [1, 2])
def test_failed_swap_of_directories_keeps_the_old_result(tmp_path, monkeypatch, failing_call):
    path = tmp_path / "result"
    write("directory", path, "old")
    calls = []

    def rename(source: Path, destination: Path) -> None:
        calls.append(source)
        if len(calls) == failing_call:
            raise KeyboardInterrupt
        os.rename(source, destination)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        write("directory", path, "new", overwrite=True)
    assert read("directory", path) == "old"
    assert names(tmp_path) == ["result"]


def test_result_that_appears_meanwhile_is_kept(kind, tmp_path):
    path = tmp_path / "result"

    def write_late() -> None:
        writer = fresh_directory if kind == "directory" else atomic_write
        with writer(path, overwrite=False) as temporary:
            (temporary / "a" if kind == "directory" else temporary).write_text("mine")
            write(kind, path, "another's")

    with pytest.raises(TemporemError, match="exists"):
        write_late()
    assert read(kind, path) == "another's"
    assert names(tmp_path) == ["result"]


def test_file_and_directory_do_not_replace_each_other(tmp_path):
    write("file", tmp_path / "file", "")
    write("directory", tmp_path / "directory", "")
    with pytest.raises(TemporemError, match="is a file"):
        write("directory", tmp_path / "file", "", overwrite=True)
    with pytest.raises(TemporemError, match="is a directory"):
        write("file", tmp_path / "directory", "", overwrite=True)
    assert names(tmp_path) == ["directory", "file"]


def test_missing_or_unwritable_place_is_one_clear_line(kind, tmp_path):
    (tmp_path / "file").touch()
    for path, message in [
        (tmp_path / "missing" / "result", "missing does not exist"),
        (tmp_path / "file" / "result", "file does not exist"),
        (tmp_path / ("x" * 300), "cannot write .*name too long"),
    ]:
        with pytest.raises(TemporemError, match=message) as caught:
            write(kind, path, "")
        assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file"]


def test_folder_without_permission_is_one_clear_line(kind, tmp_path, monkeypatch):
    def refuse(path: Path, *args, **kwargs) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # Permissions do not bind root, so the refusal is played.
    monkeypatch.setattr(Path, "mkdir" if kind == "directory" else "touch", refuse)
    with pytest.raises(TemporemError, match=r"cannot write .*Permission denied"):
        write(kind, tmp_path / "result", "")


def test_working_directory_is_never_replaced(tmp_path, monkeypatch):
    inside = tmp_path / "result" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    with pytest.raises(TemporemError, match="working directory"):
        write("directory", tmp_path / "result", "", overwrite=True)
    assert inside.exists()


def test_link_stays_and_its_target_is_replaced(kind, tmp_path):
    write(kind, tmp_path / "target", "old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(kind, tmp_path / "link", "new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert read(kind, tmp_path / "target") == "new"


def test_device_or_pipe_is_not_replaced(kind, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TemporemError, match="is a device or a pipe and cannot be replaced"):
        write(kind, tmp_path / "pipe", "new", overwrite=True)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_folder_that_holds_another_product_is_not_replaced(tmp_path):
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "export.json").touch()
    (tmp_path / "volumes" / ".export.json.01234abc.partial").mkdir()
    require_replaceable(tmp_path / "volumes", "a folder of volumes", holds="export.json")
    (tmp_path / "volumes" / "run").mkdir()
    require_replaceable(
        tmp_path / "volumes", "a folder of volumes", holds="export.json", folders=["run"]
    )
    with pytest.raises(TemporemError, match="run is no part of a folder of volumes"):
        require_replaceable(tmp_path / "volumes", "a folder of volumes", holds="export.json")


@pytest.mark.parametrize("name", [".", "particles.star", "../link/particles.star"])
def test_folder_that_holds_an_input_is_not_replaced(name, tmp_path):
    folder = tmp_path / "movies"
    folder.mkdir()
    (folder / "particles.star").touch()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(TemporemError, match="which is read, so it is not replaced"):
        require_replaceable(folder, "a dataset", holds="particles.star", inputs=[folder / name])
    require_replaceable(folder, "a dataset", holds="particles.star", inputs=[tmp_path / "other"])


def test_folder_that_somebody_writes_is_not_replaced(tmp_path):
    path = tmp_path / "result"
    write("directory", path, "old")
    with held(path), pytest.raises(TemporemError, match="is being written by another process"):
        write("directory", path, "new", overwrite=True)
    assert read("directory", path) == "old"
    write("directory", path, "new", overwrite=True)
    assert read("directory", path) == "new"
    assert names(tmp_path) == ["result"]
