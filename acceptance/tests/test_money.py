"""What the run says and counts of money."""

import unittest

from acceptance import questions  # noqa: F401  It fills the registry.
from acceptance.asking import REGISTRY
from acceptance.money import LIMIT_USD, OVERHEAD, PRICES, Estimate, Meter, TooDear, Usage, factor_of, refuse_over, table_hours


class Money(unittest.TestCase):
    def test_usage_costs_what_the_list_says(self):
        usage = Usage({"write units": 1_000_000, "read units": 1_000_000, "state transitions": 1_000})
        self.assertAlmostEqual(usage.usd("us-east-1"), 0.625 + 0.125 + 0.025)

    def test_another_region_is_reckoned_dearer_and_never_cheaper(self):
        usage = Usage({"write units": 1_000_000})
        for region in ("eu-west-1", "sa-east-1", "ap-southeast-7", "unheard-of-1"):
            # São Paulo: 0.94 USD a million.
            self.assertGreaterEqual(usage.usd(region), 0.94, region)

    def test_a_provisioned_table_counts_a_whole_hour(self):
        self.assertAlmostEqual(table_hours(100, 10).usd("us-east-1"), 0.065 + 0.0013)

    def test_usage_without_a_price_is_refused(self):
        with self.assertRaisesRegex(ValueError, "unicorns"):
            Usage({"unicorns": 1})

    def test_an_estimate_lists_every_question_and_its_sum(self):
        estimate = Estimate("eu-west-1", {"one": Usage({"write units": 1000}), "two": Usage({"read units": 1000})})
        shown = [float(line.split()[0]) for line in estimate.lines()]
        self.assertEqual(len(shown), 4)
        self.assertAlmostEqual(sum(shown[:-1]), shown[-1], places=3)
        self.assertAlmostEqual(estimate.usd(), shown[-1], places=3)

    def test_all_questions_together_stay_below_the_limit_in_every_region(self):
        usage = {one.name: one.cost for one in REGISTRY.values()}
        self.assertGreater(len(usage), 20)
        self.assertLess(Estimate("sa-east-1", usage).usd(), LIMIT_USD)

    def test_every_question_costs_something(self):
        for one in REGISTRY.values():
            self.assertGreater(one.cost.usd("us-east-1"), 0, one.name)

    def test_more_than_the_limit_is_refused(self):
        refuse_over(0.5, 0.5, "it is")
        with self.assertRaisesRegex(TooDear, "0.5001"):
            refuse_over(0.5, 0.5001, "it is")

    def test_nobody_can_raise_the_limit(self):
        with self.assertRaisesRegex(TooDear, "at most 1.00"):
            refuse_over(1.01, 0.1, "it is")

    def test_the_meter_refuses_a_question_that_no_longer_fits(self):
        meter = Meter("us-east-1", 0.01)
        next_one = Usage({"write units": 10_000})
        meter.refuse_next("one", next_one)
        meter.add("write units", 10_000)
        with self.assertRaises(TooDear):
            meter.refuse_next("two", next_one)

    def test_the_service_own_figure_counts_if_it_is_higher(self):
        meter = Meter("us-east-1", 1)
        meter.add("write units", 100)
        meter.at_least("write units", 90)
        self.assertEqual(meter.usage()["write units"], 100)
        meter.at_least("write units", 120)
        self.assertEqual(meter.usage()["write units"], 120)

    def test_prices_and_factors_are_above_nothing(self):
        self.assertTrue(all(price > 0 for price in PRICES.values()))
        self.assertEqual(factor_of("us-east-1"), 1)
        self.assertGreater(OVERHEAD.usd("us-east-1"), 0)


if __name__ == "__main__":
    unittest.main()
