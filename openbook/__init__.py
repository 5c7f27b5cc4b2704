"""The `openbook` command; the engine is in rag, its parts in ingest, api and evals."""
