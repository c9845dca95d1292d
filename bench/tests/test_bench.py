"""That the page of the benchmark names what there is, and that results are made of what the parts measure."""

import re
import unittest
from pathlib import Path

import run
from measuring import number
from parts import PARTS
from parts.computed import CASES as COMPUTED, ITEMS as COMPUTED_ITEMS, LARGE as LARGE_ITEM
from parts.contenders import CONTENDERS, ITEMS, SLOW, SLOW_ITEMS
from parts.growth import CASES, ramp_and_tail
from parts.sandbox import CASES as SANDBOXES, DEMO_ITEMS, LARGE
from parts.sizes import SIZES
from parts.stub import ITEMS as STUB_ITEMS, STUBS

README = (Path(run.__file__).parent / "README.md").read_text()


def measurement(part, client="f", items=100_000, turn=1, **more):
    return {
        "part": part,
        "round": turn,
        "client": client,
        "items": items,
        "cpu_seconds": 0.5 if client == "f" else 0.4,
        "wall_seconds": 5.0 if client == "f" else 4.5,
        "peak_bytes": 40_000_000,
        "server_cpu_seconds": 6.0,
        "busy_before": 0.1,
        **({"write_cpu_seconds": 0.25, "write_seconds": 4.0} if client == "bare" else {}),
        **more,
    }


def of_every_part():
    """Records as a benchmark keeps them."""
    records = [{"part": "about", "trial": False, "lines": ["a machine"]}]
    for turn in (1, 2):
        for client in CONTENDERS:
            verified = {"verify_cpu_seconds": 0.02, "verify_seconds": 1.0} if client.key in ("e", "f") else {}
            items = 20_000 if client.key in SLOW else 100_000
            records.append(measurement("contenders", client.key, items, turn, **verified))
        for key in ("f", "bare"):
            records += [measurement("sizes", key, items, turn) for items in SIZES]
            records += [measurement("stub", key, turn=turn, latency_ms=ms, tls=tls) for ms, tls in STUBS]
        for client, item_size, at_once in COMPUTED:
            more = {"item_size": item_size, "at_once": at_once, "answered_bytes": 30_000_000 + (item_size == LARGE_ITEM)}
            records.append(measurement("computed", client.key, turn=turn, **more))
    for items, segments, at_once in CASES:
        more = {"segments": segments, "at_once": at_once, "requests": 60_000, "ramp": 0.9, "tail": 0.07}
        records.append(measurement("growth", items=items, **more))
    records.append({"part": "matrix", "round": 1, "seeds": 10, "worst": "| worst |", "kinds": "| kinds |"})
    for items, in_file in SANDBOXES + LARGE:
        more = {"seed_seconds": 2.0, "pages": 400, "pages_seconds": 0.5, "count_seconds": 0.2}
        more |= {"sandbox_cpu_seconds": 5.0, "sandbox_peak_bytes": 90_000_000}
        records.append(measurement("sandbox", items=items, in_file=in_file, **more))
    records.append(measurement("sandbox", "demo", DEMO_ITEMS))
    return records + [{"part": "finished", "of": name, "seconds": 60.0} for name in PARTS]


class Page(unittest.TestCase):
    def test_it_has_a_row_for_every_part_and_every_contender(self):
        self.assertEqual(re.findall(r"^\| `(\w+)` \|", README, re.M), list(PARTS))
        told = re.findall(r"^\| (?:\((\w)\) )?\| .* \| ([0-9,]+) \|$", README, re.M)
        keys = [client.key if len(client.key) == 1 else "" for client in CONTENDERS]
        items = [SLOW_ITEMS if client.key in SLOW else ITEMS for client in CONTENDERS]
        self.assertEqual(told, [(key, f"{count:,}") for key, count in zip(keys, items)])

    def test_its_commands_are_understood(self):
        lines = re.findall(r"make bench BENCH='(.*)'", README)
        self.assertGreaterEqual(len(lines), 3)
        for line in lines:
            args = run.parser().parse_args(line.split())
            self.assertLessEqual(set(filter(None, (args.parts or "").split(","))), set(PARTS), line)
            self.assertLessEqual(set(filter(None, (args.only or "").split(","))), {c.key for c in CONTENDERS}, line)

    def test_it_says_what_the_parts_say_of_sizes(self):
        for items in (STUB_ITEMS, COMPUTED_ITEMS, *SIZES, *(items for items, _ in SANDBOXES)):
            self.assertIn(f"{items:,}", README)
        self.assertIn(f"{max(segments or 0 for _, segments, _ in CASES):,} segments", README)


class Results(unittest.TestCase):
    def test_every_part_has_its_section_and_each_goal_a_verdict(self):
        records = of_every_part()
        text = run.report(records)
        for name, module in PARTS.items():
            self.assertIn(module.section(run.of_part(records, name))[0], text)
        goals = [row for name, module in PARTS.items() for row in module.goals(run.of_part(records, name))]
        self.assertGreaterEqual(len(goals), 20)
        for row in goals:
            self.assertIn(f"| {' | '.join(row)} |", text)
        same_work = "to that of the bare client for the same work"
        self.assertIn(f"| client CPU of (f), on the stub at 10 ms, {same_work} | at most 1.6 times | 1.25 times | met |", text)
        computed = "client CPU of a computed value to that of the same for all"
        self.assertIn(f"| {computed}, 64 segments at once | at most 2 times | 1.00 times | met |", text)
        self.assertIn(f"| rate of (f) {same_work}, 1,000,000 items | at least 85 % | 90 % | met |", text)

    def test_a_part_alone_has_results_and_is_not_the_whole(self):
        records = of_every_part()
        self.assertIsNone(run.not_whole(records))
        for name in PARTS:
            alone = [r for r in records if r["part"] in (name, "about") or r.get("of") == name]
            self.assertIn("# Results", run.report(alone))
            self.assertIsNotNone(run.not_whole(alone))
        without = [r for r in records if r.get("client") != "a"]
        self.assertEqual(run.not_whole(without), "a was not measured")


class Figures(unittest.TestCase):
    def test_ramp_counts_from_the_first_request_and_tail_to_the_last_write(self):
        # Half a second of nothing, half of a lower rate, nine of 100 a tenth, one of 10, and a second of verification.
        tenths = [0] * 5 + [50] * 5 + [100] * 90 + [10] * 10 + [0] * 10
        seconds = [{"wcu_by_tenth": tenths[n : n + 10]} for n in range(0, len(tenths), 10)]
        ramp, tail = ramp_and_tail(seconds)
        self.assertEqual(ramp, 1.0)
        # 5 % of 9,350 units: those of the last second, and of four tenths before.
        self.assertAlmostEqual(tail, 14 / 110)

    def test_a_run_of_a_second_has_no_middle(self):
        self.assertEqual(ramp_and_tail([{"wcu_by_tenth": [100] * 10}]), (None, None))

    def test_numbers_have_three_digits(self):
        self.assertEqual([number(n) for n in (0.1234, 1.234, 12.34, 123.4, 12345)], ["0.123", "1.23", "12.3", "123", "12,345"])


if __name__ == "__main__":
    unittest.main()
