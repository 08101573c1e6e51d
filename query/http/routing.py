"""Declares routes as data: the pydantic models that validate a request also make /openapi.json."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from pydantic.json_schema import models_json_schema

from footage.query.http.app_keys import AUDIT_LOG
from footage.query.http.auth import identity, require_role
from footage.query.http.forward import Forwarding, forward
from footage.query.http.limits import PATIENCE, Slots, body_timeout
from footage.query.http.schemas import ErrorOut
from footage.query.http.tokens import Role
from footage.query.values.times import parse_time
from footage.stream.errors import InvalidInput

SCHEMA_REF = "#/components/schemas/{model}"

RELATIVE_TIME = r"^(now|-[0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h|d|w)?)$"
_TIME = {"type": "string", "anyOf": [{"format": "date-time"}, {"pattern": RELATIVE_TIME}]}
TimeParam = Annotated[datetime, BeforeValidator(parse_time), WithJsonSchema(_TIME)]
"""ISO 8601 (in the server's zone if it has no offset), ``now``, or ``-2h`` for two hours ago."""


def require_order(start: datetime | None, end: datetime | None) -> None:
    """Refuse a time range, given as ``from`` and ``to``, that ends before it begins.

    Raises:
        InvalidInput: says so.
    """
    if start and end and start >= end:
        raise InvalidInput("from: must be before to")


class Params(BaseModel):
    """Query parameters of a route; undeclared ones are refused, so a misspelled filter is never ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class AnyParams(Params):
    """Whatever the query holds: it is read by the page in the browser, not by the service."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    Attributes:
        handler: takes the request and its validated parameters; returns a model (sent as JSON) or a response, or which
            footage of another machine is asked for.
            Its name is the operation's id in /openapi.json and in the audit log.
        answer: the model of the JSON answer, or the media type of another answer.
        params: the query parameters.
        errors: statuses of error answers besides 400 and 500.
        statuses: statuses of successful answers.
        body: the model of the JSON request body; the handler gets it, validated, in place of the parameters.
        path_pattern: regular expression for the parameter in the path.
        role: the least role of a caller; None: anybody, even when tokens are required.
        all_cameras: the answer covers all cameras, so a token that is limited to some is refused.
        count_results: number of results, from the parameters and the answer. A route with it is in the audit log.
        form_schema: schema of the multipart form; the handler reads the form itself.
        head: HEAD is answered too, with the same headers.
        at_once: how many requests run and how many more may wait; further ones get 503. None: as many as there are.
        patience: seconds for which they wait at most.
    """

    method: str
    path: str
    handler: Callable[[web.Request, Any], Awaitable[BaseModel | web.StreamResponse | Forwarding]]
    answer: type[BaseModel] | str
    params: type[Params] = Params
    errors: tuple[int, ...] = ()
    statuses: tuple[int, ...] = field(default=(200,))
    body: type[BaseModel] | None = None
    path_pattern: str = ".+"
    role: Role | None = "view"
    all_cameras: bool = False
    count_results: Callable[[Any, Any], int] | None = None
    form_schema: dict[str, Any] | None = None
    at_once: tuple[int, int] | None = None
    patience: float = PATIENCE
    head: bool = False

    @property
    def pattern(self) -> str:
        """The path as aiohttp's router takes it: a parameter ``path`` may contain slashes."""
        return self.path.replace("{path}", "{path:.+}")


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Add routes to an application."""
    for route in routes:
        handler = make_handler(route)
        app.router.add_route(route.method, route.pattern, handler)
        if route.head:
            app.router.add_route("HEAD", route.pattern, handler)


def public_routes(routes: Iterable[Route]) -> frozenset[tuple[str, str]]:
    """Methods and paths that need no token, as routes write them."""
    return frozenset((route.method, route.path) for route in routes if route.role is None)


def make_handler(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of a route: it checks the role, validates the input, waits for its turn, and logs."""
    slots = Slots(*route.at_once, route.patience) if route.at_once else None

    async def call(request: web.Request) -> BaseModel | web.StreamResponse:
        if route.role:
            require_role(request, route.role, route.all_cameras)
        params: BaseModel = _parse_query(route.params, request.query)
        if route.body:
            params = await _parse_body(request, route.body)
        async with slots.take(request) if slots else nullcontext():
            answer = await route.handler(request, params)
        if isinstance(answer, Forwarding):
            answer = await forward(request, answer)
        if route.count_results:
            given = params.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            await _log_request(request, route, given, route.count_results(params, answer))
        return answer

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = await call(request)
        except web.HTTPForbidden:
            known = {f.alias or n for n, f in route.params.model_fields.items()}  # another could hold a secret
            await _log_request(request, route, {k: v for k, v in request.query.items() if k in known}, None, 403)
            raise
        return json_response(answer) if isinstance(answer, BaseModel) else answer

    return handle


def one_line(text: object) -> str:
    """A text as a reason phrase of HTTP, which ends at a line break."""
    return " ".join(str(text).split())


def json_response(answer: BaseModel) -> web.Response:
    """A model as a response."""
    return web.Response(text=answer.model_dump_json(), content_type="application/json")


async def _log_request(
    request: web.Request, route: Route, given: dict[str, Any], found: int | None, status: int = 200
) -> None:
    log = request.app[AUDIT_LOG]
    if route.count_results and log:
        given = dict(request.match_info) | given
        await log.append(identity(request).name, route.handler.__name__, given, found, status)


async def _parse_body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    """The validated JSON body. The content type is checked: a page of another site cannot send it without CORS."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="send JSON, with 'Content-Type: application/json'")
    try:
        async with body_timeout():
            data = await request.read()
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise InvalidInput("; ".join(_describe_fault(e, model) for e in error.errors(include_url=False))) from None


def _parse_query(params: type[Params], query: Mapping[str, str]) -> Params:
    """The validated query parameters; raises ValueError with one sentence per parameter."""
    if params is AnyParams:
        return params()
    repeatable = _repeatable(params)
    given: dict[str, Any] = {}
    for name in query:
        values = query.getall(name)  # type: ignore[attr-defined]
        if name not in repeatable and len(values) > 1:
            raise InvalidInput(f"{name}: given {len(values)} times; give it once")
        given[name] = values if name in repeatable else values[0]
    try:
        return params.model_validate(given)
    except ValidationError as error:
        raise InvalidInput("; ".join(_describe_fault(e, params) for e in error.errors(include_url=False))) from None


@cache
def _repeatable(params: type[Params]) -> frozenset[str]:
    """The parameters that may be given several times."""
    return frozenset(f.alias or n for n, f in params.model_fields.items() if "tuple" in str(f.annotation))


def _describe_fault(error: Any, params: type[BaseModel]) -> str:
    name = ".".join(str(p) for p in error["loc"]) or "body"
    if error["type"] == "extra_forbidden":
        known = ", ".join(f.alias or n for n, f in params.model_fields.items()) or "none"
        return f"{name}: this route has no such parameter (it has: {known})"
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"


def document(routes: Sequence[Route], token_required: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document of ``routes``."""
    models = {r.answer for r in routes if not isinstance(r.answer, str)} | {ErrorOut}
    modes = [(m, "serialization") for m in models] + [(r.body, "validation") for r in routes if r.body]
    _, schemas = models_json_schema(sorted(modes, key=lambda m: m[0].__name__), ref_template=SCHEMA_REF)  # type: ignore[arg-type]
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(re.sub(r":[^}]*}", "}", route.path), {})[route.method.lower()] = _operation(
            route, token_required
        )
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    if token_required:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Footage", "version": version("footage")},
        "paths": paths,
        "components": components,
    }


