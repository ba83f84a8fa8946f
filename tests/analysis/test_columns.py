"""Text tables: which sign parts the columns, and which the decimals."""

import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.columns import numbers_of


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,5 200\n2,5 300,25", [[1.5, 200], [2.5, 300.25]]),
        ("10,02\t5\n10,04\t6", [[10.02, 5], [10.04, 6]]),
        ("1,5;2;3,5e-3\n2,5;2;3,5", [[1.5, 2, 3.5e-3], [2.5, 2, 3.5]]),
        ("# 1.5 eV\n1,5 2\n", [[1.5, 2]]),
        # commas that part the columns
        ("1,5\n2,6", [[1, 5], [2, 6]]),
        ("1, 5, 7\n2, 6, 8", [[1, 5, 7], [2, 6, 8]]),
        ("1.5,2\n2.5,3", [[1.5, 2], [2.5, 3]]),
        ("1,5 2.5\n2,6 3.5", [[1, 5, 2.5], [2, 6, 3.5]]),
        (".5 1\n-.5 2", [[0.5, 1], [-0.5, 2]]),
    ],
)
def test_the_comma_is_decimal_where_others_part_the_columns(text, rows):
    assert numbers_of(text, "a.txt").tolist() == rows


def test_rows_of_other_lengths_are_told():
    with pytest.raises(MeasurementError, match=r"a\.txt: line 2 has 2 columns, the lines before 3"):
        numbers_of("1,2,3\n1,2", "a.txt")
