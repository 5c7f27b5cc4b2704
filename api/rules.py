"""Which scope a route needs, and that what it names is the caller's. A route without a rule is the owner's alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute, Mount, Route

from api.caller import LOCAL, OWNER, SCOPES, Caller, Scope
from rag.errors import KeyMissing, ScopeMissing

E = TypeVar("E", bound=Callable[..., Any])

_RULE = "__rule__"  # of an endpoint


@dataclass(frozen=True, slots=True)
class Rule:
    """A caller needs one of the ``scopes``; none of them means that of the owner alone. ``keyed``: a key is needed also
    where others need none; ``local``: none is, on loopback. ``public``: nobody needs one."""

    scopes: tuple[Scope, ...] = ()
    keyed: bool = False
    local: bool = False
    public: bool = False

    @property
    def writes(self) -> bool:
        return not self.public and set(self.scopes) <= {"write", "admin"}

    @property
    def security(self) -> list[dict[str, list[str]]]:
        """As OpenAPI has it: any one of these. ``{}`` is to show nothing, which on loopback lets read and ask."""
        if self.public:
            return []
        local = self.local or (not self.keyed and bool(LOCAL.scopes.intersection(self.scopes)))
        return [{"key": []}, *([{}] if local else [])]

    def check(self, caller: Caller | None) -> None:
        """``caller`` is None for one who needs a key and has none. Raises KeyMissing, ScopeMissing."""
        if self.public or caller is OWNER or (self.local and caller is LOCAL):
            return
        allowed = caller is not None and caller.scopes.intersection(self.scopes)
        if caller is None or (caller is LOCAL and (self.keyed or not allowed)):
            raise KeyMissing.of()
        if not allowed:
            raise ScopeMissing.of(
                caller.name, self.scopes, [each for each in SCOPES if each in caller.scopes]
            )


OWNERS = Rule(keyed=True)
ANY = Rule(SCOPES)
# Of routes that are no functions of ours, by path. What /mcp calls has the rule of its REST path.
PLAIN: Mapping[str, Rule] = {
    "/mcp": ANY,
    "/openapi.json": ANY,
    "/page": Rule(public=True),
}


def needs(*scopes: Scope, keyed: bool = False, local: bool = False) -> Callable[[E], E]:
    """Decorates an endpoint: one of these is needed. What it takes as ``collection``, in its path, query or body, must
    be the caller's; what it reads through EngineOf is."""
    return _ruled(Rule(scopes, keyed, local))


def owners(endpoint: E) -> E:
    """For the owner of the data folder alone."""
    return _ruled(OWNERS)(endpoint)


def public(endpoint: E) -> E:
    return _ruled(Rule(public=True))(endpoint)


def _ruled(rule: Rule) -> Callable[[E], E]:
    def mark(endpoint: E) -> E:
        setattr(endpoint, _RULE, rule)
        return endpoint

    return mark


def rule_of(route: BaseRoute) -> Rule | None:
    """None where nobody has said."""
    if isinstance(route, APIRoute):
        return cast(Rule | None, getattr(route.endpoint, _RULE, None))
    return PLAIN.get(getattr(route, "path", ""))


def public_paths(routes: Iterable[BaseRoute]) -> re.Pattern[str]:
    """What they are matched by, with all that is below where files are served."""
    ruled = [(route, rule_of(route)) for route in routes if isinstance(route, Route | Mount)]
    paths = [
        re.escape(route.path) + ("/.*" if isinstance(route, Mount) else "")
        for route, rule in ruled
        if rule and rule.public
    ]
    return re.compile("|".join(paths))


async def caller_of(request: Request) -> Caller:
    """Behind a rule that is not public. Like all that endpoints depend on a coroutine: a function would be called on a
    thread."""
    return cast(Caller, request.state.caller)


CallerOf = Annotated[Caller, Depends(caller_of)]


async def authorized(request: Request) -> None:
    """Before each endpoint."""
    route: APIRoute = request.scope["route"]
    rule = rule_of(route) or OWNERS
    rule.check(request.state.caller)
    if not rule.public:
        named = [*_in_address(route, request), *await _in_body(route, request)]
        (await caller_of(request)).check(named)
        request.state.collections = named


def _in_address(route: APIRoute, request: Request) -> Iterator[str]:
    for name in ("collection", "name"):
        if f"/collections/{{{name}}}" in route.path:
            yield request.path_params[name]
    for field in route.dependant.query_params:
        if field.name == "collection":
            yield from _names(request.query_params.getlist("collection") or field.get_default())


async def _in_body(route: APIRoute, request: Request) -> list[str]:
    """What cannot be read names nothing, and is refused when it is read for the endpoint."""
    model = route.body_field and route.body_field.field_info.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel) and "collection" in model.model_fields):
        return []
    try:
        body = await request.json()
    except ValueError:
        return []
    default = model.model_fields["collection"].default
    return _names(body.get("collection", default)) if isinstance(body, dict) else []


def _names(given: object) -> list[str]:
    """One or several; None are all that the caller sees."""
    several = given if isinstance(given, list) else [given]
    return [name for name in several if isinstance(name, str)]
