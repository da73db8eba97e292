"""Where structures are looked for, in which order, and how a download is kept."""

import hashlib
from pathlib import Path

import pytest

from temporem.errors import TemporemError
from temporem.structures import sources
from temporem.structures.sources import cache_folder, find_structure


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cache, no folder from the environment, and a Protein Data Bank that is a local folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TEMPOREM_STRUCTURES", raising=False)
    bank = tmp_path / "bank"
    bank.mkdir()
    monkeypatch.setattr(sources, "DOWNLOAD_URL", bank.as_uri() + "/{code}.cif.gz")
    return bank


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


def test_download_is_cached_with_its_digest(isolated: Path) -> None:
    (isolated / "1ABC.cif.gz").write_bytes(b"content")
    path = find_structure("1abc")
    assert path == cache_folder() / "1abc.cif.gz"
    assert path.read_bytes() == b"content"
    recorded = (cache_folder() / "1abc.cif.gz.sha256").read_text()
    assert recorded == f"{hashlib.sha256(b'content').hexdigest()}  1abc.cif.gz\n"
    (isolated / "1ABC.cif.gz").unlink()
    assert find_structure("1ABC") == path  # offline now, and from the cache
    assert sorted(p.name for p in cache_folder().iterdir()) == ["1abc.cif.gz", "1abc.cif.gz.sha256"]


def test_changed_cache_is_refused(isolated: Path) -> None:
    (isolated / "1ABC.cif.gz").write_bytes(b"content")
    find_structure("1abc").write_bytes(b"other")
    with pytest.raises(TemporemError, match="has changed since its download"):
        find_structure("1abc")


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
