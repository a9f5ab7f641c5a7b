"""The shared parts of the scores of JSON. A schema is checked before a run, and loads no other schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from slimgate.errors import MeasureError, format_error
from slimgate.judge.scores.base import import_for_score

# Values of each type, on which a schema is tried before a run.
_PROBES: tuple[Any, ...] = (None, True, 0, "", [], {}, [None], {"": None})


def describe_problem(schema: Any, score: str) -> str | None:
    """Why a value is not a JSON Schema that can be used; None if it is one.

    Args:
        schema: the value, with lists for arrays.
        score: the name of the score that uses it.

    Raises:
        MissingExtra: if jsonschema is not installed.
    """
    jsonschema = import_for_score("jsonschema", score)
    unresolvable = import_for_score("referencing.exceptions", score).Unresolvable
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
        if problem := _find_outside_reference(schema, score):
            return problem
        validator = make_validator(schema, score)
        for value in _PROBES:
            validator.is_valid(value)
    except jsonschema.SchemaError as error:
        return str(error.message)
    except RecursionError:
        return "it refers to itself without an end"
    # jsonschema itself accepts schemas with which it then fails.
    except (AttributeError, KeyError, TypeError, ValueError, unresolvable) as error:
        return f"jsonschema cannot use it: {format_error(error)}"
    return None


def make_validator(schema: Any, score: str) -> Any:
    """A validator of a schema, which loads no other schema."""
    jsonschema = import_for_score("jsonschema", score)
    registry = import_for_score("jsonschema_specifications", score).REGISTRY  # those of JSON Schema itself
    return jsonschema.validators.validator_for(schema)(schema, registry=registry)


def is_valid(validator: Any, value: object, schema_name: str, score: str) -> bool:
    """Whether a value fits. schema_name: what an error calls the schema.

    Raises:
        MeasureError: if the schema refers to one that it does not contain.
    """
    with _name_schema(schema_name, score):
        try:
            return bool(validator.is_valid(value))
        except RecursionError:  # the schema refers to itself, and the value is nested as deeply
            return False


def find_wrong_keys(validator: Any, value: Mapping[str, Any], schema_name: str, score: str) -> set[str]:
    """The keys of an object whose values do not fit. Arguments and errors are those of `is_valid`."""
    with _name_schema(schema_name, score):
        try:
            return {error.path[0] for error in validator.iter_errors(value) if error.path}
        except RecursionError:
            return set()


@contextmanager
def _name_schema(name: str, score: str) -> Iterator[None]:
    unresolvable = import_for_score("referencing.exceptions", score).Unresolvable
    try:
        yield
    except unresolvable as error:
        raise MeasureError(f"{name} refers to a schema that it does not contain: {error}") from error


def _find_outside_reference(schema: Any, score: str) -> str | None:
    referencing, drafts = (
        import_for_score(name, score) for name in ("referencing", "referencing.jsonschema")
    )
    root = referencing.Resource.from_contents(schema, default_specification=drafts.DRAFT202012)
    specifications = import_for_score("jsonschema_specifications", score).REGISTRY
    registry = specifications.with_resource("", root).crawl()
    waiting = [(root, registry.resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        for key in ("$ref", "$dynamicRef") if isinstance(resource.contents, dict) else ():
            reference = resource.contents.get(key)
            try:
                if isinstance(reference, str):
                    resolver.lookup(reference)
            except referencing.exceptions.Unresolvable:
                return f'{key} = "{reference}" is not in the schema; copy that schema into $defs'
        waiting += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]
    return None
