"""Names of metrics in MLflow: the groups that its UI shows, without the details.

``summary.json`` names the same numbers with underscores and has all of them.
"""

GROUPS = ("oob", "labels", "control", "som", "funnel", "members", "files", "compare")
# Metrics of one source of labels; further ones are in summary.json.
PER_SOURCE = ("completeness", "purity", "completeness_z", "purity_z", "spectra")
SOURCES = ("boss", "desi", "labelled", "inspected")
OMITTED = ("oob_class_", "oob_calibrated_class_", "rechecked_", "uncertain_votes")
CALIBRATED = ("oob_calibrated_nll", "oob_calibrated_ece")


def grouped(name: str) -> str | None:
    """Name of a metric in MLflow, such as ``oob/completeness``; None: it is not recorded."""
    if "/" in name:
        return name
    if name.startswith(OMITTED) or (name.startswith("oob_calibrated_") and name not in CALIBRATED):
        return None
    group, _, rest = name.partition("_")
    if not rest or group not in GROUPS:
        return name
    if group == "labels" and not rest[0].isupper():
        return None  # counts of rows left out; those of the classes are recorded
    source, _, metric = rest.partition("_")
    if group == "oob" and source in SOURCES:
        return f"oob_{source}/{metric}" if metric in PER_SOURCE else None
    return f"{group}/{rest}"