def _operation(route: Route, token_required: bool) -> dict[str, Any]:
    guarded = token_required and route.role is not None
    names = re.findall(r"{(\w+)", route.path)
    path_schema = {"type": "string", "pattern": f"^{route.path_pattern}$"}
    in_path = [{"name": n, "in": "path", "required": True, "schema": path_schema} for n in names]
    errors = {400, 500, *route.errors} | ({413, 415} if route.body or route.form_schema else set())
    errors |= ({401} if guarded else set()) | {403} | ({503} if route.at_once else set())
    errors |= {408} if route.body or route.form_schema else set()
    answer = route.answer if isinstance(route.answer, str) else "application/json"
    schema = {"type": "string", "format": "binary"} if isinstance(route.answer, str) else _ref(route.answer)
    if answer.startswith("text/"):
        schema = {"type": "string"}
    success = {"description": "success", "content": {answer: {"schema": schema}}}
    failure = {"description": "error", "content": {"application/json": {"schema": _ref(ErrorOut)}}}
    return {
        "summary": (route.handler.__doc__ or "").split("\n")[0],
        "description": f"Requires a token with at least the role {route.role}." if route.role else "Needs no token.",
        "operationId": route.handler.__name__,
        **({"x-role": route.role} if route.role else {}),
        "parameters": in_path + _query_parameters(route.params),
        "responses": {str(s): success for s in route.statuses} | {str(s): failure for s in sorted(errors)},
        **({"requestBody": _request_body("application/json", _ref(route.body))} if route.body else {}),
        **({"requestBody": _request_body("multipart/form-data", route.form_schema)} if route.form_schema else {}),
        **({"security": [{"token": []}]} if guarded else {}),
    }


def _request_body(media_type: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {media_type: {"schema": schema}}}


def _query_parameters(params: type[Params]) -> list[dict[str, Any]]:
    schema = params.model_json_schema(ref_template=SCHEMA_REF)
    required = schema.get("required", [])
    rows = ((n, n in required, _without_null(s)) for n, s in schema.get("properties", {}).items())
    return [
        {"name": n, "in": "query", "required": must, "schema": s, "description": s.pop("description", "")}
        for n, must, s in rows
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null, which a query string cannot express: absent parameters are left out."""
    kinds = [s for s in schema.pop("anyOf", []) if s != {"type": "null"}]
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    return schema | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": SCHEMA_REF.format(model=model.__name__)}
