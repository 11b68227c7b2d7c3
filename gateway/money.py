"""Money inside the program: whole numbers of nano-units of the currency, so that sums are exact."""

from __future__ import annotations

from typing import Final

NANO: Final = 10**9
"""Nano-units in one of the currency."""
