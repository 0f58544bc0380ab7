"""Where spectra are found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qnal.errors import InputError
from qnal.spectra.readers.desi import find_coadds
from qnal.spectra.readers.sdss import expand_folders
from qnal.spectra.spectra_file import paths_of

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/coadd-1.fits", "a/b/coadd-2.fits.gz", "a/spectra-3.fits", "c/coadd-4.fits"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(*given: str | list[str]) -> list[str]:
    return [file.name for file in find_coadds(list(given), "data.pool")]


def test_a_folder_is_searched_to_any_depth(tree: Path) -> None:
    assert names(f"{tree}") == ["a/b/coadd-2.fits.gz", "a/coadd-1.fits", "c/coadd-4.fits"]


def test_lists_and_globs_may_be_mixed(tree: Path) -> None:
    assert names(f"{tree}/c", f"{tree}/a/coadd-?.fits") == ["a/coadd-1.fits", "c/coadd-4.fits"]
    assert names(f"{tree}/**/coadd-2*") == ["coadd-2.fits.gz"]


def test_a_file_given_twice_is_one(tree: Path) -> None:
    assert names(f"{tree}/a", f"{tree}/a/coadd-1.fits") == ["b/coadd-2.fits.gz", "coadd-1.fits"]


def test_a_file_given_by_itself_may_have_any_name(tree: Path) -> None:
    assert names(f"{tree}/a/spectra-3.fits") == ["spectra-3.fits"]


def test_paths_are_absolute_and_keep_links(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    Path("link").symlink_to("a")
    assert paths_of("link/../link/coadd-1.fits", "key") == [tree / "link" / "coadd-1.fits"]
    assert names("link") == ["b/coadd-2.fits.gz", "coadd-1.fits"]


def test_nothing_found_is_an_error_that_names_the_key(tree: Path) -> None:
    with pytest.raises(InputError, match=r"data\.pool=.*no such file or folder"):
        names(f"{tree}/none/*.fits")
    with pytest.raises(InputError, match=r"data\.pool is not set"):
        find_coadds(None, "data.pool")
    (tree / "empty").mkdir()
    with pytest.raises(InputError, match="no file called coadd-"):
        names(f"{tree}/empty")


def test_folders_of_sdss_files_are_expanded(tree: Path) -> None:
    for name in ("spec-2-3-4.fits", "spec-1-2-3.fits.gz", "coadd-9.fits"):
        (tree / "c" / name).touch()
    assert [p.name for p in expand_folders([tree / "c", tree / "a" / "coadd-1.fits"])] == [
        "spec-1-2-3.fits.gz",
        "spec-2-3-4.fits",
        "coadd-1.fits",
    ]
    with pytest.raises(InputError, match=r"no file called spec-"):
        expand_folders([tree / "a"])
