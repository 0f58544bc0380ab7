"""Write the test data in this folder: mock spectra, random networks and the peers' answers.

The inputs are written by qnal, so nothing here comes from another project. The answers are those of

* QuasarNP 0.2.1.dev (https://github.com/desihub/QuasarNP, commit 05f5075): spectra, BOSS labels,
  network outputs, and redshifts clamped to the wavelength grid;
* QuasarNET (https://github.com/ngbusca/QuasarNET, commit 7d3e641): extrapolated redshifts;
* SOMVIZ 0.0.2 (https://github.com/belaa/SOMVIZ, commit 86d3ec2): a torus and a plane.

``make_query_golden.py`` adds those of the query notebook.

Names and layout are those of the folder of real data (``QNAL_TEST_DATA``), so one test reads
either; FITS files are gzipped. In ``test_weights_6_layer.h5`` the group that makes QuasarNP rescale
the offsets is called ``lambda_0``, a name that it does not look for: ``net6_quasarnp`` is its
answer for the file as it is, ``net6`` its answer when told to rescale.

To run it (20 seconds), install qnal and the three packages in one environment, with QuasarNET's
folder ``py`` on ``PYTHONPATH``, and call ``python tests/data/make_goldens.py [FOLDER]``. A change
of the mock survey does not invalidate the files, because they hold their own inputs.
"""

import gzip
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import fitsio
import h5py
import numpy as np
import quasarnet.io  # noqa: F401 (quasarnet.utils cannot be imported first)
from quasarnet.utils import process_preds as decode_extrapolated
from quasarnp.io import load_desi_coadd, load_file, load_model, read_data, read_truth
from quasarnp.model import QuasarNP
from quasarnp.utils import linear_wave, process_preds, rebin, regrid, renormalize, wave
from somviz.som import Grid, SelfOrganizingMap

from qnal.lines import QUASARNET_BAL_LINES as BAL_LINES
from qnal.lines import QUASARNET_LINES as LINES
from qnal.network.network import BatchNorm
from qnal.network.structure import Structure
from qnal.network.weights import write_network
from qnal.spectra.grid import named_grid
from qnal.spectra.mock import MockConfig, write_survey

SURVEY = MockConfig(
    **{"seed": 20, "labelled": 10, "boss": 36, "pool": 0, "fibres": 5, "petals": 2, "exposures": 1},
    **{"dead_cameras": 0.3, "snr_min": 0.5, "boss_dropped": 0.05, "bal": 0.4},
)
NETWORKS = {"net4": ("test_weights.h5", 4), "net6": ("test_weights_6_layer.h5", 6)}


def main(folder: Path) -> None:
    """Write all files below ``folder``."""
    for name in ("quasarnet", "golden"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        survey = write_survey(SURVEY, Path(scratch))
        tree = folder / "desi/tiles/perexp"
        coadds = [
            copy_coadd(path, tree / path.relative_to(survey.desi_spectra))
            for path in sorted(survey.desi_spectra.rglob("coadd-*.fits"))
        ]
        copy_boss(survey.boss_spectra, survey.boss_truth, folder / "boss")
    boss = boss_answers(folder / "boss")
    for name, (file, layers) in NETWORKS.items():
        write_random_network(folder / "quasarnet" / file, layers, boss["X"], name == "net6")
    bare_coadd(coadds[0], folder / "quasarnet")
    desi = {}
    for path in coadds:
        answers = desi_answers(path)
        answers |= network_answers(answers["X"], folder)
        desi |= {f"{path.name.split('.')[0]}/{key}": value for key, value in answers.items()}
    boss |= network_answers(boss["X"], folder)
    np.savez_compressed(folder / "golden/quasarnp_desi.npz", **desi)
    np.savez_compressed(folder / "golden/quasarnp_boss.npz", **boss)
    np.savez_compressed(folder / "golden/somviz.npz", **som_answers(boss["X"]))


def shortened(values: np.ndarray, bits: int) -> np.ndarray:
    """float32 values with a mantissa rounded to ``bits``, which compress better.

    Products of flux and ivar still need rounding in float32, as those of real files do.
    """
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2**bits), exponent - bits).astype(np.float32)


