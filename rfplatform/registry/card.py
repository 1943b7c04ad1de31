"""The page about an artifact: Markdown with Hugging Face's metadata, made of the records alone.

The same records give the same text, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rfplatform.registry.artifact import Artifact

if TYPE_CHECKING:
    from rfplatform.registry.index import Entry
    from rfplatform.registry.registry import Registry

SHOWN = 12
"""Of a list that may be long; the rest is counted."""

PLURALS = {
    "dataset": "data sets",
    "scene": "scenes",
    "radio-map": "radio maps",
    "collection": "collections",
    "model": "models",
    "report": "reports",
}
_HUB_LICENCES = {
    "Apache-2.0": "apache-2.0",
    "BSD-3-Clause": "bsd-3-clause",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC0-1.0": "cc0-1.0",
    "MIT": "mit",
    "ODbL-1.0": "odbl",
}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ._/+-]*[A-Za-z0-9]")
_NOT_A_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "none", "inf", "nan"}


def card(registry: Registry, ref: str) -> str:
    """The card of an artifact: a model's, or a data set's for every other kind.

    Parameters
    ----------
    registry : Registry
    ref : str

    Returns
    -------
    str
        Markdown, with YAML front matter.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    artifact = registry.get(ref)
    lineage = _lineage(registry, artifact)
    scores = scores_of(registry, artifact)
    front = _front(artifact, lineage, scores)
    parts = (
        f"---\n{yaml(front)}---\n",
        f"# {artifact.title or artifact.name}\n",
        _summary(artifact),
        _section("What it holds", [artifact.schema] if artifact.schema else []),
        _section("Where it comes from", _origin(artifact, lineage)),
        _section(
            "Training" if artifact.kind == "model" else "Configuration", _table(artifact.config)
        ),
        _section("Architecture", _table(artifact.facts.get("architecture", {}))),
        _section("Inputs", _table(artifact.facts.get("inputs", {}))),
        _section("Scores", score_table(scores)),
        _section("Facts", _table(_plain_facts(artifact.facts))),
        _section("Limits", _limits(artifact)),
        _section("Files", _files(artifact)),
        _section("Licence", _licence(artifact, lineage)),
        _section("Citation", _citations(artifact, lineage)),
    )
    return "\n".join(part for part in parts if part)


# ----------------------------------------------------------------------------------------------
# Of the registry
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lineage:
    """What an artifact was made from: its parents, how many of each kind in all, the data sets."""

    parents: Sequence[Entry]
    kinds: Mapping[str, int]
    datasets: Sequence[Artifact]


def _lineage(registry: Registry, artifact: Artifact) -> _Lineage:
    parents = registry.parents(artifact.ref)
    made_from = registry.ancestors(artifact.ref)
    kinds: Counter[str] = Counter(other.kind for other in made_from)
    datasets = sorted((o for o in made_from if o.kind == "dataset"), key=lambda o: o.ref)
    return _Lineage(parents, kinds, datasets)


def scores_of(registry: Registry, artifact: Artifact) -> list[dict[str, Any]]:
    """The scores of an artifact: its own, and those of reports that it was made from or is in.

    Each has the form of a benchmark's row: "metric", "value", "baseline", "baseline_value".
    """
    near = [*registry.parents(artifact.ref), *registry.children(artifact.ref, "report")]
    reports = sorted({entry.ref for entry in near if entry.kind == "report"})
    scores: list[dict[str, Any]] = []
    for source in (artifact, *(registry.get(ref) for ref in reports)):
        rows = source.facts.get("metrics", [])
        scores += [dict(row) for row in rows if isinstance(row, dict) and row.get("metric")]
    return scores


# ----------------------------------------------------------------------------------------------
# The front matter
# ----------------------------------------------------------------------------------------------


