"""Results appear whole or not at all, and never replace another by accident."""

import errno
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from helpers.crash import crashes, power_cuts
from temporem.errors import TemporemError
from temporem.io.files import (
    atomic_write,
    disk_error,
    fresh_directory,
    held,
    require_new_file,
)
from temporem.io.leftovers import adopt_leftovers
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
    rename = os.rename

    def fail(source: Path, destination: Path) -> None:
        calls.append(source)
        if len(calls) == failing_call:
            raise KeyboardInterrupt
        rename(source, destination)

    monkeypatch.setattr(os, "rename", fail)
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
    if kind == "directory":
        monkeypatch.setattr(os, "mkdir", refuse)
    else:
        monkeypatch.setattr(os, "open", refuse)
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
    with pytest.raises(TemporemError, match="run does not belong to a folder of volumes"):
        require_replaceable(tmp_path / "volumes", "a folder of volumes", holds="export.json")


@pytest.mark.parametrize("name", [".", "particles.star", "../link/particles.star"])
def test_folder_that_holds_an_input_is_not_replaced(name, tmp_path):
    folder = tmp_path / "movies"
    folder.mkdir()
    (folder / "particles.star").touch()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(TemporemError, match=r"holds the input .*, so it is not replaced"):
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


@pytest.mark.parametrize("old", [True, False])
def test_power_cut_at_any_moment_leaves_the_old_result_or_the_new(kind, old, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if old:
        write(kind, disk / "result", "old")
    images = power_cuts(
        lambda: write(kind, disk / "result", "new", overwrite=True), disk, tmp_path / "images"
    )
    found = [settled(kind, image / "result") for image in images]
    before = "old" if old else None
    assert set(found) == {before, "new"}
    assert found[:2] == [before, before]
    assert found[-2:] == ["new", "new"]


@pytest.mark.parametrize("old", [True, False])
def test_crash_before_any_change_leaves_the_old_result_or_the_new(kind, old, tmp_path):
    path = tmp_path / "result"
    if old:
        write(kind, path, "old")
    before = "old" if old else None
    found = []
    for _ in crashes(lambda: write(kind, path, "new", overwrite=True)):
        found.append(settled(kind, path))
        if found[-1] == "new":
            write(kind, path, "old", overwrite=True) if old else remove(kind, path)
    assert set(found) <= {before, "new"}
    assert len(found) >= 2
    assert "new" in found or (kind == "directory" and not old)


def settled(kind: str, path: Path) -> str | None:
    """The result that the next command finds, once leftovers are gone."""
    adopt_leftovers(path)
    assert names(path.parent) in ([], ["result"])
    if not path.exists():
        return None
    assert kind == "file" or names(path) == ["a"]
    return read(kind, path)


def remove(kind: str, path: Path) -> None:
    shutil.rmtree(path) if kind == "directory" else path.unlink()


def test_next_write_settles_what_a_crash_has_left(tmp_path):
    path = tmp_path / "result"
    write("directory", path, "old")
    path.rename(tmp_path / ".result.01234567.old")
    (tmp_path / ".result.01234567.partial").mkdir()
    with pytest.raises(TemporemError, match="exists"):
        write("directory", path, "new")
    assert read("directory", path) == "old"
    assert names(tmp_path) == ["result"]


def test_leftovers_inside_a_folder_are_settled_with_it(tmp_path):
    checkpoint = tmp_path / "run" / "checkpoint"
    checkpoint.mkdir(parents=True)
    checkpoint.rename(checkpoint.with_name(".checkpoint.01234567.old"))
    (tmp_path / "run" / ".config.yaml.01234567.partial.yaml").touch()
    (tmp_path / ".other.01234567.partial").mkdir()
    deep = tmp_path / "run" / "checkpoint" / ".a.01234567.partial"
    adopt_leftovers(tmp_path / "run")
    assert names(tmp_path / "run") == ["checkpoint"]
    deep.mkdir()
    adopt_leftovers(tmp_path / "run")
    assert deep.exists()
    adopt_leftovers(tmp_path / "run", deep=True)
    assert not deep.exists()
    assert names(tmp_path) == [".other.01234567.partial", "run"]


def test_what_a_living_process_writes_is_no_leftover(kind, tmp_path):
    writer = fresh_directory if kind == "directory" else atomic_write
    with writer(tmp_path / "result") as temporary:
        adopt_leftovers(tmp_path / "result")
        adopt_leftovers(tmp_path)
        assert temporary.exists()
        (temporary / "a" if kind == "directory" else temporary).write_text("new")
    assert read(kind, tmp_path / "result") == "new"


def test_old_folder_that_a_living_process_holds_stays_aside(tmp_path):
    aside = tmp_path / ".result.01234567.old"
    aside.mkdir()
    with held(aside):
        adopt_leftovers(tmp_path / "result")
        assert names(tmp_path) == [aside.name]
    adopt_leftovers(tmp_path / "result")
    assert names(tmp_path) == ["result"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "x"), "No space left on device; expected 3 GB of room in .* free"),
        (OSError(errno.EFBIG, "x"), "File too large; .* raise the limit"),
        (OSError(errno.EIO, "x"), "Input/output error; the disk or its network fails"),
        (OSError(errno.EROFS, "x"), "Read-only file system; this disk is mounted read-only"),
        (OSError("3000 requested and 1000 written"), "No space left on device"),
        (ValueError("I/O error: no space (os error 28)"), "No space left on device"),
    ],
)
def test_failure_of_the_disk_is_one_clear_line(error, message, tmp_path):
    found = str(disk_error(error, tmp_path / "run" / "mean.mrc", 3 * 10**9))
    assert re.search(f"cannot write {tmp_path}/run/mean.mrc: {message}", found)