def write_fits(path: Path, hdus: list[tuple[str | None, np.ndarray | None]], **header: int) -> Path:
    """A gzipped FITS file with the named HDUs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch, "plain.fits")
        with fitsio.FITS(str(plain), "rw") as out:
            for name, content in hdus:
                out.write(content, extname=name)
            out[0].write_keys(header)
        zipped = path.with_name(path.name + ".gz")
        zipped.write_bytes(gzip.compress(plain.read_bytes(), 9, mtime=0))
    return zipped


def read_fits(path: Path) -> dict[str, np.ndarray]:
    """The HDUs of a file behind the first by name."""
    with fitsio.FITS(str(path)) as fits:
        return {hdu.get_extname(): hdu.read() for hdu in fits[1:]}


def copy_coadd(source: Path, path: Path) -> Path:
    """A coadd of the mock survey; the last row of petal 1 loses all its data."""
    primary, hdus = fitsio.read_header(str(source)), read_fits(source)
    header = {key: primary[key] for key in ("NIGHT", "EXPID", "TILEID", "PETAL")}
    for camera in "BRZ":
        hdus[f"{camera}_FLUX"] = shortened(hdus[f"{camera}_FLUX"], 14)
        hdus[f"{camera}_IVAR"] = shortened(hdus[f"{camera}_IVAR"], 12)
        if header["PETAL"] == 1:
            hdus[f"{camera}_IVAR"][-1] = 0
    return write_fits(path, [(None, None), *hdus.items()], **header)


def copy_boss(spectra: Path, truth: Path, folder: Path) -> None:
    """The BOSS training file of the mock survey and its labels."""
    hdus = read_fits(spectra)
    flux, ivar = shortened(fitsio.read(str(spectra)), 13), shortened(hdus["IVAR"], 12)
    table = ("METADATA", hdus["METADATA"])
    write_fits(folder / "dr12_train.fits", [(None, flux), ("IVAR", ivar), table])
    write_fits(folder / "truth_dr12q.fits", [(None, None), *read_fits(truth).items()])


def write_random_network(path: Path, layers: int, x: np.ndarray, hide_lambda: bool) -> None:
    """A network of random weights whose answers for ``x`` lie on both sides of all thresholds."""
    rng = np.random.default_rng(layers)

    def norm(size: int) -> BatchNorm:
        bounds = ((0.5, 1.5), (-0.3, 0.3), (-0.2, 0.2), (0.3, 2.0))
        return BatchNorm(*(rng.uniform(*b, size).astype(np.float32) for b in bounds))

    shape = {"layers": layers, "filters": 6, "units": 20}
    network = Structure(named_grid("log"), LINES, BAL_LINES, **shape).initial(rng)
    bias = rng.normal(0, 1, network.head_bias.shape).astype(np.float32)
    bias[:, 0] -= 3  # most boxes are near 0, as in a trained network
    convs = tuple(replace(conv, norm=norm(len(conv.bias))) for conv in network.convs)
    heads = {"head_kernel": 4 * network.head_kernel, "head_bias": bias}
    network = replace(network, convs=convs, **heads)
    path.unlink(missing_ok=True)
    write_network(network, path)
    # Without the mean and variance of what reaches the last norm all spectra look alike.
    model, features = load_model(str(path))[0], x[:, :, None]
    for name in model.convs:
        features = model.conv_layer(features, name)
    common = model.dense(features.reshape(len(x), -1))
    mean, variance = (np.float32(m) for m in (common.mean(axis=0), common.var(axis=0)))
    fitted = replace(norm(len(mean)), mean=mean, variance=variance)
    write_network(replace(network, dense_norm=fitted), path)
    with h5py.File(path, "r+") as file:
        del file.attrs["qnal_lines"]  # QuasarNET's files do not name their lines
        if hide_lambda:
            file.move("model_weights/lambda", "model_weights/lambda_0")


def bare_coadd(coadd: Path, folder: Path) -> None:
    """A coadd without FIBERMAP, of which row 1 is empty, with the sums of each camera."""
    hdus, inputs = read_fits(coadd), []
    sums = {"coadd_rebinned.fits": [], "coadd_rebinned_linear.fits": []}
    for name in (f"{camera}_{what}" for camera in "BRZ" for what in ("FLUX", "IVAR", "WAVELENGTH")):
        content = hdus[name] if name.endswith("WAVELENGTH") else hdus[name][:3]
        if name.endswith("IVAR"):
            content[1] = 0
        inputs.append((name, content))
    for file, grid in zip(sums, (wave, linear_wave), strict=True):
        for k, camera in enumerate("BRZ"):
            flux, ivar = rebin(*(content for _, content in inputs[3 * k : 3 * k + 3]), grid)
            sums[file] += [(f"{camera}_FLUX", flux), (f"{camera}_IVAR", ivar)]
    path = write_fits(folder / "test_coadd.fits", [(None, None), *inputs])
    for file, hdus in sums.items():
        write_fits(folder / file, [(None, None), *hdus])
    np.save(folder / "coadd_x.npy", load_desi_coadd(str(path))[0])
    np.save(folder / "regrid_arbitrary.npy", regrid(np.arange(3600, 9800, 10), wave)[0])


def network_answers(x: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    """Outputs of both networks and what they mean."""
    found = {}
    for name, (file, layers) in NETWORKS.items():
        path = str(folder / "quasarnet" / file)
        weights, config, _ = load_file(path)
        told = QuasarNP(weights, rescale=True, nlayers=layers, config_dict=config)
        runs = {name: (told, decode_extrapolated)}
        if name == "net6":
            runs["net6_quasarnp"] = (load_model(path)[0], process_preds)
        for run, (model, decode) in runs.items():
            preds = np.array(model.predict(x[:, :, None]), np.float32)
            c_line, z_line, z_best, c_bal, _ = decode(preds, LINES, BAL_LINES)
            said = {"preds": preds, "c_line": c_line, "z_line": z_line, "z_best": z_best}
            found |= {f"{run}/{key}": value for key, value in (said | {"c_bal": c_bal}).items()}
    return found


def desi_answers(path: Path) -> dict[str, np.ndarray]:
    """What QuasarNP answers for a coadd; ``X_masked`` if masked pixels had no ivar."""
    x, keep = load_desi_coadd(str(path))
    found = {"X": x, "keep": keep, "X_linear": load_desi_coadd(str(path), out_grid=linear_wave)[0]}
    hdus = read_fits(path)
    for camera in "BRZ":
        hdus[f"{camera}_IVAR"][hdus[f"{camera}_MASK"] != 0] = 0
    with tempfile.TemporaryDirectory() as scratch:
        masked = write_fits(Path(scratch, "masked.fits"), [(None, None), *hdus.items()])
        found["X_masked"], same = load_desi_coadd(str(masked))
    assert np.array_equal(same, keep)
    return found


def boss_answers(folder: Path) -> dict[str, np.ndarray]:
    """What QuasarNP answers for the BOSS file, in file order, and its labels by THING_ID."""
    path = folder / "dr12_train.fits.gz"
    hdus = read_fits(path)
    flux, ivar, table = fitsio.read(str(path)).astype(float), hdus["IVAR"], hdus["METADATA"]
    flux, ivar = rebin(flux, ivar.astype(float), 10 ** (3.555 + 1e-4 * np.arange(4600)))
    flux = np.divide(flux, ivar, out=np.zeros_like(flux), where=ivar > 0)
    x = renormalize(flux, ivar)
    if not hasattr(np, "in1d"):
        np.in1d = np.isin  # QuasarNP calls what numpy 2.4 removed
    with tempfile.TemporaryDirectory() as scratch:
        both = [(None, np.hstack([flux, ivar])), (None, table)]
        older = write_fits(Path(scratch, "older.fits"), both)
        truth = read_truth([str(folder / "truth_dr12q.fits.gz")])
        targetid, x_older, y, z, bal = read_data([str(older)], truth)
    order = [int(np.flatnonzero(table["TARGETID"] == t)[0]) for t in targetid]
    assert np.abs(x_older - x[order]).max() < 1e-12
    found = {"targetid": targetid, "label": y.argmax(axis=1), "z": z, "bal": bal.astype(np.int8)}
    return {"X": x} | {f"labels/{key}": value for key, value in found.items()}


def som_answers(x: np.ndarray) -> dict[str, np.ndarray]:
    """SOMVIZ's maps on the BOSS spectra, with the settings of the reference."""
    found = {}
    for name, signature in {"torus": (-4, -5), "plane": (3, 6)}.items():
        som = SelfOrganizingMap(Grid(*signature))
        som.fit(x, maxiter=200, iterfrac=0.1, eta=0.001)
        found |= {
            f"{name}/shape": np.array(signature),
            f"{name}/weights": som._weights.T,
            f"{name}/loss": som._loss,
            f"{name}/separations": som._mapgeom.separations,
            f"{name}/bmu": som.find_bmu(x),
        }
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
