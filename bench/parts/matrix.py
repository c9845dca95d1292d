"""How near a run comes to what its table allows: the matrix of the pace, in virtual time."""

import subprocess

from measuring import BINARIES, TIMEOUT_SECONDS, BenchError

SEEDS = 10


def measure(bench):
    # A trial has few cells, by one seed.
    arguments = ["1", "burst 300"] if bench.trial else [str(SEEDS)]
    command = [BINARIES / "examples/matrix", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    bench.file("matrix.md").write_text(done.stdout)
    if done.returncode:
        raise BenchError(f"the matrix failed: {done.stderr}")
    _, worst, kinds = done.stdout.strip().split("\n\n")
    bench.keep({"seeds": int(arguments[0]), "worst": worst, "kinds": kinds}, 1)


def goals(_):
    # They stand in its tables.
    return []


def section(records):
    record = records[-1]
    seeds = f"{record['seeds']} seeds" if record["seeds"] > 1 else "one seed"
    return [
        "## The matrix of the pace",
        f"Tables that say no, in virtual time, each by {seeds}; [pace.md](../docs/design/pace.md#the-matrix) says what the figures are. "
        "Wanted: a ratio of at most 1.15 in the median and 1.3 at worst; at most 2 % throttled; back within 10 s; a live loss of at most "
        "0.1 percentage points.",
        record["kinds"],
        record["worst"],
    ]
