"""The commands of `rfplatform oran`: documents into an index, and questions answered from it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import live
from rfplatform.cli.options import OUTPUT, JsonOption, RegisterOption
from rfplatform.cli.show import duration, fact_table, one_line, show, times

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

SHOWN = 8
"""Names of documents, or warnings, that are listed; more are counted."""
LONGEST_QUOTE = 400
"""Letters of a quote that are shown."""

oran_app = typer.Typer(
    name="oran",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Answers from your own O-RAN specifications, with their sources.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

IndexOption = Annotated[
    Path,
    typer.Option(
        metavar="INDEX",
        help="What [bold]rfplatform oran index[/] wrote.",
        show_default=False,
    ),
]
RetrieverOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="[bold]bm25[/] (words), [bold]dense[/] (meaning) or [bold]fused[/] (both).  "
        "[dim]default: fused where the index has vectors, else bm25[/]",
        show_default=False,
    ),
]
EmbedderOption = Annotated[
    str,
    typer.Option(
        metavar="EMBEDDER",
        help="Where the embedder of the index is, if that is not MiniLM: a folder, or URL#MODEL.",
        show_default=False,
    ),
]
RerankerOption = Annotated[
    str,
    typer.Option(
        "--rerank",
        metavar="RERANKER",
        help="A cross-encoder reads the best passages again: a folder with an ONNX model, or "
        "URL#MODEL.",
        show_default=False,
    ),
]


# ----------------------------------------------------------------------------------------------
# The commands
# ----------------------------------------------------------------------------------------------


@oran_app.command("index")
def index_command(
    out: Annotated[
        Path,
        typer.Option(
            metavar="INDEX",
            help="Folder to write; an index that is there is brought up to date.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ],
    documents: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DOCS...",
            help="Files, or folders with them: pdf, docx, html, md, rst, txt, yang, asn1, jsonl.",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="Of the documents that state none.")
    ] = "",
    dense: Annotated[
        str | None,
        typer.Option(
            metavar="EMBEDDER",
            help="Vectors as well: [bold]minilm[/], a folder with an ONNX model, or URL#MODEL; "
            "[bold]none[/] drops them.",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Take this document out; may be repeated."),
    ] = None,
    only: Annotated[
        bool,
        typer.Option("--only", help="Take out what is not among DOCS, as files that are gone."),
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out what can't be read, and index the others."),
    ] = False,
    register: RegisterOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read documents, and make an index of them that can be searched and asked.

    What has not changed since is not read again. A document that can't be read is told, and
    nothing is written, unless --skip-bad is given.
    """
    from pipelines.oran.index import Config, UnreadableError, main

    config = Config(
        tuple(documents or ()),
        out,
        licence=licence,
        dense=dense,
        remove=tuple(remove or ()),
        only=only,
        skip_bad=skip_bad,
        register=register,
    )
    try:
        with live() as (_, report):
            record = main(config, report=report)
    except UnreadableError as error:
        for fault in error.faults:
            sys.stderr.write(f"✗ {one_line(fault)}\n")
        raise
    show(record, _index_summary, as_json=as_json)


@oran_app.command("ask")
def ask_command(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="In any words.", show_default=False)
    ],
    index: IndexOption,
    model: Annotated[
        str,
        typer.Option(
            metavar="PROVIDER/NAME",
            help="Such as [bold]ollama/qwen3[/], [bold]openai/gpt-5.2[/] or "
            "[bold]openai-api/local/NAME[/].",
            show_default=False,
        ),
    ],
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Of the model's server, where it is not the usual one."),
    ] = None,
    top_k: Annotated[int, typer.Option(metavar="N", help="Passages that the model is shown.")] = 5,
    retriever: RetrieverOption = "",
    embedder: EmbedderOption = "",
    reranker: RerankerOption = "",
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="Ask the model even where the passages look irrelevant."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from an index, with the passages that the answer rests on.

    "Not in the documents" is an answer too: the exit code is 0.
    """
    from pipelines.oran.ask import Config, main

    config = Config(
        question,
        index,
        model,
        base_url=base_url,
        top_k=top_k,
        retriever=retriever,
        embedder=embedder,
        reranker=reranker,
        anyway=anyway,
    )
    with live() as (_, report):
        record = main(config, report=report)
    show(record, _answer_summary, as_json=as_json)


@oran_app.command("search")
def search_command(
    words: Annotated[
        str, typer.Argument(metavar="WORDS", help="In any order.", show_default=False)
    ],
    index: IndexOption,
    top_k: Annotated[int, typer.Option(metavar="N", help="Passages to show.")] = 10,
    retriever: RetrieverOption = "",
    embedder: EmbedderOption = "",
    reranker: RerankerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Find passages, without any language model."""
    from pipelines.oran.search import Config, main

    config = Config(
        words, index, top_k=top_k, retriever=retriever, embedder=embedder, reranker=reranker
    )
    with live() as (_, report):
        record = main(config, report=report)
    show(record, _search_summary, as_json=as_json)


# ----------------------------------------------------------------------------------------------
# When it is done
# ----------------------------------------------------------------------------------------------


