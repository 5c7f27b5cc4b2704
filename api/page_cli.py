"""``openbook page``: the link to the page of the service that runs, with the owner's key."""

from __future__ import annotations

from rag import owner
from rag.errors import ServiceUnreachable
from rag.settings import load_settings
from rag.terminal import literal, out


def page() -> None:
    """Print the link to the web page, with your key in it: whoever has it may do everything."""
    settings = load_settings()
    record = owner.find(settings.data_dir)
    if record is None or record.url is None:
        raise ServiceUnreachable(
            f"No openbook service runs on the data folder {settings.data_dir}.", "Start it: openbook serve"
        )
    out.print(literal(link(record.url, record.token)))


def link(url: str, token: str) -> str:
    """Browsers send no fragment, so the key is in no log."""
    return f"{url}/#key={token}"
