#!/usr/bin/env python3
"""Checks that api/openapi.json says what api/openapi.yaml says, that references in it lead
somewhere, and that its limits are those of the code. With --write it makes the JSON."""

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
YAML = ROOT / "api" / "openapi.yaml"
JSON = ROOT / "api" / "openapi.json"


def load():
    return yaml.safe_load(YAML.read_text(encoding="utf-8"))


def as_json(description):
    return json.dumps(description, indent=1, ensure_ascii=False) + "\n"


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = value.values()
    elif not isinstance(value, list):
        return
    for item in value:
        yield from references(item)


def leads_somewhere(description, reference):
    at = description
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(at, dict) or part not in at:
            return False
        at = at[part]
    return reference.startswith("#/")


def constant(name, *files):
    """The value of an enumerator or a macro that is a plain number or a product."""
    for file in files:
        found = re.search(rf"\b{name} = ([0-9 *]+)", (ROOT / file).read_text(encoding="utf-8"))
        if found:
            value = 1
            for factor in found[1].split("*"):
                value *= int(factor)
            return value
    raise SystemExit(f"{name} is not in {', '.join(files)}")


def limits(description):
    """Pairs of what the description says and what the code does."""
    schemas = description["components"]["schemas"]
    verify = description["paths"]["/v1/verify"]["post"]["requestBody"]["content"]["image/png"]
    field_names = re.findall(
        r'^    \{"(\w+)"', (ROOT / "api/request_field.c").read_text(encoding="utf-8"), re.M
    )
    request = "api/request.h"
    yield schemas["Prompt"]["maxLength"], constant("REQUEST_MAX_CHARACTERS", request)
    yield schemas["Count"]["maximum"], constant("REQUEST_MAX_IMAGES", request)
    yield schemas["DeadlineMs"]["maximum"], constant("REQUEST_MAX_DEADLINE", request)
    yield verify["schema"]["maxLength"], constant("PNG_READ_MAX_BYTES", "api/png_read.h")
    yield list(schemas["GenerateRequest"]["properties"]), field_names
    rows = re.findall(
        r'^    \{"(/\S*)", METHOD_(\w+)', (ROOT / "api/route.c").read_text(encoding="utf-8"), re.M
    )
    described = [
        (path, method.upper())
        for path, methods in description["paths"].items()
        for method in methods
    ]
    yield sorted(described), sorted(rows)


def main():
    description = load()
    if "--write" in sys.argv[1:]:
        JSON.write_text(as_json(description), encoding="utf-8")
        return 0
    faults = [
        f"{YAML.name}: {reference} leads nowhere"
        for reference in references(description)
        if not leads_somewhere(description, reference)
    ]
    if JSON.read_text(encoding="utf-8") != as_json(description):
        faults.append(f"{JSON.name} is older than {YAML.name}: run {sys.argv[0]} --write")
    for said, done in limits(description):
        if said != done:
            faults.append(f"{YAML.name}: says {said}, the code {done}")
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
