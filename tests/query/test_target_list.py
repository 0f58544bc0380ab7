import numpy as np
import pytest

from qnal.errors import InputError
from qnal.query.target_list import read_target_list, read_target_lists, write_target_list

LARGE = 39627758518773697  # 2**53 is 9007199254740992: a float would lose the last digit


def test_lines_and_comments(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(f"# campaign\n{LARGE}\n\n  -5  # sky\n{2**63 - 1}\r\n")
    found = read_target_list(path)
    assert found.dtype == np.int64 and found.tolist() == [LARGE, -5, 2**63 - 1]


@pytest.mark.parametrize(
    "line", ["3.9627758518773697e16", "12 13", "abc", str(2**63), "1_0", "--1"]
)
def test_bad_line_is_named(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"1\n# two\n{line}\n")
    with pytest.raises(InputError, match=r"list\.txt, line 3"):
        read_target_list(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        read_target_list(tmp_path / "none.txt")


def test_several_lists_and_writing(tmp_path):
    write_target_list(tmp_path / "a.txt", [3, LARGE])
    write_target_list(tmp_path / "b.txt", [LARGE, 1])
    assert (tmp_path / "a.txt").read_text() == f"3\n{LARGE}\n"
    assert read_target_lists([tmp_path / "a.txt", tmp_path / "b.txt"]).tolist() == [1, 3, LARGE]
    assert read_target_lists([]).tolist() == []
