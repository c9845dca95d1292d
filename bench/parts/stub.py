"""What a whole run costs on the stub, by the time that a request takes and over TLS, beside the bare client."""

from measuring import BARE, OURS, Stub, beside_bare, grouped, measure as measure_one, number, table

ITEMS = 300_000
# Milliseconds of a request, and whether over TLS.
STUBS = [(0, False), (5, False), (10, False), (0, True)]


def measure(bench):
    items = bench.scaled(ITEMS)
    for turn in bench.turns():
        for latency_ms, tls in STUBS:
            for client in (OURS, BARE):
                scheme = "tls" if tls else "plain"
                name = bench.file(f"stub-{client.key}-{latency_ms}-{scheme}-{turn}")
                with Stub(items, name.with_suffix(".stub.log"), latency_ms, tls) as stub:
                    record = measure_one(client, stub, name)
                bench.keep({"latency_ms": latency_ms, "tls": tls, **record}, turn)


def title(latency_ms, tls):
    return f"{latency_ms} ms" + (", TLS" if tls else "")


def goals(records):
    series, rows = grouped(records, "latency_ms", "tls", "client"), []
    for latency_ms, tls in STUBS:
        # What is wanted was said of these.
        if latency_ms in (0, 10):
            ours, bare = (series[latency_ms, tls, key] for key in ("f", "bare"))
            rows += beside_bare(f"on the stub at {title(latency_ms, tls)}", ours, bare)
    return rows


def section(records):
    series = grouped(records, "latency_ms", "tls", "client")
    rows = []
    for (latency_ms, tls, key), s in series.items():
        bare = series[latency_ms, tls, "bare"]
        ours = key == OURS.key
        rows.append(
            (
                title(latency_ms, tls),
                (OURS if ours else BARE).title,
                number(s.cpu()),
                s.cpu_range(),
                number(s.cpu() / bare.cpu()) if ours else "",
                number(s.cpu() / bare.cpu("write_cpu_seconds")) if ours else "",
                f"{s.rate():,.0f}",
                s.peak_mb(),
                number(s.median("server_cpu_seconds", 100_000)),
            )
        )
    header = (
        "a request takes",
        "client",
        "client CPU s per 100,000",
        "lowest to highest",
        "times bare",
        "times its writes alone",
        "items/s",
        "peak MB",
        "stub CPU s per 100,000",
    )
    return [
        "## On the stub",
        f"{records[0]['items']:,} items. The stub answers at once, or after the time given, and never throttles here. Both clients read "
        "the keys, write every item with its condition, and count what is pending; everything is that of the whole process. The bare "
        "client has 8 batches in flight, ours as many as it finds good.",
        table(header, rows),
    ]
