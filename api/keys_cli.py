"""``openbook keys``: who may use the service from other machines, and what for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, cast

import typer

from api.caller import ALL, SCOPES, Scope
from api.keys import FILE, Key, Keys
from rag import data_format
from rag.errors import BadRequest
from rag.settings import load_settings
from rag.terminal import JsonOption, err, out, print_json

app = typer.Typer(
    name="keys", help="Let others use the service: make, list and revoke API keys.", no_args_is_help=True
)

_LASTS = re.compile(r"(\d{1,5})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose it is, or what uses it.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, ask, write or admin; may be given again. By default read and ask."),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="Name or glob; may be given again. By default all."),
    ] = None,
    tenant: Annotated[
        str, typer.Option(help="Keys of one tenant share conversations; by default it is the name.")
    ] = "",
    expires: Annotated[str, typer.Option(help="12h, 30d, 8w, or a day: 2027-01-31. By default never.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown this once: only a hash of it is kept."""
    if not name.strip() or not name.isprintable():
        raise BadRequest("A key needs a name.", "Name who uses it: openbook keys add alice")
    with _keys() as keys:
        key, shown = keys.add(name, _scopes(scope), tuple(collection or ALL), tenant, _until(expires))
    if as_json:
        print_json(_plain(key) | {"key": shown})
        return
    out.print(shown, markup=False, soft_wrap=True)
    err.print(f"{_told(key)}. It is not shown again.", markup=False)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show the keys, without what their holders show."""
    with _keys() as keys:
        known = keys.all()
    if as_json:
        print_json([_plain(key) for key in known])
        return
    for key in known:
        out.print(f"{key.id}  {_told(key)}", markup=False)
    out.print(f"{len(known)} keys", markup=False)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Name or id of the key.")], as_json: JsonOption = False
) -> None:
    """End a key; a service that runs refuses it within a second."""
    with _keys() as keys:
        revoked = keys.revoke(key)
    if as_json:
        print_json(_plain(revoked))
    else:
        out.print(f"{revoked.name} ({revoked.id}) is revoked", markup=False)


@contextmanager
def _keys() -> Iterator[Keys]:
    folder = load_settings().data_dir
    data_format.check(folder)  # the service may have it open, so nothing is brought up here
    with closing(Keys(folder / FILE)) as keys:
        yield keys


def _scopes(given: list[str] | None) -> tuple[Scope, ...]:
    for scope in given or ():
        if scope not in SCOPES:
            raise BadRequest(f"There is no scope {scope!r}.", f"There are: {', '.join(SCOPES)}.")
    return tuple(cast(list[Scope], given)) if given else ("read", "ask")


def _until(expires: str) -> datetime | None:
    if not expires:
        return None
    if match := _LASTS.fullmatch(expires):
        return datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        day = datetime.strptime(expires, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise BadRequest(
            f"{expires!r} is no time to expire at.", "Write 12h, 30d, 8w, or a day: 2027-01-31."
        ) from None
    if day <= datetime.now(UTC):
        raise BadRequest(f"{expires} has passed.", "Give a day to come.")
    return day


def _plain(key: Key) -> dict[str, Any]:
    return asdict(key) | {"state": key.state(datetime.now(UTC))}


def _told(key: Key) -> str:
    until = f", until {key.expires_at}" if key.expires_at else ""
    used = f", last used {key.used_at}" if key.used_at else ""
    tenant = f", tenant {key.tenant}" if key.tenant != key.name else ""
    state = key.state(datetime.now(UTC))
    of = "all collections" if key.collections == ALL else ", ".join(key.collections)
    return f"{key.name}: {', '.join(key.scopes)} of {of}{tenant}{until}{used}; {state}"
