"""OpenAI's Chat Completions and what is shaped like it: completions, embeddings, images, audio, moderations.

What only some of its servers know (reasoning, signatures, cache marks, media) is carried as they carry it; who wants
what stands in `quirks.py` by server and in `models.py` by model. Completions are passed through, never translated.
"""

from typing import Final

DIALECT: Final = "openai_chat"
