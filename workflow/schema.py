"""Generate the schema of params.yaml and docs/configuration.md from the typed parameters: `python -m workflow.schema`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mfr.config.experiment import Params

SCHEMA = Path("workflow/schemas/params.schema.json")
DOCUMENT = Path("docs/configuration.md")
# Sections that every source has are described once.
SHARED = {
    "Train": "SOURCE.train",
    "Method": "SOURCE.methods.NAME",
    "Compare": "SOURCE.compare",
}
INTRODUCTION = """# Configuration

`params.yaml` is the experiment that is run, and the only file to edit. `make experiment NAME=paper` composes another one of
`params/`, whose files say only what differs from `params/default.yaml`. Unknown keys and values out of range are refused before
anything runs. So are keys given twice, values of another type (`false` is no number, `"1"` is text), and values that
YAML 1.1 and 1.2 read differently, such as `yes`, `010` or `1:30`. A parameter without a default must be given. `SOURCE` stands
for each of `sources`: all have these sections.
DVC tracks only what is in the file, so it needs a section even if it is empty, as in `evaluate: {}`; Snakemake does not.
This page is generated from `mfr/config/` by `python -m workflow.schema`.
"""


def generated() -> dict[Path, str]:
    """The generated files and their contents."""
    schema = Params.model_json_schema()
    return {SCHEMA: json.dumps(schema, indent=2) + "\n", DOCUMENT: document(schema)}


def document(schema: dict[str, Any]) -> str:
    """docs/configuration.md: a table for each section of params.yaml."""
    return INTRODUCTION + "".join(_section(schema, schema, "", set()))


def _section(schema: dict[str, Any], node: dict[str, Any], name: str, known: set[str]) -> list[str]:
    rows, below = [], []
    for key, entry in node["properties"].items():
        nested = _nested(schema, entry)
        path = f"{name}.{key}".removeprefix(".")
        if nested is None:
            meaning = entry.get("description", "").replace("|", r"\|")
            rows.append(f"| `{key}` | {_type(entry)} | {_default(entry)} | {meaning} |")
            continue
        rows += [f"| `{key}` | section | {_default(entry)} | {entry['description']} |"] if "description" in entry else []
        if nested["title"] not in known:
            known.add(nested["title"])
            below += _section(schema, nested, SHARED.get(nested["title"], path), known)
    title = [f"\n## `{name}`\n\n{node['description']}\n"] if name else []
    head = ["\n| parameter | type | default | meaning |\n|---|---|---|---|\n"] if rows else []
    return title + head + [f"{row}\n" for row in rows] + below


def _nested(schema: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any] | None:
    candidates = [entry, *entry.get("anyOf", []), *entry.get("patternProperties", {}).values()]
    reference = next((candidate["$ref"] for candidate in candidates if "$ref" in candidate), None)
    return schema["$defs"][reference.rsplit("/", 1)[1]] if reference else None


def _type(entry: dict[str, Any]) -> str:
    if "anyOf" in entry:
        return " or ".join(_type(option) for option in entry["anyOf"])
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{value}`" for value in entry.get("enum", [entry.get("const")]))
    limits = {"exclusiveMinimum": "> ", "minimum": "≥ ", "exclusiveMaximum": "< ", "maximum": "≤ "}
    bounds = [f"{sign}{entry[limit]}" for limit, sign in limits.items() if limit in entry]
    inner = f" of {_type(entry['items'])}" if "items" in entry else ""
    return " ".join([entry["type"] + inner, ", ".join(bounds)]).strip()


def _default(entry: dict[str, Any]) -> str:
    return f"`{json.dumps(entry['default'], ensure_ascii=False)}`" if "default" in entry else ""


def main(argv: list[str] | None = None) -> int:
    """Write the files, or with `--check` exit with status 1 if one is out of step."""
    parser = argparse.ArgumentParser(prog="python -m workflow.schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of step")
    check = parser.parse_args(argv).check
    stale = [path for path, text in generated().items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"error: {path} is out of step with mfr/config: run `python -m workflow.schema`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated()[path])
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
