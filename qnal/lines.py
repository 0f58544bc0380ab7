"""Emission and absorption lines: names and rest wavelengths."""

from collections.abc import Sequence

from qnal.errors import ConfigError

# In vacuum, Å; names and values are those of QuasarNP (utils.absorber_IGM).
REST_WAVELENGTH: dict[str, float] = {
    "Halpha": 6562.8,
    "OIII(5008)": 5008.24,
    "OIII(4933)": 4932.68,
    "Hbeta": 4862.68,
    "MgI(2853)": 2852.96,
    "MgII(2804)": 2803.5324,
    "MgII(2796)": 2796.3511,
    "FeII(2600)": 2600.1724835,
    "FeII(2587)": 2586.6495659,
    "MnII(2577)": 2576.877,
    "FeII(2383)": 2382.7641781,
    "FeII(2374)": 2374.4603294,
    "FeII(2344)": 2344.2129601,
    "CIII(1909)": 1908.734,
    "AlIII(1863)": 1862.79113,
    "AlIII(1855)": 1854.71829,
    "AlII(1671)": 1670.7886,
    "FeII(1608)": 1608.4511,
    "CIV(1551)": 1550.77845,
    "CIV(eff)": 1549.06,
    "CIV(1548)": 1548.2049,
    "SiII(1527)": 1526.70698,
    "SiIV(1403)": 1402.77291,
    "SiIV(1394)": 1393.76018,
    "CII(1335)": 1334.5323,
    "SiII(1304)": 1304.3702,
    "OI(1302)": 1302.1685,
    "SiII(1260)": 1260.4221,
    "NV(1243)": 1242.804,
    "NV(1239)": 1238.821,
    "LYA": 1215.67,
    "SiIII(1207)": 1206.500,
    "NI(1200)": 1200.0,
    "SiII(1193)": 1193.2897,
    "SiII(1190)": 1190.4158,
    "OI(1039)": 1039.230,
    "OVI(1038)": 1037.613,
    "OVI(1032)": 1031.912,
    "LYB": 1025.72,
}

# Output heads of QuasarNET's published networks, whose weight files do not name them
QUASARNET_LINES = ("LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha")
QUASARNET_BAL_LINES = ("CIV(1548)",)


def rest_wavelength(name: str) -> float:
    """Rest wavelength of a line, Å.

    Raises:
        ConfigError: there is no line of that name.
    """
    try:
        return REST_WAVELENGTH[name]
    except KeyError:
        valid = ", ".join(REST_WAVELENGTH)
        raise ConfigError(f"lines: {name!r} is not a known line; valid names: {valid}.") from None


def column_names(lines: Sequence[str]) -> list[str]:
    """Names for table columns: ``CIV`` for ``CIV(1548)``, unless two lines would share it."""
    short = [name.partition("(")[0] for name in lines]
    return [s if short.count(s) == 1 else name for s, name in zip(short, lines, strict=True)]
