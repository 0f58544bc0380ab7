"""The task of ``stage=inspect``: from a selection to inspection pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qnal.errors import InputError
from qnal.inspection.members import MemberVotes, member_votes
from qnal.inspection.packed import packed_spectrum, packed_wave
from qnal.inspection.page import PageContent, write_page
from qnal.inspection.selected import Row, SelectedTargets
from qnal.inspection.spectra import CameraSpectrum, read_spectra
from qnal.inspection.targets import described
from qnal.scores.dataset import ScoresFolder
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.reader import Reader

Advance = Callable[[int], None]


@dataclass(frozen=True)
class InspectOptions:
    """How pages are made.

    Attributes:
        folder: the folder that FILE of the selection is relative to.
        reader: of the pool.
        blind: leave out what the ensemble and Redrock say.
        seed: of the order of the targets.
        per_page: largest number of spectra per file.
        title: of the campaign; None: made from the fingerprint.
        scores: the dataset that the selection was made from, if known.
        predictions: folder of the prediction caches.
    """

    folder: Path
    reader: Reader = field(default_factory=Desi)
    blind: bool = False
    seed: int = 0
    per_page: int = 2000
    title: str | None = None
    scores: ScoresFolder | None = None
    predictions: Path | None = None


@dataclass
class Pages:
    """What was made.

    Attributes:
        paths: of the pages.
        spectra: number of spectra in them.
        with_members: number of spectra with the redshifts of single members.
        failed: one sentence per spectrum that cannot be read.
    """

    paths: list[Path] = field(default_factory=list)
    spectra: int = 0
    with_members: int = 0
    failed: list[str] = field(default_factory=list)


def make_pages(
    selection: SelectedTargets, options: InspectOptions, folder: Path, advance: Advance
) -> Pages:
    """Write ``inspection.html``, or ``inspection-1.html`` and so on, into a folder.

    Args:
        selection: the targets.
        options: how.
        folder: where to.
        advance: called with the number of spectra done.

    Raises:
        InputError: no spectrum can be read.
    """
    pages = Pages()
    rows, packed = _readable(selection.shuffled(options.seed), options, pages, advance)
    votes = _votes(rows, options)
    pages.spectra, pages.with_members = len(rows), sum(v is not None for v in votes)
    targets = [
        described(row, vote, grid, options.blind, options.reader.arms)
        for row, vote, grid in zip(rows, votes, packed.grid_of, strict=True)
    ]
    targetids = [target["id"] for target in targets]
    parts = -(-len(rows) // options.per_page)
    size = -(-len(rows) // parts)
    for part in range(parts):
        first, last = part * size, min((part + 1) * size, len(rows))
        content = PageContent(
            title=options.title or f"qnal-{selection.fingerprint[:8]}",
            selection=selection.fingerprint[:16],
            part=part + 1,
            parts=parts,
            blind=options.blind,
            targets=targets[first:last],
            spectra=packed.spectra[first:last],
            grids=packed.grids,
            arms=options.reader.arms,
            elsewhere=targetids[:first] + targetids[last:],
        )
        path = folder / (f"inspection-{part + 1}.html" if parts > 1 else "inspection.html")
        write_page(path, content)
        pages.paths.append(path)
    return pages


@dataclass
class _Packed:
    """Packed spectra, and the distinct wavelength grids with the number of each spectrum's."""

    spectra: list[str]
    grid_of: list[int]
    grids: list[dict[str, str]]


def _readable(
    rows: Sequence[Row], options: InspectOptions, pages: Pages, advance: Advance
) -> tuple[list[Row], _Packed]:
    """The rows whose spectra can be read, with the spectra."""
    found: dict[int, tuple[str, int]] = {}
    errors: dict[int, InputError] = {}
    numbers: dict[tuple[bytes, ...], int] = {}
    grids: list[dict[str, str]] = []
    for place, spectrum in read_spectra(rows, options.folder, options.reader):
        if isinstance(spectrum, InputError):
            errors[place] = spectrum
        else:
            key = tuple(camera.wave.tobytes() for camera in spectrum)
            if key not in numbers:
                numbers[key] = len(grids)
                grids.append(_grid(spectrum))
            found[place] = packed_spectrum(spectrum), numbers[key]
        advance(1)
    if not found:
        raise InputError(f"none of the {len(rows)} selected spectra can be read: {errors[0]}")
    pages.failed = [f"{rows[p]['TARGETID']}: {errors[p]}" for p in sorted(errors)]
    order = sorted(found)
    packed = _Packed([found[p][0] for p in order], [found[p][1] for p in order], grids)
    return [rows[p] for p in order], packed


def _grid(spectrum: Sequence[CameraSpectrum]) -> dict[str, str]:
    return {camera.camera: packed_wave(camera.wave) for camera in spectrum}


def _votes(rows: Sequence[Row], options: InspectOptions) -> Sequence[MemberVotes | None]:
    if options.blind or options.scores is None or options.predictions is None:
        return [None] * len(rows)
    return member_votes(options.scores, options.predictions, rows)
