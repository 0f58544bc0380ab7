"""DESI coadd files (``coadd-*.fits``): finding them, their target columns, their spectra.

Everything that is specific to DESI's file format is in this package.
Source: https://desidatamodel.readthedocs.io (``coadd``), and docs/formats.md.
"""

from qnal.spectra.readers.desi.camera import CAMERAS
from qnal.spectra.readers.desi.coadd import Desi, read_coadd
from qnal.spectra.readers.desi.file_names import find_coadds

__all__ = ["CAMERAS", "Desi", "find_coadds", "read_coadd"]
