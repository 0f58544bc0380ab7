"""Measures how closely qnal agrees with QuasarNP, QuasarNET, SOMVIZ and the query notebook.

Command: python experiments/agreement.py [DATA]          (make agreement)
Source:  results of these programs for real spectra, in ../shared/data or the folder DATA
Cost:    10 seconds
Expect:  each deviation within its tolerance; docs/agreement.md is rewritten
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import fitsio
import numpy as np

from qnal.ensemble.votes import MAD_TO_SIGMA
from qnal.files import write_text
from qnal.labels.boss_truth import read_boss_truth
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.backends.forward import Backend, forward
from qnal.network.decode import Lines, decode
from qnal.network.network import Network, apply_numpy
from qnal.network.weights import read_network, write_network
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.som.som import SelfOrganizingMap, separations
from qnal.spectra.grid import named_grid
from qnal.spectra.readers.boss import read_boss_spectra
from qnal.spectra.readers.desi import find_coadds, read_coadd
from qnal.spectra.rebin import Rebinner

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {"net4": "test_weights.h5", "net6": "test_weights_6_layer.h5"}
Row = tuple[str, str, float, float]

INTRODUCTION = """\
# Agreement with the reference

"The reference" is the QuasarNET active-learning code by Dylan Green
([dylanagreen/QuasarNET](https://github.com/dylanagreen/QuasarNET)): its scripts, its query
notebook, and the packages it uses, [QuasarNP](https://github.com/desihub/QuasarNP) and
[SOMVIZ](https://github.com/belaa/SOMVIZ). Each row of the table compares a result of qnal with the
result of one of these programs for the same real spectra. The versions are QuasarNP 0.2.1 and
SOMVIZ 0.0.2. `make agreement` repeats the comparison and writes this page. The test suite makes
the same comparisons, and more.

A deviation is the largest absolute difference; for spectra, sums and bins it is relative to the
largest value. Where the row counts something (votes, cells, TARGETIDs), the deviation is the number
that differ. net4 and net6 are the 4-layer and 6-layer test networks of QuasarNP. BMU is the
best-matching unit: the cell of the self-organising map (SOM) nearest to a spectrum.

| quantity | compared with | deviation | tolerance | |
|---|---|---|---|---|
"""


def main(data: Path) -> int:
    """Measure, write the page, and return how many rows miss their tolerance."""
    rows = [row for part in (spectra, networks, soms, query) for row in part(data)]
    lines = [
        f"| {quantity} | {peer} | {deviation:.1e} | {tolerance:.0e} | "
        f"{'agrees' if deviation <= tolerance else '**differs**'} |"
        for quantity, peer, deviation, tolerance in rows
    ]
    page = INTRODUCTION + "\n".join(lines) + "\n" + scatter(data) + NOTES
    write_text(ROOT / "docs" / "agreement.md", page)
    print(page)
    return sum(deviation > tolerance for _, _, deviation, tolerance in rows)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference relative to the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def spectra(data: Path) -> list[Row]:
    """Rebinning and renormalisation."""
    rows = []
    coadd = fitsio.FITS(str(data / "quasarnet/test_coadd.fits"))
    for grid, name in (("log", "coadd_rebinned.fits"), ("linear", "coadd_rebinned_linear.fits")):
        theirs, worst = fitsio.FITS(str(data / "quasarnet" / name)), 0.0
        for camera in "BRZ":
            ours = Rebinner(25, named_grid(grid))
            ours.add(*(coadd[f"{camera}_{w}"].read() for w in ("FLUX", "IVAR", "WAVELENGTH")))
            for sums, what in ((ours.weighted, "FLUX"), (ours.ivar, "IVAR")):
                worst = max(worst, relative(sums, theirs[f"{camera}_{what}"].read()))
        rows.append((f"rebinned coadd, {grid} grid", f"`{name}`", worst, 1e-12))
    whole = Rebinner(25, named_grid("log"))
    for camera in "BRZ":
        whole.add(*(coadd[f"{camera}_{w}"].read() for w in ("FLUX", "IVAR", "WAVELENGTH")))
    x, status = whole.renormalised()
    theirs = np.load(data / "quasarnet/coadd_x.npy")
    rows.append(
        (
            "renormalised coadd",
            "`coadd_x.npy`",
            relative(x[status == "ok"], theirs),
            1e-12,
        )
    )
    bins = named_grid("log").bins(np.arange(3600, 9800, 10))
    theirs = np.load(data / "quasarnet/regrid_arbitrary.npy")
    rows.append(("bins of other pixels", "`regrid_arbitrary.npy`", relative(bins, theirs), 0.0))
    desi = np.load(data / "golden/quasarnp_desi.npz")
    for grid, name in (("log", "X"), ("linear", "X_linear")):
        worst = 0.0
        for file in find_coadds(str(data / "desi"), "data"):
            stem = file.path.name.removesuffix(".fits")
            x = read_coadd(file, named_grid(grid), use_mask=False).x
            worst = max(worst, relative(x[desi[f"{stem}/keep"]], desi[f"{stem}/{name}"]))
        rows.append((f"DESI spectra, {grid} grid", f"`quasarnp_desi.npz` {name}", worst, 1e-12))
    x, *_ = read_boss_spectra(data / "boss/dr12_train.fits", named_grid("log"))
    theirs = np.load(data / "golden/quasarnp_boss.npz")["X"]
    rows.append(("BOSS spectra", "`quasarnp_boss.npz` X", relative(x, theirs), 1e-12))
    return rows


def predictions(data: Path) -> dict[str, np.ndarray]:
    """QuasarNP's and QuasarNET's results for all real spectra, by name."""
    boss = np.load(data / "golden/quasarnp_boss.npz")
    desi = np.load(data / "golden/quasarnp_desi.npz")
    files = sorted({name.split("/")[0] for name in desi})
    return {
        name: np.concatenate(
            [*(desi[f"{file}/{name}"] for file in files), boss[name]],
            axis=0 if name == "X" or boss[name].ndim == 1 else 1,
        )
        for name in boss
    }


def network(data: Path, name: str) -> Network:
    """One of the two trained networks."""
    path = data / "quasarnet" / NETWORKS[name]
    return read_network(path, QUASARNET_LINES, QUASARNET_BAL_LINES)


def decoded(output: np.ndarray, clamp: bool = False) -> Lines:
    """Confidences and redshifts from the output of a network on the log grid."""
    return decode(
        output,
        lines=QUASARNET_LINES,
        bal_lines=QUASARNET_BAL_LINES,
        grid=named_grid("log"),
        clamp=clamp,
    )


def networks(data: Path) -> list[Row]:
    """Forward passes of each backend, weight files after a round trip, and decoding."""
    expected, rows = predictions(data), []
    x = expected["X"]
    backends: dict[str, tuple[float, Callable[[Network], np.ndarray]]] = {
        "numpy, float64": (1e-5, lambda net: apply_numpy(net, x)),
        "numpy, float32": (1e-4, lambda net: forward(net, Backend.numpy)(x)),
        "TensorFlow, float32": (1e-4, lambda net: forward(net, Backend.tensorflow)(x)),
    }
    for name in NETWORKS:
        net, theirs = network(data, name), expected[f"{name}/preds"]
        for backend, (tolerance, run) in backends.items():
            ours = run(net)
            flat = ours.reshape(len(ours), 7, 26).transpose(1, 0, 2)
            worst = float(np.abs(flat - theirs).max())
            rows.append((f"forward pass of {name}, {backend}", f"{name}/preds", worst, tolerance))
            changed = (decoded(ours).confidence > 0.95) != (expected[f"{name}/c_line"].T > 0.95)
            votes = float(changed.any(axis=1).sum())
            rows.append((f"votes of {name} that differ, {backend}", f"{name}/c_line", votes, 0.0))
        with tempfile.TemporaryDirectory() as folder:
            write_network(net, Path(folder, "net.h5"))
            again = read_network(Path(folder, "net.h5"), (), ())
        worst = float(np.abs(apply_numpy(again, x) - apply_numpy(net, x)).max())
        rows.append((f"forward pass of {name} after writing and reading", "before", worst, 0.0))
    for name, clamp in (("net4", False), ("net6", False), ("net6_quasarnp", True)):
        preds = expected[f"{name}/preds"]
        lines = decoded(preds.reshape(7, -1, 2, 13).transpose(1, 0, 2, 3), clamp)
        how = "clamped" if clamp else "extrapolated"
        for what, ours in {
            "c_line": lines.confidence.T,
            "z_line": lines.z.T,
            "z_best": lines.z_best,
            "c_bal": lines.bal_confidence.T,
        }.items():
            worst = float(np.abs(ours - expected[f"{name}/{what}"]).max())
            rows.append((f"decoding, {how}: {what}", f"{name}/{what}", worst, 1e-6))
    return rows


def soms(data: Path) -> list[Row]:
    """Separations of SOM cells, and BMUs."""
    golden, rows = np.load(data / "golden/somviz.npz"), []
    for name, wrap in (("torus", (True, True)), ("plane", (False, False))):
        rows_columns = golden[f"{name}/shape"]  # negative where it wraps round
        shape = (abs(int(rows_columns[0])), abs(int(rows_columns[1])))
        apart = separations(shape, wrap)
        worst = float(np.abs(apart - golden[f"{name}/separations"]).max())
        rows.append((f"separations of SOM cells, {name}", "`somviz.npz`", worst, 0.0))
        som = SelfOrganizingMap(golden[f"{name}/weights"], shape, wrap, golden[f"{name}/loss"])
        bmu, _ = som.find_bmu(golden["X"])
        differing = float((bmu != golden[f"{name}/bmu"]).sum())
        rows.append((f"BMUs that differ, {name}", "`somviz.npz`", differing, 0.0))
    return rows


def query(data: Path) -> list[Row]:
    """The number of spectra after each step of the query, and the selected targets."""
    golden, n = np.load(data / "golden/query_expected.npz"), 2000
    selection = select(
        data / "golden/query_table.csv",
        QueryOptions(
            n=n,
            bad_cameras=[data / "golden/query_bad_targetids.txt"],
            exclude=[data / "golden/query_other_campaign.txt"],
        ),
        cells=45 * 45,
    )
    left = [rows for _, rows in selection.funnel]
    missing = float(sum(count not in left for count in golden["counts"]))
    # Targets tied at the cut are not compared: the notebook leaves their order open.
    entropy = np.round(golden["entropy"], 12)
    sure = golden["targetid"][entropy > entropy[-1]]
    differing = float((~np.isin(sure, selection.targetids)).sum())
    return [
        (
            "query steps with another row count",
            "`query_expected.npz`",
            missing,
            0.0,
        ),
        ("selected TARGETIDs that differ", "`query_expected.npz`", differing, 0.0),
    ]


def scatter(data: Path) -> str:
    """The effect of QuasarNP's missing offset rescaling, as a paragraph with its numbers."""
    x, _, _, targetid, _ = read_boss_spectra(data / "boss/dr12_train.fits", named_grid("log"))
    truth = read_boss_truth([data / "boss/truth_dr12q.fits"], 2.1).table
    table = truth.loc[targetid]
    quasar = table["LABEL"].isin([2, 3]).to_numpy()
    z = table["Z"].to_numpy()[quasar]
    theirs = np.load(data / "golden/quasarnp_boss.npz")["net6_quasarnp/z_best"][quasar]
    ours = decoded(apply_numpy(network(data, "net6"), x)).z_best[quasar]

    def nmad(z_best: np.ndarray) -> float:
        dz = (z_best - z) / (1 + z)
        return float(MAD_TO_SIGMA * np.median(np.abs(dz - np.median(dz))))

    return (
        "\n## Deliberate difference\n\n"
        f"For the {quasar.sum()} BOSS quasars, the redshifts of the 6-layer network scatter by "
        f"{nmad(ours):.4f} (normalised median absolute deviation), and by {nmad(theirs):.4f} when "
        "QuasarNP runs the network. QuasarNP rescales the offsets only if the weight file has a "
        "group called `lambda`; in this file the groups are called `lambda_0` to `lambda_6`. qnal "
        "reads the structure from the description of the network and rescales them.\n"
    )


NOTES = """
## Precision

For DESI coadds, flux·ivar is computed in the file's float32 and summed in float64, as in QuasarNP.
BOSS files are converted to float64 first, as in the stored results. Spectra stay float64 until they
enter a network or a SOM.
"""

if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".." / "shared" / "data"
    if not given.is_dir():
        sys.exit(f"error: {given}: no such folder; give the one with the stored results.")
    sys.exit(main(given.resolve()))
