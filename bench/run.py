#!/usr/bin/env python3
"""Measures the tool: against other ways to do it, as tables grow, and before tables that say no. See README.md next to this file.

Only the standard library is used here; what the contenders need, `tools/install bench` has installed.
"""

import argparse
import datetime
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from measuring import ROOT, TIMEOUT_SECONDS, BenchError, cores, number, table
from parts import PARTS
from parts.contenders import CONTENDERS, FOLDER, PYTHON, missing

WORK = ROOT / "target/bench"
RESULTS = ROOT / "bench/RESULTS.md"
RAW = "measurements.jsonl"
# What follows this line in the results is written by hand and kept.
NOTES = "## Where the time goes"
# A trial has so much less of everything.
TRIAL = 50


class Bench:
    """What the parts measure for: how much, and where it goes."""

    def __init__(self, args, folder, raw):
        self.trial = args.trial
        self.only = args.only
        self.large = args.large
        self.rounds = 1 if args.trial else args.rounds
        self.folder = folder
        self.raw = raw
        self.part = None
        self.records = []

    def turns(self, most=None):
        return range(1, min(self.rounds, most or self.rounds) + 1)

    def scaled(self, count):
        return max(count // TRIAL, 1) if self.trial else count

    def file(self, name):
        return self.folder / name

    def write(self, record):
        self.raw.write(json.dumps(record) + "\n")
        self.records.append(record)

    def keep(self, record, turn):
        """Keeps a measurement of the part that is measured, and says it."""
        record = {"part": self.part, "round": turn, **record}
        self.write(record)
        what = [f"{self.part} {turn}:"]
        shown = ("client", "items", "latency_ms", "tls", "item_size", "segments", "at_once", "in_file", "seeds")
        what += [f"{field} {record[field]}" for field in shown if record.get(field) not in (None, False)]
        if "cpu_seconds" in record:
            what.append(
                f"{number(record['cpu_seconds'])} CPU s, {number(record['wall_seconds'])} s, "
                f"{number(record['peak_bytes'] / 1e6)} MB ({record['busy_before']:.1f} cores busy before)"
            )
        print(*what, flush=True)


def of_part(records, part):
    return [record for record in records if record["part"] == part]


def is_trial(records):
    return any(record["trial"] for record in of_part(records, "about"))


def report(records):
    """The results, made of the records alone."""
    measured = [(module, of_part(records, name)) for name, module in PARTS.items() if of_part(records, name)]
    rows = [row for module, of_it in measured for row in module.goals(of_it)]
    sections = [section for module, of_it in measured for section in module.section(of_it)]
    parts = [
        "# Results",
        "Written by `make bench` ([how it measures](README.md)); everything from "
        f'"{NOTES.removeprefix("## ")}" on by hand.',
        "\n".join(f"- {line}" for line in dict.fromkeys(about(records))),
        "If something was measured in several rounds, in each of which every client had its turn, its median is given.",
    ]
    if is_trial(records):
        parts.append("**A trial of so few items that its figures say nothing.**")
    if rows:
        parts += ["## Goals", table(("goal", "wanted", "measured", ""), rows)]
    return "\n\n".join(parts + sections) + "\n"


def about(records):
    """What the results were measured with, by the records that say so."""
    for record in of_part(records, "about"):
        yield from record["lines"]
    took = ", ".join(f"{record['of']} {record['seconds']:.0f}" for record in of_part(records, "finished"))
    if took:
        yield f"seconds that the parts took: {took}"
    busy = [record["busy_before"] for record in records if "busy_before" in record]
    if busy:
        yield f"in the second before each measurement, others kept {statistics.median(busy):.1f} cores busy (median)"


def first_line(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.partition("\n")[0]


def machine():
    """What the results are worth nothing without, a line each."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal: *([0-9]+) kB", Path("/proc/meminfo").read_text())
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    crates = {package["name"]: package["version"] for package in lock["package"]}
    node_sdk = json.loads((FOLDER / "node_modules/@aws-sdk/client-dynamodb/package.json").read_text())
    commit = first_line("git", "rev-parse", "--short", "HEAD")
    if first_line("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/RESULTS.md"):
        commit += " with changes"
    return [
        f"{datetime.date.today()}, commit {commit}",
        f"{len(cores())} of {os.cpu_count()} cores of a {platform.system()} machine, "
        f"{model[1] if model else platform.machine()}, {int(memory[1]) / 1024**2:.0f} GiB, "
        f"kernel {re.match(r'[0-9.]+', platform.release())[0]}; client and database share them",
        f"Python {first_line(PYTHON, '--version').split()[1]}, "
        f"boto3 {first_line(PYTHON, '-c', 'import boto3; print(boto3.__version__)')}, "
        f"Node.js {first_line('node', '--version').removeprefix('v')}, AWS SDK for JavaScript {node_sdk['version']}, "
        f"Rust {first_line('rustc', '--version').split()[1]}, aws-sdk-dynamodb {crates['aws-sdk-dynamodb']}, "
        f"database dynoxide {crates['dynoxide-rs']}",
    ]


def parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", metavar="NAMES", help=f"parts to measure, of {','.join(PARTS)} [all]")
    parser.add_argument("--only", metavar="KEYS", help="contenders to measure, such as e,f,bare [all]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each client [%(default)s]")
    parser.add_argument(
        "--trial", action="store_true", help=f"a {TRIAL}th of everything, and one round: whether it runs through"
    )
    parser.add_argument("--large", action="store_true", help="also sandboxes of two million items, ten minutes more")
    parser.add_argument(
        "--again",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="measure nothing: results of what earlier benchmarks have left in their folders; each part by the last that has it",
    )
    parser.add_argument("--out", type=Path, help="where the results go [bench/RESULTS.md; of less than the whole target/bench/part.md]")
    return parser


def arguments():
    asked = parser()
    args = asked.parse_args()

    def chosen(flag, value, there):
        names = value.split(",") if value else list(there)
        if unknown := set(names) - set(there):
            asked.error(f"{flag}: there is no {', '.join(sorted(unknown))} (there are {', '.join(there)})")
        return names

    args.parts = chosen("--parts", args.parts, PARTS)
    args.only = chosen("--only", args.only, [client.key for client in CONTENDERS])
    if args.rounds < 1:
        asked.error("--rounds: at least 1")
    is_whole = not args.trial and set(args.parts) == set(PARTS) and len(args.only) == len(CONTENDERS)
    if not (is_whole or args.again or args.out):
        args.out = WORK / "part.md"
    args.out = args.out or RESULTS
    return args


def measured(args):
    """Measures what is asked for. Returns the records."""
    if why := missing():
        raise BenchError(why)
    folder = WORK / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    print(f"raw figures and logs go to {folder.relative_to(ROOT)}", flush=True)
    with open(folder / RAW, "w", buffering=1) as raw:
        bench = Bench(args, folder, raw)
        bench.write({"part": "about", "trial": args.trial, "lines": machine()})
        for bench.part in args.parts:
            begin = time.monotonic()
            PARTS[bench.part].measure(bench)
            seconds = time.monotonic() - begin
            bench.write({"part": "finished", "of": bench.part, "seconds": seconds})
            print(f"{bench.part}: {seconds:.0f} s in all", flush=True)
    return bench.records


def kept(folders):
    """What earlier benchmarks have kept: of each part the last that was finished."""
    kept, done = [], set()
    for folder in reversed(folders):
        records = [json.loads(line) for line in (folder / RAW).read_text().splitlines()]
        parts = {record["of"] for record in of_part(records, "finished")} - done
        if parts:
            done |= parts
            kept = [r for r in records if r["part"] == "about" or r.get("of", r["part"]) in parts] + kept
    return kept


def not_whole(records):
    """Why the results are not those of the whole benchmark; None if they are."""
    if is_trial(records):
        return "a trial was measured"
    there = {record["of"] for record in of_part(records, "finished")}
    there |= {record["client"] for record in of_part(records, "contenders")}
    lacking = {*PARTS, *(client.key for client in CONTENDERS)} - there
    return f"{', '.join(sorted(lacking))} was not measured" if lacking else None


def main():
    args = arguments()
    # A terminated benchmark stops what it has started, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    records = kept(args.again) if args.again else measured(args)
    why = not_whole(records)
    if why and args.out.resolve() == RESULTS:
        raise BenchError(f"bench/RESULTS.md is for the whole benchmark, and {why}: --out names another file")
    text = report(records)
    if args.out.exists():
        _, heading, notes = args.out.read_text().partition(NOTES)
        text += f"\n{heading}{notes}" if heading else ""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(f"results in {args.out}")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except subprocess.TimeoutExpired:
        sys.exit(f"bench: a client was not finished after {TIMEOUT_SECONDS} s")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
