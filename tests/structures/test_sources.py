"""Where structures are looked for, and in which order."""

import os
from pathlib import Path

import pytest

from temporem.errors import TemporemError
from temporem.structures import download
from temporem.structures.sources import cache_folder, find_structure, locate_structure


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, no folder from the environment, and a Protein Data Bank out of reach."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TEMPOREM_STRUCTURES", raising=False)
    monkeypatch.setattr(download, "DOWNLOAD_URL", (tmp_path / "{code}").as_uri())


def folder_with(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text(name)
    return path


@pytest.mark.parametrize("name", ["7bcq", "7BCQ", "7bcq.PDB"])
def test_name_is_found_in_any_case(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path / "mine", "7BCQ.pdb", "7bcq_other.pdb", "17bcq.pdb")
    assert find_structure(name, folder) == folder / "7BCQ.pdb"


@pytest.mark.parametrize("suffix", [".cif", ".pdb.gz", ".cif.gz", ".ent"])
def test_suffixes(tmp_path: Path, suffix: str) -> None:
    folder = folder_with(tmp_path / "mine", f"model{suffix}")
    assert find_structure("model", folder).name == f"model{suffix}"


def test_order_is_path_folder_environment_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder().parent.mkdir(parents=True)
    cached = folder_with(cache_folder(), "1abc.pdb")
    assert find_structure("1abc").parent == cached
    environment = folder_with(tmp_path / "environment", "1abc.pdb")
    monkeypatch.setenv("TEMPOREM_STRUCTURES", str(environment))
    assert find_structure("1abc").parent == environment
    given = folder_with(tmp_path / "given", "1abc.pdb")
    assert find_structure("1abc", given).parent == given
    path = environment / "1abc.pdb"
    assert find_structure(str(path), given) == path


def test_offline_says_what_to_do() -> None:
    with pytest.raises(TemporemError, match=r"cannot download structure '1abc'.*--structures"):
        find_structure("1abc")
    assert not cache_folder().exists()


def test_name_that_is_no_code_is_not_downloaded(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "mine")
    with pytest.raises(TemporemError, match=r"no structure 'mymodel' \(looked in .*mine"):
        find_structure("mymodel", folder)


def test_missing_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TemporemError, match=r"--structures: .*nowhere is not a folder"):
        find_structure("1abc", tmp_path / "nowhere")
    monkeypatch.setenv("TEMPOREM_STRUCTURES", str(tmp_path / "nowhere"))
    with pytest.raises(TemporemError, match=r"TEMPOREM_STRUCTURES: .*nowhere is not a folder"):
        find_structure("1abc")


def test_a_code_is_left_to_the_protein_data_bank_and_nothing_is_downloaded_yet() -> None:
    assert locate_structure("1abc") is None
    with pytest.raises(TemporemError, match="no structure 'mymodel'"):
        locate_structure("mymodel")


def test_without_a_home_directory_folders_are_searched_and_downloads_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # of an unknown user
    assert cache_folder() is None
    folder = folder_with(tmp_path / "mine", "1abc.pdb")
    assert find_structure("1abc", folder) == folder / "1abc.pdb"
    with pytest.raises(TemporemError, match=r"no home directory; set XDG_CACHE_HOME"):
        find_structure("2abc", folder)
    with pytest.raises(TemporemError, match=r"looked in .*mine, no cache, without a home"):
        find_structure("mymodel", folder)


def test_names_that_are_not_utf8_are_names(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"f\xe9e")
    folder.mkdir()
    (folder / os.fsdecode(b"mod\xe8le.pdb")).touch()
    (folder / "1abc.pdb").touch()
    assert find_structure("1abc", folder) == folder / "1abc.pdb"
    name = os.fsdecode(b"mod\xe8le")
    assert find_structure(name, folder).name == f"{name}.pdb"
