from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def golden(peer_data: Path) -> Path:
    """Answers of the reference and of SOMVIZ."""
    return peer_data / "golden"
