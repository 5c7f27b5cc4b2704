"""What keeps the prompts of tenants apart in the model server's prefix cache: nobody is to learn from how soon an
answer begins what others have read."""

from __future__ import annotations

from hashlib import sha256

from rag.ports import Generator, Salting


def salt_of(tenant: str) -> str:
    """Empty for the owner, who shares with nobody who needs one. vLLM takes 128 characters, and not every one."""
    return sha256(tenant.encode()).hexdigest()[:32] if tenant else ""


def salted(salt: str, generator: Generator) -> Generator:
    """Where its server's cache can be kept apart."""
    return generator.salted(salt) if isinstance(generator, Salting) else generator
