"""The reference of configuration keys is that of the schema and of conf/."""

from pathlib import Path

from qnal.config.reference import page
from qnal.config.validation import keys

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == page(), "run python -m qnal.config.reference > docs/configuration.md"


def test_every_key_has_a_row_with_its_default():
    text = page()
    for name, _, _ in keys():
        assert f"`{name}`" in text, name
    assert "| `ensemble.n` | int | `100` | a number of members from 1 on | number of" in text
    assert "| `data.mock.snr_max` | float | `10.0` |" in text
    assert "| `executor=slurm` | `executor.cores` | `8` | cores per Slurm job |" in text
    assert "`train=small`" in text
