"""What a value that is computed from its item costs on the stub, beside one that is the same for all, and beside a script that computes
it without a guard."""

from measuring import BINARIES, ROOT, WHERE, Client, Stub, at_most, goal, grouped, measure as measure_one, number, table
from parts.contenders import PYTHON

LATENCY_MS = 5
ITEMS, SCRIPT_ITEMS = 300_000, 20_000
# Bytes of an item: of what is not asked for, none is to be read.
ITEM_SIZE, LARGE = 300, 3_000
TEMPLATE = "${tenant}#${status|lower}"

RUN = (BINARIES / "backfill", "run", "--yes", "--table", "stuff", "--json", *WHERE)
SET = Client("set", "`backfill run --set test=1`", (*RUN, "--set", "test=1"))
COMPUTE = Client("compute", f"`backfill run --compute 'test={TEMPLATE}'`", (*RUN, "--compute", f"test={TEMPLATE}"))
SCRIPT = Client(
    "script",
    "boto3, 8 threads, the same value unguarded",
    (PYTHON, ROOT / "bench/contenders/scan_then_compute.py"),
    (("SEGMENTS", "8"),),
)
# Client, bytes of an item, and how many segments, all of them at once; None as planned.
CASES = [
    (SET, ITEM_SIZE, None),
    (COMPUTE, ITEM_SIZE, None),
    (SET, ITEM_SIZE, 64),
    (COMPUTE, ITEM_SIZE, 64),
    (COMPUTE, LARGE, None),
    (SCRIPT, ITEM_SIZE, None),
]


def measure(bench):
    for turn in bench.turns():
        for client, item_size, at_once in CASES:
            items = bench.scaled(SCRIPT_ITEMS if client is SCRIPT else ITEMS)
            flags = ["--item-size", item_size]
            if client is not SET:
                flags += ["--computed", TEMPLATE]
            asked = client.with_flags("--segments", at_once, "--concurrency", at_once) if at_once else client
            name = bench.file(f"computed-{client.key}-{item_size}-{at_once}-{turn}")
            with Stub(items, name.with_suffix(".stub.log"), LATENCY_MS, more=flags) as stub:
                record = measure_one(asked, stub, name)
                answered = stub.report()["answered_bytes"]
            more = {"item_size": item_size, "at_once": at_once, "answered_bytes": answered}
            bench.keep({**record, **more}, turn)


def by_case(records):
    return grouped(records, "client", "item_size", "at_once")


def goals(records):
    series, rows = by_case(records), []
    for at_once in (None, 64):
        computed, same = (series[client.key, ITEM_SIZE, at_once] for client in (COMPUTE, SET))
        where = f"{at_once} segments at once" if at_once else "segments as planned"
        what = f"client CPU of a computed value to that of the same for all, {where}"
        rows.append(at_most(what, 2, computed.cpu() / same.cpu()))
    peak = max(series[COMPUTE.key, ITEM_SIZE, 64].records, key=lambda record: record["peak_bytes"])["peak_bytes"] / 1e6
    rows.append(goal("memory of a run that computes, 64 segments at once", "at most 64 MB", f"{number(peak)} MB", peak <= 64))
    large, small = (series[COMPUTE.key, size, None].median("answered_bytes") for size in (LARGE, ITEM_SIZE))
    rows.append(at_most(f"bytes read of items of {LARGE:,} bytes to those of items of {ITEM_SIZE}", 1.1, large / small))
    return rows


def section(records):
    series = by_case(records)
    titles = {client.key: client.title for client, _, _ in CASES}
    rows = []
    for (key, item_size, at_once), s in series.items():
        same = series.get((SET.key, ITEM_SIZE, at_once))
        rows.append(
            (
                titles[key],
                f"{s.items:,}",
                f"{item_size:,}",
                f"{at_once}, all at once" if at_once else "" if key == SCRIPT.key else "as planned",
                number(s.cpu()),
                s.cpu_range(),
                number(s.cpu() / same.cpu()) if same and key != SET.key else "",
                f"{s.rate():,.0f}",
                s.peak_mb(),
                f"{s.median('answered_bytes', 1):,.0f}",
            )
        )
    header = (
        "client",
        "items",
        "bytes of an item",
        "segments",
        "client CPU s per 100,000",
        "lowest to highest",
        "times the same for all",
        "items/s",
        "peak MB",
        "bytes answered an item",
    )
    return [
        "## Computed values",
        f"On the stub, {LATENCY_MS} ms a request. A value is computed from two attributes of its item, and every write says that both still are "
        "what they were when they were read; the verification reads them once more and computes every value again. The stub refuses any other "
        "value. The script reads once, and asks for nothing that would hold a write back.",
        table(header, rows),
    ]
