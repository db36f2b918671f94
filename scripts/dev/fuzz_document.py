"""Writes the OpenAPI document for ./dev fuzz, with permitted values that the published document omits for the sake of generators.

An optional field or body may be null, and an optional query parameter empty: both count as absent (docs/API.md). If the document said so,
generated clients would offer null and the empty text everywhere.
"""

import json
import sys


def allow_null(schema):
    if "$ref" in schema:
        schema["anyOf"] = [{"$ref": schema.pop("$ref")}, {"type": "null"}]
    elif isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]


document = json.load(sys.stdin)
for schema in document["components"]["schemas"].values():
    # Only schemas of requests are closed objects.
    if schema.get("additionalProperties") is False:
        for name, field in schema.get("properties", {}).items():
            if name not in schema.get("required", []):
                allow_null(field)
for item in document["paths"].values():
    for operation in item.values():
        body = operation.get("requestBody")
        if body and not body.get("required"):
            allow_null(body["content"]["application/json"]["schema"])
        for parameter in operation.get("parameters", []):
            if parameter.get("in") == "query" and not parameter.get("required"):
                parameter["schema"] = {"anyOf": [parameter["schema"], {"const": ""}]}
for parameter in document["components"]["parameters"].values():
    if parameter["in"] == "query":
        parameter["schema"] = {"anyOf": [parameter["schema"], {"const": ""}]}
json.dump(document, sys.stdout)
