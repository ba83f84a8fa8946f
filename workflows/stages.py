"""The stages of a campaign, and which one a calculation belongs to."""

from __future__ import annotations

STAGES = ("rock-salt", "hull", "lithium-deficient", "oxygen-vacancy", "electronic-structure")
"""In the order in which they are computed."""

STAGE_OF_ROLE: dict[str, str] = {
    "element": "rock-salt",
    "oxygen": "rock-salt",
    "end-member": "rock-salt",
    "mixture": "rock-salt",
    "competing-phase": "hull",
    "series": "lithium-deficient",
    "vacancy": "oxygen-vacancy",
    "density-of-states": "electronic-structure",
}
"""By the role of a calculation."""
