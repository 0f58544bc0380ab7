"""Write a mock survey: what goes into which file, and where the files are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
import pandas as pd

from qnal.files import written_aside
from qnal.spectra.fits import cfitsio_path
from qnal.spectra.mock.coadds import Petal, write_coadd
from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.labels import boss_truth, desi_truth, pool_truth
from qnal.spectra.mock.observation import camera, expose
from qnal.spectra.mock.targets import Targets, desi_targetids, draw_targets
from qnal.spectra.mock.tiles import Tile, share_out

# Each part of the survey has seeds, tile numbers, exposure numbers and bricks of its own.
LABELLED, POOL, BOSS = 1, 2, 3
FIRST_TILE = {LABELLED: 80_600, POOL: 1_000}
FIRST_EXPOSURE = {LABELLED: 72_000, POOL: 110_000}
FIRST_NIGHT = {LABELLED: "2021-01-10", POOL: "2021-12-01"}
FIRST_BRICK = {LABELLED: 100_000, POOL: 150_000}
BOSS_BATCH = 500
OBJECTS, LAYOUT, NOISE, LABELS = 1, 2, 3, 4

Progress = Callable[[int], None]


@dataclass(frozen=True)
class MockSurvey:
    """Where the parts of a mock survey are; a part of size 0 is not there."""

    root: Path
    desi_spectra: Path
    desi_truth: Path
    boss_spectra: Path
    boss_truth: Path
    pool: Path
    pool_truth: Path


def survey_at(root: Path) -> MockSurvey:
    """The paths of a mock survey below ``root``, written or not."""
    return MockSurvey(
        root,
        desi_spectra=root / "training" / "tiles" / "perexp",
        desi_truth=root / "training" / "truth.csv",
        boss_spectra=root / "training" / "dr12_train.fits",
        boss_truth=root / "training" / "truth_dr12q.fits",
        pool=root / "pool" / "tiles" / "perexp",
        pool_truth=root / "pool_truth.csv",
    )


def write_survey(config: MockConfig, root: Path, progress: Progress | None = None) -> MockSurvey:
    """Write a mock survey; equal configurations give equal files, byte for byte.

    Args:
        config: what it contains.
        root: folder to write to.
        progress: called after each batch with the number of spectra just written.

    Raises:
        ConfigError: a value of ``config`` cannot be used.
    """
    config.validate()
    survey = survey_at(root)
    report = progress or (lambda n: None)
    if config.labelled:
        _write_labelled(config, survey, report)
    if config.boss:
        _write_boss(config, survey, report)
    if config.pool:
        _write_pool(config, survey, report)
    return survey


def _write_labelled(config: MockConfig, survey: MockSurvey, report: Progress) -> None:
    mix = {k: w for k, w in config.mix.items() if k != "sky"}
    fresh, exposures = _write_tree(
        config, LABELLED, config.labelled, mix, survey.desi_spectra, report
    )
    tables = [
        desi_truth(np.random.default_rng([config.seed, LABELLED, LABELS, k]), t, e, config)
        for k, (t, e) in enumerate(zip(fresh, exposures, strict=True))
    ]
    _write_csv(pd.concat(tables), survey.desi_truth)


def _write_pool(config: MockConfig, survey: MockSurvey, report: Progress) -> None:
    fresh, _ = _write_tree(config, POOL, config.pool, config.mix, survey.pool, report)
    _write_csv(pd.concat([pool_truth(t) for t in fresh]), survey.pool_truth)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with written_aside(path) as scratch:
        table.to_csv(scratch, index=False)


def _write_tree(
    config: MockConfig,
    part: int,
    rows: int,
    mix: dict[str, float],
    root: Path,
    report: Progress,
) -> tuple[list[Targets], list[np.ndarray]]:
    """Write a tile tree of ``rows`` rows; return its targets and how often each was exposed.

    The targets come in batches as they were drawn, without their spectra; one that is on two tiles
    comes once, and its exposures on the second tile are not counted.
    """
    all_fresh, all_exposures = [], []
    before: list[Targets] = []  # the petals of the tile before
    expid = FIRST_EXPOSURE[part]
    for tile in share_out(rows, [config.seed, part, LAYOUT], config):
        petals = []
        for p, n in enumerate(tile.targets):
            if not n:
                continue
            again = _seen_before(before[p], n, config) if p < len(before) else None
            fresh = _draw_petal(config, part, mix, tile, p, n - (len(again) if again else 0))
            petals.append(fresh)
            targets = fresh.join(again) if again else fresh
            seen = np.zeros(len(fresh), np.int64)
            for e in range(tile.exposures):
                m = tile.rows(p, e)
                if not m:
                    continue
                seen[:m] += 1
                where = _petal(part, tile, expid + e, p)
                write_coadd(
                    where.path(root),
                    where,
                    targets.take(np.arange(m)),
                    np.arange(m),
                    [config.seed, part, NOISE, tile.index, p, e],
                    config,
                )
                report(m)
            all_fresh.append(fresh.without_spectra())
            all_exposures.append(seen)
        before = petals
        expid += tile.exposures
    return all_fresh, all_exposures


def _petal(part: int, tile: Tile, expid: int, petal: int) -> Petal:
    days = np.timedelta64((expid - FIRST_EXPOSURE[part]) // 20, "D")
    night = np.datetime64(FIRST_NIGHT[part]) + days
    return Petal(FIRST_TILE[part] + tile.index, expid, int(str(night).replace("-", "")), petal)


def _seen_before(before: Targets, n: int, config: MockConfig) -> Targets | None:
    """The targets of the same petal of the tile before that this one takes up again."""
    rows = np.flatnonzero(before.spectype != "SKY")
    rows = rows[: min(int(config.revisited * min(n, len(before))), n - 1)]
    return before.take(rows) if len(rows) else None


def _draw_petal(
    config: MockConfig, part: int, mix: dict[str, float], tile: Tile, petal: int, n: int
) -> Targets:
    rng = np.random.default_rng([config.seed, part, OBJECTS, tile.index, petal])
    targets = draw_targets(rng, n, mix, config)
    ids = desi_targetids(rng, n, FIRST_BRICK[part] + 10 * tile.index + petal)
    # A fibre on sky has no catalogued object: its number is the tile's and the fibre's.
    sky = -((FIRST_TILE[part] + tile.index) * 10_000 + 500 * petal + np.arange(n) + 1)
    targets.targetid[:] = np.where(targets.spectype == "SKY", sky, ids)
    # Tiles march eastward with overlap; petals are sectors of 36 degrees.
    angle, radius = np.deg2rad(36 * (petal + rng.random(n))), 1.6 * np.sqrt(rng.random(n))
    targets.dec[:] = 30 + radius * np.sin(angle)
    targets.ra[:] = (150 + 1.2 * tile.index + radius * np.cos(angle) / np.cos(np.pi / 6)) % 360
    return targets


def _write_boss(config: MockConfig, survey: MockSurvey, report: Progress) -> None:
    n, cam = config.boss, camera("BOSS")
    table = np.zeros(
        n, dtype=[("TARGETID", "i8"), ("PLATE", "i4"), ("MJD", "i4"), ("FIBERID", "i4")]
    )
    row = np.arange(n)
    table["PLATE"], table["FIBERID"] = 3600 + row // 1000, 1 + row % 1000
    table["MJD"] = 55_200 + 3 * (row // 1000)
    truths = []
    with (
        written_aside(survey.boss_spectra) as scratch,
        cfitsio_path(scratch) as plain,
        fitsio.FITS(plain, "rw", clobber=True) as out,
    ):
        out.create_image_hdu(dims=[n, len(cam.wave)], dtype="f4")
        out.create_image_hdu(dims=[n, len(cam.wave)], dtype="f4", extname="IVAR")
        for k, start in enumerate(range(0, n, BOSS_BATCH)):
            m = min(BOSS_BATCH, n - start)
            rng = np.random.default_rng([config.seed, BOSS, OBJECTS, k])
            targets = draw_targets(rng, m, config.boss_mix, config, boss=True)
            targets.targetid[:] = 100_000_000 + 10_000 * k + np.cumsum(rng.integers(1, 9, m))
            noise = np.exp(rng.normal(0, 0.15, m))
            stream = np.random.Generator(np.random.SFC64([config.seed, BOSS, NOISE, k]))
            frame = expose(stream, cam, targets.signal, noise, config)
            frame.ivar[frame.mask != 0] = 0  # the file has no mask to tell it otherwise
            out[0].write(frame.flux, start=[start, 0])
            out[1].write(frame.ivar, start=[start, 0])
            truth = boss_truth(
                np.random.default_rng([config.seed, BOSS, LABELS, k]), targets, config
            )
            rows = slice(start, start + m)
            for column in ("PLATE", "MJD", "FIBERID"):
                truth[column] = table[column][rows]
            dropped = rng.random(m) < config.boss_dropped
            table["TARGETID"][rows] = np.where(dropped, -1, targets.targetid)
            truths.append(truth[~dropped])
            report(m)
        out.write(table, extname="METADATA")
    with (
        written_aside(survey.boss_truth) as scratch,
        cfitsio_path(scratch) as plain,
        fitsio.FITS(plain, "rw", clobber=True) as out,
    ):
        out.write(np.concatenate(truths), extname="DR12Q")
