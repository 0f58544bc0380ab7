"""Description of an ensemble: the content of ``ensemble.json``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.labelled_set import LabelledSet, class_counts, has_bal_labels
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.files import write_text

FORMAT_VERSION = 1
MANIFEST = "ensemble.json"


@dataclass(frozen=True)
class CalibrationRecord:
    """The calibration stored with an ensemble, and what it was fitted on.

    Attributes:
        parameters: parameters of the :class:`Calibration`; None if the ensemble has none.
        why_not: why it has none.
        spectra, targets, members: numbers that it was fitted on.
        folds: folds of the cross-fitting.
        before, cross_fitted: scores of the probabilities without and with calibration.
    """

    parameters: dict[str, float] | None = None
    why_not: str | None = None
    spectra: int | None = None
    targets: int | None = None
    members: int | None = None
    folds: int | None = None
    before: dict[str, float | None] = field(default_factory=dict)
    cross_fitted: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ListedMember:
    """Entry of a member in ``ensemble.json``; see :class:`~.member_record.MemberRecord`.

    Attributes:
        file: its weight file, relative to the folder.
        sha256: checksum of the weight file.
    """

    file: str
    member: int | None = None
    seed: list[int] | None = None
    attempt: int | None = None
    sha256: str
    threads: int | None = None
    group: int | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.file, str) and isinstance(self.sha256, str)):
            raise TypeError("file and sha256 of a member must be strings")


@dataclass(frozen=True, kw_only=True)
class EnsembleDescription:
    """What ``ensemble.json`` records; the defaults describe a bare folder of weight files.

    Attributes:
        format_version: version of the file format.
        calibration: the calibration and what it was fitted on; None before the first evaluation.
        fingerprint: identity of the ensemble, see :meth:`MemberRecipe.fingerprint`.
        training_set: fingerprint of the labelled set.
        network, lines, train, bootstrap, seed: settings by their configuration keys.
        thresholds: the thresholds that the ensemble was evaluated with.
        bal_trained: whether the BAL heads are trained.
        training_spectra, classes: size of the labelled set, and the number of spectra per label.
        members: the members, in the order of their numbers.
    """

    format_version: int = FORMAT_VERSION
    calibration: CalibrationRecord | None = None
    fingerprint: str = ""
    training_set: str = ""
    network: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    bootstrap: str | None = None
    seed: int | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    bal_trained: bool = True
    training_spectra: int | None = None
    classes: dict[str, int] = field(default_factory=dict)
    members: tuple[ListedMember, ...] = ()

    @classmethod
    def of(
        cls,
        recipe: MemberRecipe,
        labelled: LabelledSet,
        initial: str | None = None,
        knows_bal: bool = False,
    ) -> "EnsembleDescription":
        """Description of the ensemble that a recipe and a labelled set give, without members.

        Args:
            recipe: settings of the members.
            labelled: the labelled set.
            initial: checksum of the ensemble that training starts from, if any.
            knows_bal: whether BAL heads are trained even if the labelled set has too few labels.
        """
        training_set = labelled.fingerprint()
        return cls(
            fingerprint=recipe.fingerprint(training_set, initial),
            training_set=training_set,
            **recipe.settings(),
            thresholds=recipe.thresholds,
            bal_trained=bool(recipe.structure.bal_lines)
            and (knows_bal or has_bal_labels(labelled)),
            training_spectra=len(labelled),
            classes=class_counts(labelled),
        )

    @property
    def is_calibrated(self) -> bool:
        """Whether the ensemble has a calibration, whatever thresholds it was fitted for."""
        return self.calibration is not None and bool(self.calibration.parameters)

    def calibration_for(self, thresholds: Thresholds) -> Calibration | None:
        """The calibration to use with these thresholds.

        Returns:
            None if the ensemble has no calibration, or one for another ``min_lines``.

        Raises:
            InputError: the stored parameters are damaged.
        """
        if self.calibration is None or not self.calibration.parameters:
            return None
        try:
            found = Calibration.of(self.calibration.parameters)
        except (ValueError, TypeError) as error:
            raise InputError(f"{MANIFEST}: its calibration cannot be used ({error}).") from error
        return found if found.min_lines == thresholds.min_lines else None

    def write(self, path: Path) -> None:
        """Write the description as JSON, whole or not at all."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "EnsembleDescription":
        """Read a description; unknown fields are ignored.

        Raises:
            InputError: the file is missing, damaged or of another format version.
        """
        try:
            document = json.loads(path.read_text())
            version, members = document["format_version"], document["members"]
            if version == FORMAT_VERSION:
                calibration = document.get("calibration")
                if not isinstance(calibration, dict | None):
                    raise ValueError("calibration must be an object or null")
                document |= {
                    "calibration": calibration and _of(CalibrationRecord, calibration),
                    "thresholds": _of(Thresholds, document.get("thresholds", {})),
                    "members": tuple(_of(ListedMember, member) for member in members),
                }
                found: EnsembleDescription = _of(cls, document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: not a readable ensemble description ({error}).") from error
        if version != FORMAT_VERSION:
            raise InputError(f"{path}: format version {version}; this qnal reads {FORMAT_VERSION}.")
        return found


def _of(kind: type[Any], document: Mapping[str, Any]) -> Any:
    """A dataclass from a JSON object."""
    return kind(**{f.name: document[f.name] for f in fields(kind) if f.name in document})
