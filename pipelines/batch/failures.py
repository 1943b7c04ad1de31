"""What a batch gave up, with its last words: in the store, until it is tried again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from rfplatform.registry.store import Store

PLACE, TABLE = "failures", "failures.csv"


@dataclass(frozen=True)
class Failure:
    """A piece of work that was given up.

    Attributes
    ----------
    job : str
        The job it belongs to; several, with commas between, where they share it.
    what : str
        "maps/monaco 12,30"; "job" where its inputs could not be had.
    attempts : int
    last_words : str
    failed : str
        When; ISO 8601, UTC.
    key : str
        Of the work.
    """

    job: str
    what: str
    attempts: int
    last_words: str
    failed: str
    key: str


def failure(job: str, what: str, attempts: int, last_words: str, key: str) -> Failure:
    """One that happened now."""
    return Failure(
        job, what, attempts, last_words, datetime.now(UTC).isoformat(timespec="seconds"), key
    )


def _place(key: str) -> str:
    return f"{PLACE}/{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def remember(store: Store, failed: Failure) -> None:
    """Keep it until it is forgotten."""
    store.put_object(_place(failed.key), json.dumps(asdict(failed), ensure_ascii=False).encode())


def forget(store: Store, key: str) -> None:
    """It is tried again, or was made after all."""
    store.remove(_place(key))


def remembered(store: Store) -> dict[str, Failure]:
    """All failures by their keys."""
    found = {}
    for place in store.objects(PLACE):
        body = store.object_at(place)
        if body is not None:
            one = Failure(**json.loads(body))
            found[one.key] = one
    return found


def write_table(store: Store, failures: list[Failure]) -> None:
    """Write `TABLE`, or remove it where there is nothing to tell."""
    if not failures:
        store.remove(TABLE)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Failure)], lineterminator="\n")
    writer.writeheader()
    for one in sorted(failures, key=lambda f: (f.job, f.what)):
        writer.writerow(asdict(one))
    store.put_object(TABLE, text.getvalue().encode())
