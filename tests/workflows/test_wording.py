"""Numbers and commands in the sentences that commands print."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocksalt.workflows.wording import as_typed, counted


@pytest.mark.parametrize(("number", "words"), [(0, "0 dopants"), (1, "1 dopant"), (2, "2 dopants")])
def test_a_noun_follows_its_number(number, words):
    assert counted(number, "dopant") == words


def test_a_command_has_the_options_that_were_given():
    typed = as_typed(
        "submit",
        Path("my screen.yaml"),
        store="mongodb://me:secret@host/db",
        launchpad=None,
        worker=["chgnet=gpu", "cpu"],
        lost_after=0.0,
        retry_failed=True,
    )
    assert typed == (
        "rocksalt submit 'my screen.yaml' --store mongodb://me:***@host/db "
        "--worker chgnet=gpu --worker cpu --lost-after 0.0 --retry-failed"
    )


def test_check_counts_in_singular(cli, campaign_file):
    file = campaign_file(dopants=["Mg"], fractions=[0.5])
    assert "small: 1 dopant in 1 host, 1 pair, fraction 0.5" in cli("check", file).out
