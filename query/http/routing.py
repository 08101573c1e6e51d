"""Routes as data: the types that check a request are the types that /openapi.json shows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from pydantic.json_schema import models_json_schema

from footage.query.http.auth import allow, who
from footage.query.http.keys import AUDIT
from footage.query.http.schemas import ErrorOut
from footage.query.http.tokens import Role
from footage.query.values.times import moment

REF = "#/components/schemas/{model}"

AGO = r"^(now|-[0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h|d|w)?)$"
_TIME = {"type": "string", "anyOf": [{"format": "date-time"}, {"pattern": AGO}]}
When = Annotated[datetime, BeforeValidator(moment), WithJsonSchema(_TIME)]
"""ISO 8601 (without an offset in the server's zone), ``now``, or ``-2h`` for two hours ago."""


class Params(BaseModel):
    """Query parameters of a route; one that is not declared is refused, so a misspelt filter is never ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    Attributes:
        handler: gets the request and its checked parameters; returns a model (sent as JSON) or a response.
        params: its query parameters.
        answer: the model of its JSON answer, or the media type of another answer.
        errors: statuses it may answer with besides 400 and 500.
        body: the model of the JSON that it takes; its handler gets that, checked, in place of parameters.
        named: regular expression of the whole parameter of its path.
        role: the least role that may ask; None: anybody, even where tokens are needed.
        whole: it tells of all cameras at once, so that a token that is limited to some may not ask.
        count: how many an answer holds, from what was asked and answered; given, requests are noted in the audit.
        form: schema of the form that it takes (multipart); its handler reads it itself.
    """

    method: str
    path: str
    handler: Callable[[web.Request, Any], Awaitable[BaseModel | web.StreamResponse]]
    answer: type[BaseModel] | str
    params: type[Params] = Params
    errors: tuple[int, ...] = ()
    statuses: tuple[int, ...] = field(default=(200,))
    body: type[BaseModel] | None = None
    named: str = ".+"
    role: Role | None = "view"
    whole: bool = False
    count: Callable[[Any, Any], int] | None = None
    form: dict[str, Any] | None = None


def serve(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The route's handler as aiohttp wants it."""

    async def answered(request: web.Request) -> BaseModel | web.StreamResponse:
        if route.role:
            allow(request, route.role, route.whole)
        asked: BaseModel = _parse(route.params, request.query)
        if route.body:
            asked = await _body(request, route.body)
        answer = await route.handler(request, asked)
        if route.count:
            given = asked.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            await _note(request, route, given, route.count(asked, answer))
        return answer

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = await answered(request)
        except web.HTTPForbidden:
            await _note(request, route, dict(request.query), None, 403)
            raise
        if isinstance(answer, BaseModel):
            return web.Response(text=answer.model_dump_json(), content_type="application/json")
        return answer

    return handle


async def _note(
    request: web.Request, route: Route, asked: dict[str, Any], found: int | None, status: int = 200
) -> None:
    audit = request.app[AUDIT]
    if route.count and audit:
        given = dict(request.match_info) | asked
        await audit.note(who(request).name, route.handler.__name__, given, found, status)


async def _body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    """Only JSON that says so: a page of another site cannot send that without being asked for permission first."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="send JSON, with 'Content-Type: application/json'")
    try:
        return model.model_validate_json(await request.read(), strict=True)
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(e, model) for e in error.errors(include_url=False))) from None


def _parse(params: type[Params], query: Mapping[str, str]) -> Params:
    """Raises ValueError with one sentence a parameter."""
    many = {f.alias or n for n, f in params.model_fields.items() if "tuple" in str(f.annotation)}
    got: dict[str, Any] = {}
    for name in query:
        values = query.getall(name)  # type: ignore[attr-defined]
        if name not in many and len(values) > 1:
            raise ValueError(f"{name}: given {len(values)} times; once is enough")
        got[name] = values if name in many else values[0]
    try:
        return params.model_validate(got)
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(e, params) for e in error.errors(include_url=False))) from None


def _sentence(error: Any, params: type[BaseModel]) -> str:
    name = ".".join(str(p) for p in error["loc"]) or "body"
    if error["type"] == "extra_forbidden":
        known = ", ".join(f.alias or n for n, f in params.model_fields.items()) or "none"
        return f"{name}: there is no such parameter here (there are: {known})"
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"


def document(routes: Sequence[Route], token: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document of ``routes``."""
    models = {r.answer for r in routes if not isinstance(r.answer, str)} | {ErrorOut}
    shown = [(m, "serialization") for m in models] + [(r.body, "validation") for r in routes if r.body]
    _, schemas = models_json_schema(sorted(shown, key=lambda m: m[0].__name__), ref_template=REF)  # type: ignore[arg-type]
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(re.sub(r":[^}]*}", "}", route.path), {})[route.method.lower()] = _operation(route, token)
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    if token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Footage", "version": version("footage")},
        "paths": paths,
        "components": components,
    }


def _operation(route: Route, token: bool) -> dict[str, Any]:
    guarded = token and route.role is not None
    names = re.findall(r"{(\w+)", route.path)
    named = {"type": "string", "pattern": f"^{route.named}$"}
    in_path = [{"name": n, "in": "path", "required": True, "schema": named} for n in names]
    errors = {400, 500, *route.errors} | ({413, 415} if route.body or route.form else set())
    errors |= ({401} if guarded else set()) | ({403} if route.role else set())
    answer = route.answer if isinstance(route.answer, str) else "application/json"
    schema = {"type": "string", "format": "binary"} if isinstance(route.answer, str) else _ref(route.answer)
    if answer.startswith("text/"):
        schema = {"type": "string"}
    done = {"description": "done", "content": {answer: {"schema": schema}}}
    failed = {"description": "error", "content": {"application/json": {"schema": _ref(ErrorOut)}}}
    return {
        "summary": (route.handler.__doc__ or "").split("\n")[0],
        "description": f"Least role of a token: {route.role}." if route.role else "Needs no token.",
        "operationId": route.handler.__name__,
        **({"x-role": route.role} if route.role else {}),
        "parameters": in_path + _parameters(route.params),
        "responses": {str(s): done for s in route.statuses} | {str(s): failed for s in sorted(errors)},
        **({"requestBody": _taken("application/json", _ref(route.body))} if route.body else {}),
        **({"requestBody": _taken("multipart/form-data", route.form)} if route.form else {}),
        **({"security": [{"token": []}]} if guarded else {}),
    }


def _taken(kind: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {kind: {"schema": schema}}}


def _parameters(params: type[Params]) -> list[dict[str, Any]]:
    schema = params.model_json_schema(ref_template=REF)
    required = schema.get("required", [])
    rows = ((n, n in required, _sent(s)) for n, s in schema.get("properties", {}).items())
    return [
        {"name": n, "in": "query", "required": must, "schema": s, "description": s.pop("description", "")}
        for n, must, s in rows
    ]


def _sent(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null, which a query cannot hold: what is not given is left out."""
    kinds = [s for s in schema.pop("anyOf", []) if s != {"type": "null"}]
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    return schema | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}