def _index_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.rule import Rule
    from rich.text import Text

    rows: list[tuple[str, RenderableType]] = [
        ("Documents", Text(f"{record['documents']:,}, in {record['chunks']:,} passages")),
    ]
    for name, key in (
        ("Added", "added"),
        ("Changed", "changed"),
        ("Removed", "removed"),
        ("Left out", "skipped"),
    ):
        if record[key]:
            rows.append((name, _some(record[key])))
    if not (record["added"] or record["changed"] or record["removed"]):
        rows.append(("Changed", Text("nothing")))
    if record["dense"]:
        rows.append(("Vectors", Text(record["dense"])))
    rows += [("Time", times(record["stages_s"])), ("Written", Text(f"{record['out']}/"))]
    if record.get("registered"):
        rows.append(("", Text(f"in the registry as {record['registered']}")))
    title = Rule(Text(Path(record["out"]).name, style="bold cyan"), align="left", style="cyan")
    return Group(title, fact_table(rows), *_warnings(record), Text())


def _some(names: Sequence[str]) -> Text:
    from rich.text import Text

    if len(names) <= SHOWN:
        return Text("\n".join(names), overflow="fold")
    text = Text(f"{len(names):,} documents", overflow="fold")
    return text.append(f"\n{names[0]} to {names[-1]}", style="dim")


def _answer_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.rule import Rule
    from rich.text import Text

    title = Rule(Text(record["question"], style="bold cyan"), align="left", style="cyan")
    parts: list[RenderableType] = [title, Text()]
    if record["found"]:
        parts += [_with_marks(record["text"]), Text(), Text("Sources", style="bold")]
        parts.append(_sources(record["citations"]))
    else:
        parts += [Text("Not in the documents", style="bold yellow"), Text(_why_not(record))]
        if record["hits"]:
            parts += [Text(), Text("Nearest passages", style="bold"), _sources(record["hits"][:3])]
    tokens, calls = record["tokens"], record["calls"]
    told = [record["model"], f"{len(record['hits'])} passages, relevance {record['relevance']:.2f}"]
    if calls:
        told.append(f"{tokens['in']:,} + {tokens['out']:,} tokens" if tokens["in"] else "")
        told.append("asked twice" if calls > 1 else "")
    told.append(_seconds(record["seconds"]))
    footer = Text(" · ".join(part for part in told if part), style="dim")
    return Group(*parts, *_warnings(record), Text(), footer)


def _why_not(record: Mapping[str, Any]) -> str:
    if record["outcome"] == "denied":
        return "The model found no answer in the passages."
    if record["outcome"] == "ungrounded":
        return (
            "The model's reply rests on no passage: no quote in it stands in one. It is not shown "
            "(--json has it)."
        )
    if not record["hits"]:
        return "No passage holds any of its words; no model was asked."
    return (
        f"The best passage holds {record['relevance']:.0%} of what the question is about, and "
        f"{record['least_relevance']:.0%} is the least; no model was asked (--anyway asks it)."
    )


def _with_marks(text: str) -> Text:
    """An answer with its [n] marks in colour; a document's words are never markup."""
    from rich.text import Text

    shown = Text(text, overflow="fold")
    for mark in re.finditer(r"\[\d+\]", text):
        shown.stylize("bold cyan", *mark.span())
    return shown


def _sources(passages: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A passage each: its number, where it stands, and its quotes or a snippet."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for one in passages:
        lines: list[RenderableType] = [_place(one)]
        lines += [
            Text(f"“{_cut(quote['text'])}”", style="italic", overflow="fold")
            for quote in one.get("quotes", ())
        ]
        if "quotes" in one and not one["quotes"]:
            lines.append(Text("named without a quote", style="dim"))
        if "snippet" in one:
            lines.append(_snippet(one))
        table.add_row(f"[{one['number']}]", Group(*lines))
    return table


def _place(one: Mapping[str, Any]) -> Text:
    """Document and version; below, section, page, licence and score."""
    from rich.text import Text

    text = Text(overflow="fold")
    text.append(" ".join(part for part in (one["document"], one["version"]) if part), style="bold")
    page = "" if one["page"] is None else f"page {one['page']}"
    score = f"score {one['score']:.3g}" if "score" in one else ""
    told = " · ".join(part for part in (one["section"], page, one["licence"], score) if part)
    return text.append(f"\n{told}", style="cyan") if told else text


def _snippet(one: Mapping[str, Any]) -> Text:
    from rich.text import Text

    text = Text(one["snippet"]["text"], style="dim", overflow="fold")
    for begin, end in one["snippet"]["marks"]:
        text.stylize("not dim bold", begin, end)
    return text


def _search_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.rule import Rule
    from rich.text import Text

    title = Rule(Text(record["query"], style="bold cyan"), align="left", style="cyan")
    parts: list[RenderableType] = [title]
    if record["expansions"]:
        parts.append(Text(f"also: {', '.join(record['expansions'])}", style="dim"))
    parts.append(_sources(record["hits"]) if record["hits"] else Text("nothing found"))
    told = f"{record['retriever']} · {record['chunks']:,} passages · {_seconds(record['seconds'])}"
    return Group(*parts, *_warnings(record), Text(), Text(told, style="dim"))


def _warnings(record: Mapping[str, Any]) -> list[RenderableType]:
    from rich.text import Text

    warnings = record["warnings"]
    if not warnings:
        return []
    lines = [Text(f"! {text}", style="yellow", overflow="fold") for text in warnings[:SHOWN]]
    if len(warnings) > SHOWN:
        lines.append(Text(f"and {len(warnings) - SHOWN:,} more (--json has them)", style="dim"))
    return [Text(), *lines]


def _cut(quote: str) -> str:
    """A quote whose middle is left out where it is long; --json has all of it."""
    if len(quote) <= LONGEST_QUOTE:
        return quote
    half = LONGEST_QUOTE // 2
    return f"{quote[:half].rsplit(' ', 1)[0]} … {quote[-half:].split(' ', 1)[-1]}"


def _seconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms" if seconds < 1 else duration(seconds)
