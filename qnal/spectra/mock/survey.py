"""Writing a mock survey: its files, their folders and their content."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.files import written_aside
from qnal.spectra.fits import create_fits
from qnal.spectra.mock.coadds import Petal, write_coadd
from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.labels import boss_truth, desi_truth, pool_truth
from qnal.spectra.mock.observation import Frame, camera, expose
from qnal.spectra.mock.redrock import write_redrock
from qnal.spectra.mock.targets import Targets, desi_targetids, draw_targets
from qnal.spectra.mock.tiles import Tile, share_out
from qnal.threads import numpy_threads

# Parts of the survey, each with its own seeds, tiles, exposures and bricks
LABELLED, POOL, BOSS = 1, 2, 3
FIRST_TILE = {LABELLED: 80_600, POOL: 1_000}
FIRST_EXPOSURE = {LABELLED: 72_000, POOL: 110_000}
FIRST_NIGHT = {LABELLED: "2021-01-10", POOL: "2021-12-01"}
FIRST_BRICK = {LABELLED: 100_000, POOL: 150_000}
BOSS_BATCH = 500
OBJECTS, LAYOUT, NOISE, LABELS, REDROCK = 1, 2, 3, 4, 5  # seeds of their random numbers

Progress = Callable[[int], None]


@dataclass(frozen=True)
class MockSurvey:
    """Paths of the parts of a mock survey; parts of size 0 do not exist."""

    root: Path
    desi_spectra: Path
    desi_truth: Path
    boss_spectra: Path
    boss_truth: Path
    pool: Path
    pool_truth: Path


def survey_at(root: Path) -> MockSurvey:
    """The paths of a mock survey below ``root``, whether or not it is written."""
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
    """Write a mock survey; equal configurations give identical files.

    Args:
        config: its content.
        root: folder to write to.
        progress: called after each batch with the number of spectra written in it.

    Raises:
        ConfigError: a value of ``config`` cannot be used.
    """
    config.validate()
    survey = survey_at(root)
    report = progress or (lambda _: None)
    # The last bits of matrix products depend on the number of threads.
    with numpy_threads(1):
        if config.labelled:
            _write_labelled(config, survey, report)
        if config.boss:
            _write_boss(config, survey, report)
        if config.pool:
            _write_pool(config, survey, report)
    return survey


def _write_labelled(config: MockConfig, survey: MockSurvey, report: Progress) -> None:
    mix = {k: w for k, w in config.mix.items() if k != "sky"}
    tree = _Tree(config, LABELLED, mix, survey.desi_spectra)
    petals = tree.write(config.labelled, report)
    tables = [
        desi_truth(
            np.random.default_rng([config.seed, LABELLED, LABELS, k]),
            petal.targets,
            petal.exposures,
            config,
        )
        for k, petal in enumerate(petals)
    ]
    _write_csv(pd.concat(tables), survey.desi_truth)


def _write_pool(config: MockConfig, survey: MockSurvey, report: Progress) -> None:
    petals = _Tree(config, POOL, config.mix, survey.pool).write(config.pool, report)
    _write_csv(pd.concat([pool_truth(petal.targets) for petal in petals]), survey.pool_truth)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with written_aside(path) as scratch:
        table.to_csv(scratch, index=False)


@dataclass(frozen=True)
class _PetalTargets:
    """The targets that first appear in one petal of a tile, without their spectra.

    Attributes:
        targets: the targets.
        exposures: number of exposures of each in this tile, shape [n].
    """

    targets: Targets
    exposures: NDArray[np.int64]


@dataclass(frozen=True)
class _Tree:
    """Coadds of one part of the survey in the layout ``tiles/perexp``.

    Attributes:
        config: configuration of the survey.
        part: LABELLED or POOL.
        mix: weights of the classes.
        root: folder of the tree.
    """

    config: MockConfig
    part: int
    mix: Mapping[str, float]
    root: Path

    def write(self, rows: int, report: Progress) -> list[_PetalTargets]:
        """Write coadds with ``rows`` rows in total; returns every target once."""
        written = []
        previous: list[Targets] = []  # by petal of the previous tile
        expid = FIRST_EXPOSURE[self.part]
        for tile in share_out(rows, [self.config.seed, self.part, LAYOUT], self.config):
            new = []
            for petal, n in enumerate(tile.targets):
                if not n:
                    continue
                again = self._revisited(previous[petal], n) if petal < len(previous) else None
                new.append(self._draw(tile, petal, n - (len(again) if again else 0)))
                targets = new[-1].join(again) if again else new[-1]
                reached = self._expose(tile, petal, expid, targets, report)
                row = np.arange(len(new[-1]))
                exposures = (row[:, None] < reached).sum(axis=1)
                written.append(_PetalTargets(new[-1].without_spectra(), exposures))
            previous = new
            expid += tile.exposures
        return written

    def _expose(
        self, tile: Tile, petal: int, expid: int, targets: Targets, report: Progress
    ) -> list[int]:
        """Write a coadd per exposure; returns how many of the targets each contains."""
        reached = [tile.rows(petal, e) for e in range(tile.exposures)]
        for e, m in enumerate(reached):
            if m:
                write_coadd(
                    self.root,
                    self._petal(tile, petal, expid + e),
                    targets.take(np.arange(m)),
                    [self.config.seed, self.part, NOISE, tile.index, petal, e],
                    self.config,
                )
                if self.config.redrock and self.part == POOL:
                    write_redrock(
                        self.root,
                        self._petal(tile, petal, expid + e),
                        targets.take(np.arange(m)),
                        [self.config.seed, self.part, REDROCK, tile.index, petal, e],
                    )
                report(m)
        return reached

    def _petal(self, tile: Tile, petal: int, expid: int) -> Petal:
        days = np.timedelta64((expid - FIRST_EXPOSURE[self.part]) // 20, "D")
        night = str(np.datetime64(FIRST_NIGHT[self.part]) + days)
        return Petal(FIRST_TILE[self.part] + tile.index, expid, int(night.replace("-", "")), petal)

    def _revisited(self, previous: Targets, n: int) -> Targets | None:
        """The targets of the same petal of the previous tile that are observed again."""
        rows = np.flatnonzero(previous.spectype != "SKY")
        rows = rows[: min(int(self.config.revisited * min(n, len(previous))), n - 1)]
        return previous.take(rows) if len(rows) else None

    def _draw(self, tile: Tile, petal: int, n: int) -> Targets:
        """``n`` new targets of a petal, with identifiers and positions."""
        rng = np.random.default_rng([self.config.seed, self.part, OBJECTS, tile.index, petal])
        targets = draw_targets(rng, n, self.mix, self.config)
        ids = desi_targetids(rng, n, FIRST_BRICK[self.part] + 10 * tile.index + petal)
        # Sky fibres have no catalogued object; their TARGETIDs are made of tile and fibre.
        sky = -((FIRST_TILE[self.part] + tile.index) * 10_000 + 500 * petal + np.arange(n) + 1)
        targets.targetid[:] = np.where(targets.spectype == "SKY", sky, ids)
        # Tiles overlap and move eastward; petals are sectors of 36 degrees.
        angle, radius = np.deg2rad(36 * (petal + rng.random(n))), 1.6 * np.sqrt(rng.random(n))
        targets.dec[:] = 30 + radius * np.sin(angle)
        targets.ra[:] = (150 + 1.2 * tile.index + radius * np.cos(angle) / np.cos(np.pi / 6)) % 360
        return targets


def _write_boss(config: MockConfig, survey: MockSurvey, report: Progress) -> None:
    n, pixels = config.boss, len(camera("BOSS").wave)
    table = np.zeros(
        n, dtype=[("TARGETID", "i8"), ("PLATE", "i4"), ("MJD", "i4"), ("FIBERID", "i4")]
    )
    row = np.arange(n)
    table["PLATE"], table["FIBERID"] = 3600 + row // 1000, 1 + row % 1000
    table["MJD"] = 55_200 + 3 * (row // 1000)
    truths = []
    with create_fits(survey.boss_spectra) as out:
        out.create_image_hdu(dims=[n, pixels], dtype="f4")
        out.create_image_hdu(dims=[n, pixels], dtype="f4", extname="IVAR")
        for k, start in enumerate(range(0, n, BOSS_BATCH)):
            rows = table[start : start + BOSS_BATCH]  # a view, filled in by the call
            frame, truth = _boss_batch(config, k, rows)
            out[0].write(frame.flux, start=[start, 0])
            out[1].write(frame.ivar, start=[start, 0])
            truths.append(truth)
            report(len(rows))
        out.write(table, extname="METADATA")
    with create_fits(survey.boss_truth) as out:
        out.write(np.concatenate(truths), extname="DR12Q")


def _boss_batch(
    config: MockConfig, k: int, rows: NDArray[np.void]
) -> tuple[Frame, NDArray[np.void]]:
    """Spectra and truth of a batch of BOSS targets; fills in their TARGETIDs, −1 if dropped."""
    m = len(rows)
    rng = np.random.default_rng([config.seed, BOSS, OBJECTS, k])
    targets = draw_targets(rng, m, config.boss_mix, config, boss=True)
    targets.targetid[:] = 100_000_000 + 10_000 * k + np.cumsum(rng.integers(1, 9, m))
    noise = np.exp(rng.normal(0, 0.15, m))
    stream = np.random.Generator(np.random.SFC64([config.seed, BOSS, NOISE, k]))
    frame = expose(stream, camera("BOSS", config.shift), targets.signal, noise, config)
    frame.ivar[frame.mask != 0] = 0  # the file has no mask
    truth = boss_truth(np.random.default_rng([config.seed, BOSS, LABELS, k]), targets, config)
    for column in ("PLATE", "MJD", "FIBERID"):
        truth[column] = rows[column]
    dropped = rng.random(m) < config.boss_dropped
    rows["TARGETID"] = np.where(dropped, -1, targets.targetid)
    return frame, truth[~dropped]
