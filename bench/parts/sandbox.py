"""What `backfill sandbox` and `demo` give as their tables grow: items put, pages read, items updated a second."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from measuring import (
    BINARIES,
    OURS,
    REGION,
    TIMEOUT_SECONDS,
    BenchError,
    Client,
    Sandbox,
    busy_cores,
    goal,
    measure as measure_one,
    number,
    run,
    table,
)

# Items, and whether they are kept in a file.
CASES = [(50_000, False), (400_000, False), (400_000, True)]
# They take five minutes each, and are measured only if that is asked for.
LARGE = [(2_000_000, False), (2_000_000, True)]
DEMO_ITEMS = 1_000_000
# As many read at once as there are segments: pages of so many items for some seconds, then whole pages to the end.
SEGMENTS = 8
PAGE_ITEMS = 100
PAGE_SECONDS = 5

WHERE = ("--table", "stuff", "--endpoint-url", "{endpoint}", "--region", REGION)
SEED = Client("seed", "`backfill table seed`", (BINARIES / "backfill", "table", "seed", *WHERE))
DEMO = Client("demo", "`backfill demo`", (BINARIES / "backfill", "demo", "--json"))
DEFINITION = {
    "TableName": "stuff",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "created", "AttributeType": "N"},
    ],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "created", "KeyType": "RANGE"}],
}


def measure(bench):
    for items, in_file in CASES + (LARGE if bench.large else []):
        items = bench.scaled(items)
        name = bench.file(f"sandbox-{items}-{'file' if in_file else 'memory'}")
        file = name.with_suffix(".db") if in_file else None
        try:
            with Sandbox(items, name.with_suffix(".sandbox.log"), file) as sandbox:
                record = measure_sandbox(sandbox, items, name)
        finally:
            for left in name.parent.glob(f"{name.name}.db*"):
                left.unlink()
        bench.keep({"in_file": in_file, **record}, 1)
    items, name = bench.scaled(DEMO_ITEMS), bench.file("demo")
    busy = busy_cores()
    taken, _ = run(DEMO.with_flags("--items", items), None, name)
    bench.keep({"client": "demo", "items": items, "busy_before": busy, **taken}, 1)


def measure_sandbox(sandbox, items, name):
    sandbox.call("CreateTable", DEFINITION)
    before = sandbox.cpu_seconds()
    seeded, _ = run(SEED.with_flags("--items", items), sandbox, name.with_name(f"{name.name}.seed"))
    (pages, _), pages_seconds = read(sandbox, PAGE_ITEMS, PAGE_SECONDS)
    (_, counted), count_seconds = read(sandbox, None, TIMEOUT_SECONDS)
    if counted != items:
        raise BenchError(f"the sandbox was given {items} items, and {counted} were read")
    record = measure_one(OURS, sandbox, name)
    return {
        **record,
        "seed_seconds": seeded["wall_seconds"],
        "pages": pages,
        "pages_seconds": pages_seconds,
        "count_seconds": count_seconds,
        "sandbox_cpu_seconds": sandbox.cpu_seconds() - before,
        "sandbox_peak_bytes": sandbox.peak_bytes(),
    }


def read(sandbox, limit, seconds):
    """Counts what is pending in all segments at once, until their ends or for so long. Returns pages and items, and the seconds."""
    begin = time.monotonic()

    def read_segment(segment):
        request = {
            "TableName": "stuff",
            "Select": "COUNT",
            "ConsistentRead": True,
            "FilterExpression": "attribute_not_exists(test)",
            "Segment": segment,
            "TotalSegments": SEGMENTS,
            **({"Limit": limit} if limit else {}),
        }
        pages = items = 0
        with contextlib.closing(sandbox.connect()) as connection:
            while time.monotonic() - begin < seconds:
                page = sandbox.call("Scan", request, connection)
                pages, items = pages + 1, items + page["Count"]
                if "LastEvaluatedKey" not in page:
                    break
                request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return pages, items

    with ThreadPoolExecutor(SEGMENTS) as readers:
        of_segments = list(readers.map(read_segment, range(SEGMENTS)))
    return tuple(map(sum, zip(*of_segments))), time.monotonic() - begin


def goals(records):
    rows = []
    for record in records:
        if record["client"] == "demo":
            what, most, seconds = f"`backfill demo --items {record['items']}`", 90, record["wall_seconds"]
        elif record["items"] == LARGE[0][0]:
            what, most, seconds = f"{record['items']:,} items in a sandbox in {place(record)}, from seed to proof", 300, to_proof(record)
        else:
            continue
        rows.append(goal(what, f"within {most} s", f"{number(seconds)} s", seconds <= most))
    return rows


def place(record):
    return "a file" if record["in_file"] else "memory"


def to_proof(record):
    """Seconds of seed and run, which ends with its verification."""
    return record["seed_seconds"] + record["wall_seconds"]


def section(records):
    rows = [
        (
            f"{record['items']:,}",
            place(record),
            f"{record['items'] / record['seed_seconds']:,.0f}",
            f"{record['pages'] / record['pages_seconds']:,.0f}",
            f"{record['items'] / record['count_seconds']:,.0f}",
            f"{record['items'] / record['wall_seconds']:,.0f}",
            number(to_proof(record)),
            number(record["sandbox_cpu_seconds"] * 1e6 / record["items"]),
            number(record["sandbox_peak_bytes"] / 1e6),
        )
        for record in records
        if record["client"] != "demo"
    ]
    header = (
        "items",
        "kept in",
        "seeded items/s",
        f"pages/s of {PAGE_ITEMS} items",
        "whole pages' items/s",
        "run's items/s",
        "seed to proof s",
        "sandbox CPU us an item",
        "sandbox peak MB",
    )
    demo = next(record for record in records if record["client"] == "demo")
    return [
        "## The sandbox",
        f"`backfill table seed`; then {SEGMENTS} segments are counted at once, {PAGE_SECONDS} s of pages of {PAGE_ITEMS} items "
        "and all by whole pages; then `backfill run`. CPU is the sandbox's for all of that.",
        table(header, rows),
        f"`backfill demo` with {demo['items']:,} items, four fifths of them pending: {number(demo['wall_seconds'])} s, "
        f"{number(demo['cpu_seconds'])} s of CPU, {number(demo['peak_bytes'] / 1e6)} MB.",
    ]
