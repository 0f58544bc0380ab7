from pathlib import Path

import pytest

GOLDEN = (Path(__file__).parents[2] / "../shared/data/golden").resolve()


@pytest.fixture(scope="session")
def golden() -> Path:
    """Answers of the reference and of SOMVIZ."""
    if not GOLDEN.is_dir():
        pytest.skip(f"peers' answers are not at {GOLDEN}")
    return GOLDEN
