"""OpenAI's Chat Completions and what is shaped like it: completions, embeddings, images, audio, moderations."""
