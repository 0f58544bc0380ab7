"""Write a table of votes of 200 networks, and what the reference's query notebook selects from it.

The notebook's steps are written out with numpy and pandas: entropy of the votes, cells that hold
more spectra than the 15th percentile, the most uncertain row of each target, and two lists of
targets to drop (a dead camera; other inspection campaigns). ``counts`` are the rows after each
step, ``targetid`` and ``entropy`` the best targets by (-entropy, TARGETID).

To run it: ``python tests/data/make_query_golden.py``; it needs numpy, pandas and scipy.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats


def main(folder: Path, cells: int = 100, n: int = 600) -> None:
    """Write the table, the two lists and the expected selection to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, rows = np.random.default_rng(8), 2500
    first = 39627758518773698
    targets = first + 61 * np.sort(rng.choice(40_000, 1600, replace=False))
    votes = rng.multinomial(200, rng.dirichlet([0.8, 0.3, 0.3], rows))
    columns = {
        "TARGETID": rng.choice(targets, rows), "TILEID": rng.integers(1000, 1040, rows),
        "EXPID": rng.integers(80_000, 99_000, rows), "C_NOT": votes[:, 0] / 200,
        "C_QSO_LZ": votes[:, 1] / 200, "C_QSO_HZ": votes[:, 2] / 200,
        "BMU": np.minimum(rng.exponential(30, rows).astype(int), cells - 1),
    }  # fmt: skip
    table = pd.DataFrame(columns)
    table.to_csv(folder / "query_table.csv", index=False)
    dropped = {
        "query_bad_targetids": np.sort(rng.choice(targets, 40, replace=False)),
        "query_other_campaign": np.sort(rng.choice(targets, 25, replace=False)),
    }
    for name, listed in dropped.items():
        np.savetxt(folder / f"{name}.txt", listed, fmt="%d")

    table["entropy"] = scipy.stats.entropy(table[["C_NOT", "C_QSO_LZ", "C_QSO_HZ"]], axis=1)
    counts = [len(table)]
    occupation = np.bincount(table["BMU"])
    table = table[occupation[table["BMU"]] > np.percentile(occupation, 15)]
    counts.append(len(table))
    # Rounded, because permuted votes give entropies that differ in the last bit.
    table = table.assign(rounded=-table["entropy"].round(12))
    table = table.sort_values(["rounded", "TARGETID"]).drop_duplicates("TARGETID")
    counts.append(len(table))
    for listed in dropped.values():
        table = table[~table["TARGETID"].isin(listed)]
        counts.append(len(table))
    best = table.iloc[:n]
    expected = {"targetid": best["TARGETID"].to_numpy(), "entropy": best["entropy"].to_numpy()}
    np.savez_compressed(folder / "query_expected.npz", counts=np.array(counts), **expected)


if __name__ == "__main__":
    main(Path(__file__).parent / "golden")
