"""What the README shows is what the examples hold."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [part.split("```")[0] for part in text.split(f"```{language}\n")[1:]]


@pytest.mark.parametrize(
    ("language", "example"), [("yaml", "quickstart.yaml"), ("python", "makers.py")]
)
def test_the_readme_shows_the_example(language: str, example: str) -> None:
    assert (ROOT / "examples" / example).read_text(encoding="utf-8") in blocks(language)


def test_every_local_link_of_the_documentation_leads_somewhere() -> None:
    import re

    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