def test_full_disk_names_the_result_and_not_its_temporary_name(kind, tmp_path):
    path = tmp_path / "result"
    with pytest.raises(TemporemError, match=rf"cannot write {path}: No space left"):
        write(kind, path, "", error=OSError(errno.ENOSPC, "No space left on device"))
    assert names(tmp_path) == []


def test_full_disk_names_the_file_in_a_directory(tmp_path):
    def fill() -> None:
        with fresh_directory(tmp_path / "run") as temporary:
            raise OSError(errno.ENOSPC, "No space left on device", str(temporary / "mean.mrc"))

    with pytest.raises(TemporemError, match=rf"cannot write {tmp_path}/run/mean.mrc: No space"):
        fill()


def test_full_disk_names_no_temporary_folder_around_a_file(tmp_path):
    def fill() -> None:
        with fresh_directory(tmp_path / "run") as folder, atomic_write(folder / "mean.mrc"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TemporemError, match=rf"cannot write {tmp_path}/run/mean.mrc: No space"):
        fill()


def test_error_about_another_file_stays_as_it_is(kind, tmp_path):
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", "input.pdb")
    with pytest.raises(FileNotFoundError, match=r"input\.pdb"):
        write(kind, tmp_path / "result", "", error=error)


def test_a_file_is_refused_before_the_work_if_it_cannot_be_written(tmp_path, monkeypatch) -> None:
    (tmp_path / "mine").write_text("mine")
    require_new_file(tmp_path / "page.html", overwrite=False)
    require_new_file(tmp_path / "mine")
    assert names(tmp_path) == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"
    with pytest.raises(TemporemError, match="exists"):
        require_new_file(tmp_path / "mine", overwrite=False)
    with pytest.raises(TemporemError, match="does not exist"):
        require_new_file(tmp_path / "missing" / "page.html")

    def read_only(*arguments: object) -> int:
        raise OSError(errno.EROFS, "x")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(TemporemError, match=r"cannot write .*page\.html: Read-only file system"):
        require_new_file(tmp_path / "page.html")
