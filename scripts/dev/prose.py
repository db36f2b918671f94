#!/usr/bin/env python3
"""Checks comments, documents and API texts against the rules in prose.toml.

Usage: prose.py [--count] [PATH...]   without paths: everything that git tracks.
It prints one line per finding (path:line: rule: text) and exits 1 if there is any.
"""
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = tomllib.loads((ROOT / "scripts/dev/prose.toml").read_text())
CODE = {".rs", ".ts", ".tsx", ".js", ".mjs", ".py", ".sh"}
# Generated from other files, or third-party texts.
SKIPPED = ("openapi/", "LICENSE", "Cargo.lock", "examples/client/javascript/chat-client.js", "examples/client/javascript/src/generated/", "scripts/dev/prose")
COMMENT = re.compile(r"^\s*(?:///|//!|//|#(?!\[|!))\s?(.*)$")
BULLET = re.compile(r"^(?:[-*]|\d+\.)\s+|^\|\s*|^#+\s+")


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if not name.startswith(SKIPPED)]


def comments(text, suffix):
    """Returns the comment blocks of a file, each as (line number of its first line, paragraphs joined to one text)."""
    block, start = [], 0
    for number, line in enumerate(text.splitlines(), 1):
        found = COMMENT.match(line) if suffix != ".py" or line.lstrip().startswith("#") else None
        if suffix in {".ts", ".tsx", ".js", ".mjs"} and not found:
            found = re.match(r"^\s*(?:/\*\*?|\*)\s?(.*?)(?:\*/)?$", line)
        content = found and found[1].strip()
        is_break = not found or not content or BULLET.match(content)
        if is_break and block:
            yield start, " ".join(block)
            block = []
        if found and content:
            if not block:
                start = number
            block.append(BULLET.sub("", content))
    if block:
        yield start, " ".join(block)


def document(text):
    """Returns the paragraphs and table cells of a Markdown file, without code."""
    block, start, is_code = [], 0, False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            is_code = not is_code
        stripped = line.strip()
        is_new = is_code or not stripped or line.startswith("```") or BULLET.match(stripped)
        if is_new and block:
            yield start, " ".join(block)
            block = []
        if is_code or not stripped or line.startswith("```"):
            continue
        if stripped.startswith("|"):
            for cell in stripped.strip("|").split("|"):
                yield number, cell.strip()
            continue
        if not block:
            start = number
        block.append(BULLET.sub("", stripped))
    if block:
        yield start, " ".join(block)


def api_texts(value, path=""):
    """Returns every description and summary of an OpenAPI or AsyncAPI document, with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("description", "summary") and isinstance(inner, str):
                yield f"{path}/{key}", inner
            elif key not in ("example", "examples", "default"):
                yield from api_texts(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from api_texts(inner, f"{path}/{index}")


def plain(text):
    return re.sub(r"`[^`]*`", "`x`", text)


def check(where, place, text, findings):
    for rule in RULES["rule"]:
        if place in rule["in"] and re.search(rule["pattern"], text if rule.get("whole") else plain(text)):
            findings.append((where, rule["name"], text[:110]))


def words(where, place, text, findings):
    for group in RULES["words"]:
        if place in group["in"]:
            for old, new in group["table"]:
                if re.search(rf"\b{re.escape(old)}\b", text):
                    findings.append((where, "private-word", f"{old}: say {new}"))


def main(arguments):
    only_count = "--count" in arguments
    paths = [argument for argument in arguments if not argument.startswith("--")]
    findings = []
    for name in paths or tracked():
        path = ROOT / name
        if path.suffix in CODE or name == "dev":
            text = path.read_text()
            for line, block in comments(text, path.suffix):
                check(f"{name}:{line}", "comment", block, findings)
            for number, line in enumerate(text.splitlines(), 1):
                words(f"{name}:{number}", "code", line, findings)
        elif path.suffix == ".md":
            for line, block in document(path.read_text()):
                check(f"{name}:{line}", "document", block, findings)
                words(f"{name}:{line}", "document", block, findings)
    if not paths:
        for name in ("openapi/openapi.json", "openapi/asyncapi.json"):
            for place, text in api_texts(json.loads((ROOT / name).read_text())):
                # A summary is an imperative and may be short.
                check(f"{name}#{place}", "summary" if place.endswith("/summary") else "api", text, findings)
    if only_count:
        counts = {}
        for where, rule, _ in findings:
            key = (rule, "/".join(where.split(":")[0].split("#")[0].split("/")[:2]))
            counts[key] = counts.get(key, 0) + 1
        for (rule, folder), count in sorted(counts.items()):
            print(f"{count:6} {rule:24} {folder}")
    else:
        for where, rule, text in findings:
            print(f"{where}: {rule}: {text}")
    print(f"{len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
