"""What (f) does on the stub as the table grows and as it is cut into more segments: CPU, memory, requests, ramp and tail."""

import statistics

from measuring import OURS, Stub, goal, measure as measure_one, number, table

LATENCY_MS = 5
# Items, segments and how many of them at once; None as planned.
CASES = [
    (100_000, None, None),
    (1_000_000, None, None),
    (10_000_000, None, None),
    (1_000_000, 64, 8),
    (1_000_000, 64, 64),
    (100_000, 1_000, 64),
    (100_000, 10_000, 64),
]
# A run of fewer tenths of a second has no middle.
LEAST_TENTHS = 20


def measure(bench):
    # Once each: what grows, grows tenfold.
    for items, segments, at_once in CASES:
        items, segments = bench.scaled(items), segments and max(bench.scaled(segments), at_once)
        client = OURS.with_flags("--segments", segments, "--concurrency", at_once) if segments else OURS
        name = bench.file(f"growth-{items}-{segments}-{at_once}")
        with Stub(items, name.with_suffix(".stub.log"), LATENCY_MS) as stub:
            record = measure_one(client, stub, name)
            report = stub.report()
        ramp, tail = ramp_and_tail(report["seconds"])
        more = {"segments": segments, "at_once": at_once, "requests": report["requests"], "ramp": ramp, "tail": tail}
        bench.keep({**record, **more}, 1)


def ramp_and_tail(seconds):
    """Seconds from the first request to 90 % of the middle rate, and the part of the time that the last 5 % of the writes take.
    None of a run that is too short."""
    tenths = [units for second in seconds for units in second["wcu_by_tenth"]]
    while tenths and not tenths[-1]:
        tenths.pop()
    if len(tenths) < LEAST_TENTHS:
        return None, None
    middle = statistics.median(units for units in tenths if units)
    reached = next(n for n, units in enumerate(tenths) if units >= 0.9 * middle)
    written, most, last = 0, sum(tenths), 0
    for units in tenths:
        written += units
        last += written > 0.95 * most
    return reached / 10, last / len(tenths)


def cpu_ms_a_segment(record):
    return record["cpu_seconds"] * 1000 / record["segments"]


def requests_a_segment(record):
    return record["requests"] / record["segments"]


def goals(records):
    rows = []
    largest = max(records, key=lambda record: record["items"])
    if largest["ramp"] is not None:
        what = f"{largest['items']:,} items on the stub at {LATENCY_MS} ms"
        ramp, tail = largest["ramp"], largest["tail"]
        rows.append(goal(f"90 % of the rate of {what}", "within 1 s", f"{ramp:.1f} s", ramp <= 1))
        rows.append(goal(f"last 5 % of {what}", "at most 8 % of the time", f"{tail * 100:.0f} %", tail <= 0.08))
    peak = max(record["peak_bytes"] for record in records) / 1e6
    rows.append(goal("memory of (f) on the stub, at most 64 segments at once", "at most 64 MB", f"{number(peak)} MB", peak <= 64))
    by_at_once = {record["at_once"]: record["wall_seconds"] for record in records if record["items"] == records[1]["items"]}
    ratio = by_at_once[8] / by_at_once[64]
    rows.append(goal("rate at 64 segments at once to that at 8", "at least as much", f"{number(ratio)} times", ratio >= 1))
    most = max((record for record in records if record["segments"]), key=lambda record: record["segments"])
    of = f"{most['segments']:,} segments"
    cpu, requests = cpu_ms_a_segment(most), requests_a_segment(most)
    rows.append(goal(f"client CPU a segment, {of}", "at most 1 ms", f"{number(cpu)} ms", cpu <= 1))
    rows.append(goal(f"requests a segment, {of}", "at most 5", number(requests), requests <= 5))
    return rows


def section(records):
    rows = [
        (
            f"{record['items']:,}",
            f"{record['segments']:,}, {record['at_once']} at once" if record["segments"] else "as planned",
            number(record["cpu_seconds"] * 100_000 / record["items"]),
            number(cpu_ms_a_segment(record)) if record["segments"] else "",
            number(requests_a_segment(record)) if record["segments"] else "",
            f"{record['items'] / record['wall_seconds']:,.0f}",
            number(record["peak_bytes"] / 1e6),
            f"{record['ramp']:.1f}" if record["ramp"] is not None else "",
            f"{record['tail'] * 100:.0f} %" if record["tail"] is not None else "",
        )
        for record in records
    ]
    header = (
        "items",
        "segments",
        "client CPU s per 100,000",
        "client CPU ms a segment",
        "requests a segment",
        "items/s",
        "peak MB",
        "s to 90 % of the rate",
        "time of the last 5 %",
    )
    return [
        "## Growth on the stub",
        f"`backfill run`, {LATENCY_MS} ms a request, once each. CPU and requests a segment are all of a run, divided by its segments. "
        "The rate that is reached is the median of the tenths of a second in which something was written; both times are counted from the "
        f"first request to the last write, and said of a run of {LEAST_TENTHS / 10:.0f} s or more.",
        table(header, rows),
    ]