def _front(
    artifact: Artifact, lineage: _Lineage, scores: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    hub = _HUB_LICENCES.get(artifact.licence)
    front: dict[str, Any] = {"license": hub or "other"}
    if artifact.licence and not hub:
        front["license_name"] = artifact.licence
    tags = ["rfplatform", artifact.kind]
    if artifact.kind != "model":
        return {**front, "pretty_name": artifact.title or artifact.name, "tags": tags}
    front |= {"library_name": "rfplatform", "tags": [*tags, *_named(artifact.facts.get("type"))]}
    if lineage.datasets:
        front["datasets"] = sorted({dataset.name for dataset in lineage.datasets})[: 4 * SHOWN]
    results = list(_results(artifact, scores))
    if results:
        front["model-index"] = [{"name": artifact.name, "results": results}]
    return front


def _named(value: object) -> list[str]:
    return [value] if isinstance(value, str) and value else []


def _results(artifact: Artifact, scores: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A result for each data set, with its metrics; a baseline is a metric of its own."""
    by_set: dict[str, list[dict[str, Any]]] = {}
    for score in scores:
        where = " ".join(str(score[key]) for key in ("benchmark", "case") if score.get(key))
        metrics = by_set.setdefault(where or "held out", [])
        unit = f" ({score['unit']})" if score.get("unit") else ""
        for name, key in (("", "value"), (f"baseline {score.get('baseline')}: ", "baseline_value")):
            if score.get(key) is not None:
                metric = f"{name}{score['metric']}{unit}"
                metrics.append({"type": _slug(metric), "value": score[key], "name": metric})
    task = str(artifact.facts.get("task", "radio-map-prediction"))
    for where, metrics in by_set.items():
        if metrics:
            yield {
                "task": {"type": task},
                "dataset": {"name": where, "type": _slug(where)},
                "metrics": metrics,
            }


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def yaml(value: Mapping[str, Any]) -> str:
    """Write tables, lists and scalars as YAML, in the order given."""
    return "".join(f"{line}\n" for line in _yaml_lines(value))


def _yaml_lines(value: object) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            key, lines = _yaml_scalar(name), list(_yaml_lines(inner))
            if isinstance(inner, Mapping) and inner:
                yield f"{key}:"
                yield from (f"  {line}" for line in lines)
            elif isinstance(inner, list) and inner:
                yield f"{key}:"
                yield from lines
            else:
                yield f"{key}: {lines[0]}"
    elif isinstance(value, list) and value:
        for item in value:
            first, *rest = _yaml_lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _yaml_scalar(value)


def _yaml_scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_A_TEXT:
        return value
    text = json.dumps(value, ensure_ascii=False)
    # YAML 1.1 takes 1e-09 for a text.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


# ----------------------------------------------------------------------------------------------
# The page
# ----------------------------------------------------------------------------------------------


def _summary(artifact: Artifact) -> str:
    facts = artifact.facts
    told = ""
    if artifact.kind == "model" and isinstance(facts.get("parameters"), int):
        size = f"{facts.get('weights_bytes', artifact.size_bytes) / 1e6:,.2f} MB"
        told = f" {facts.get('type', 'a model')}, {facts['parameters']:,} parameters ({size})."
    return f"`{artifact.ref}`, {artifact.kind}, made {artifact.created[:10]}.{told}\n"


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines) + "\n" if lines else ""


def _origin(artifact: Artifact, lineage: _Lineage) -> list[str]:
    lines = [str(artifact.facts["made"])] if artifact.facts.get("made") else []
    lines += [str(artifact.facts["homepage"])] if artifact.facts.get("homepage") else []
    if not lineage.parents:
        return lines
    kinds = [
        f"{count:,} {PLURALS[kind] if count > 1 else PLURALS[kind][:-1]}"
        for kind, count in sorted(lineage.kinds.items())
    ]
    rests = f"In all, it rests on {_listed(kinds)}. " if kinds else ""
    lines += ["", f"{rests}Made directly from:", ""]
    refs = sorted(entry.ref for entry in lineage.parents)
    lines += [f"- `{ref}`" for ref in refs[:SHOWN]]
    lines += [f"- and {len(refs) - SHOWN:,} more"] if len(refs) > SHOWN else []
    return lines if lines[0] else lines[1:]


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _table(values: object) -> list[str]:
    rows = flat(values) if isinstance(values, Mapping) else {}
    if not rows:
        return []
    cells = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return ["| | |", "|---|---|", *cells]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as "outer.inner" and text; long lists are counted, what is empty left out."""
    rows: dict[str, str] = {}
    for name, value in sorted(values.items()):
        if isinstance(value, Mapping):
            rows |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            short = len(value) <= SHOWN and not any(isinstance(v, dict | list) for v in value)
            text = ", ".join(map(_text, value)) if short else f"{len(value):,} entries"
            rows |= {f"{prefix}{name}": text} if value else {}
        elif value is not None and value != "":
            rows[f"{prefix}{name}"] = _text(value)
    return rows


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def score_table(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows of Markdown: every score with its baseline beside it."""
    if not scores:
        return []
    rows = ["| on | metric | score | baseline | | better |", "|---|---|---:|---:|---|---|"]
    for score in scores:
        where = " ".join(str(score[key]) for key in ("benchmark", "case") if score.get(key))
        unit = f" [{score['unit']}]" if score.get("unit") else ""
        cells = (
            where,
            f"{score['metric']}{unit}",
            _number(score.get("value")),
            _number(score.get("baseline_value")),
            score.get("baseline") or "",
            score.get("better") or "",
        )
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return rows


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "none"


def _plain_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    told = ("made", "homepage", "metrics", "limits", "warnings", "architecture", "inputs", "jobs")
    return {name: value for name, value in facts.items() if name not in told}


def _limits(artifact: Artifact) -> list[str]:
    lines: list[object] = []
    for key in ("limits", "warnings"):
        given = artifact.facts.get(key, [])
        lines += given if isinstance(given, list) else [given]
    return [f"- {_cell(line)}" for line in lines]


def _files(artifact: Artifact) -> list[str]:
    rows = ["| file | bytes | SHA-256 |", "|---|---:|---|"]
    rows += [f"| `{f.path}` | {f.size_bytes:,} | `{f.sha256}` |" for f in artifact.files]
    return rows if artifact.files else []


def _licence(artifact: Artifact, lineage: _Lineage) -> list[str]:
    lines = [f"{artifact.licence or 'Not stated'}."]
    others = sorted({d.licence for d in lineage.datasets if d.licence} - {artifact.licence})
    if others:
        lines += ["", f"It was made from data under {_listed(others)}."]
    return lines


def _citations(artifact: Artifact, lineage: _Lineage) -> list[str]:
    own = [artifact.citation] if artifact.citation else []
    attribution = artifact.facts.get("attribution")
    others = {d.citation for d in lineage.datasets if d.citation} | set(_named(attribution))
    texts = [*own, *sorted(others - set(own))]
    more = len(texts) - 2 * SHOWN
    lines = [f"- {_cell(text)}" for text in texts[: 2 * SHOWN]]
    return [*lines, f"- and {more:,} more"] if more > 0 else lines
