"""RESULTS.md, and what of it the questions and AWS-FACTS.md name."""

import re
import unittest
from pathlib import Path

from acceptance import questions  # noqa: F401  It fills the registry.
from acceptance.asking import REGISTRY
from acceptance.results import AS_EXPECTED, DIFFERS, NOT_YET, Answer, Circumstances, Results, read, redacted

HERE = Path(__file__).resolve().parent.parent
WHEN = Circumstances("2026-11-21", "eu-west-1", "abc1234")


class Rendering(unittest.TestCase):
    def results(self) -> Results:
        results = Results()
        results.ask("one", "What is one?")
        results.ask("two", "What is two?")
        return results

    def test_what_was_not_asked_says_so(self):
        self.assertIn(f"| `one` | What is one? | {NOT_YET} |", self.results().render())

    def test_an_answer_has_verdict_date_region_commit_and_figures(self):
        results = self.results()
        results.answer("two", Answer(DIFFERS, {"units": 25, "codes": "a | b\nc"}), WHEN)
        text = results.render()
        self.assertIn("| `two` | What is two? | **differs** (2026-11-21, eu-west-1, abc1234) |", text)
        self.assertIn("### two\n\n- units: 25\n- codes: a / b c\n", text)

    def test_answers_that_are_not_asked_again_are_kept(self):
        results = self.results()
        results.answer("one", Answer(AS_EXPECTED, {"units": 1}), WHEN)
        again = Results.parse(results.render())
        self.assertEqual(again, results)
        again.ask("one", "What is one, in other words?")
        again.answer("two", Answer(DIFFERS, {"units": 2}), WHEN)
        text = again.render()
        self.assertIn("| What is one, in other words? | **as expected** (2026-11-21", text)
        self.assertIn("### one\n\n- units: 1\n", text)

    def test_an_answer_takes_the_place_of_the_former_one(self):
        results = self.results()
        results.answer("one", Answer(AS_EXPECTED, {"units": 1}), WHEN)
        results.answer("one", Answer(DIFFERS, {"others": 2}), WHEN)
        self.assertNotIn("as expected** (", results.render())
        self.assertNotIn("units", results.render())

    def test_neither_accounts_nor_arns_nor_keys_get_into_it(self):
        text = (
            "arn:aws:dynamodb:eu-west-1:123456789012:table/x refused 123456789012 with AKIAIOSFODNN7EXAMPLE, request"
            " 0b4b8a0e-0000-4000-8000-00000000abcd, stack backfill-acceptance-1a2b"
        )
        shown = redacted(text, {"backfill-acceptance-1a2b": "(stack)"})
        self.assertEqual(shown, "(an ARN) refused (an account) with (a key), request (an id), stack (stack)")

    def test_figures_are_no_accounts(self):
        self.assertEqual(redacted("1700000000123456 and 0.123456789012"), "1700000000123456 and 0.123456789012")

    def test_a_verdict_that_nobody_knows_is_refused(self):
        with self.assertRaises(ValueError):
            Answer("fine")


class Document(unittest.TestCase):
    def test_results_has_a_row_for_each_question_and_no_other(self):
        results = read(HERE / "RESULTS.md")
        self.assertEqual(set(results.rows), set(REGISTRY))
        for name, (asked, _) in results.rows.items():
            self.assertEqual(asked, REGISTRY[name].asked)

    def test_results_is_as_a_run_would_write_it(self):
        path = HERE / "RESULTS.md"
        self.assertEqual(read(path).render(), path.read_text())

    def test_every_question_that_the_facts_name_is_asked(self):
        facts = (HERE.parent / "docs/AWS-FACTS.md").read_text()
        named = {name for names in re.findall(r"`?acceptance: ([\w-]+)`?", facts) for name in [names]} - {"name"}
        self.assertEqual(named - set(REGISTRY), set())
