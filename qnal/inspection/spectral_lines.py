"""Lines drawn over a spectrum: label, rest wavelength in vacuum (Å), emission or absorption.

Wavelengths of lines that QuasarNP knows are its own (:mod:`qnal.lines`); the others are those of
SDSS's table of lines (https://classic.sdss.org/dr6/algorithms/linestable.php).
"""

from qnal.lines import REST_WAVELENGTH as REST

EMISSION = {
    "Lyβ": REST["LYB"],
    "O VI": 1033.82,
    "Lyα": REST["LYA"],
    "N V": 1240.81,
    "Si IV": 1397.61,
    "C IV": REST["CIV(eff)"],
    "He II": 1640.40,
    "C III]": REST["CIII(1909)"],
    "Mg II": 2799.12,
    "[Ne V]": 3426.85,
    "[O II]": 3728.48,
    "[Ne III]": 3869.86,
    "Hδ": 4102.89,
    "Hγ": 4341.68,
    "Hβ": REST["Hbeta"],
    "[O III] ": 4960.30,
    "[O III]": REST["OIII(5008)"],
    "He I": 5877.29,
    "Hα": 6564.61,
    "[S II]": 6718.29,
}
ABSORPTION = {
    "Ca K": 3934.78,
    "Ca H": 3969.59,
    "G": 4305.61,
    "Mg b": 5176.63,
    "Na D": 5895.60,
    "Ca T": 8500.36,
    "Ca T ": 8544.44,
    "Ca T  ": 8664.52,
}


def line_table() -> list[tuple[str, float, bool]]:
    """Label, rest wavelength and whether the line is in emission, by wavelength."""
    lines = [(name.strip(), wave, True) for name, wave in EMISSION.items()]
    lines += [(name.strip(), wave, False) for name, wave in ABSORPTION.items()]
    return sorted(lines, key=lambda line: line[1])
