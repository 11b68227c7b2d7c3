"""Writes the provider's side of every case anew, as the code makes it now."""

from __future__ import annotations

from tests.dialects.cases import CASES, FOLDER, rewritten, text_of

for name, case in CASES.items():
    (FOLDER / f"{name}.json").write_text(text_of(rewritten(case)), "utf-8")
