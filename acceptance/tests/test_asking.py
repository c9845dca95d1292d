"""How questions are asked, and what a run compares."""

import unittest

from acceptance.asking import Asking, Context, Later, Question, chosen, together
from acceptance.items import Model, item, key_of
from acceptance.money import Meter, Usage
from acceptance.results import AS_EXPECTED, NO_ANSWER, Answer

FINE = Answer(AS_EXPECTED)


def asked(questions: dict, limit: float = 1.0) -> dict:
    """What each of these came to; a question is what it does."""
    meter = Meter("us-east-1", limit)
    context = Context(cloud=None, workshop=None, meter=meter, say=lambda _: None, items=1)
    kept = {}
    made = [
        Question(name, "?", Usage({"write units": 1_000_000}), ask, stand_in=True, stack=False)
        for name, ask in questions.items()
    ]
    Asking(context, made, lambda one, answer: kept.setdefault(one.name, answer)).run()
    return kept


class Questions(unittest.TestCase):
    def test_a_failure_does_not_stop_the_others(self):
        def fails(_):
            raise RuntimeError("out of luck")

        kept = asked({"one": lambda _: FINE, "two": fails, "three": lambda _: FINE}, limit=1.0)
        self.assertEqual([kept[name].verdict for name in ("one", "two", "three")], [AS_EXPECTED, NO_ANSWER, AS_EXPECTED])
        self.assertIn("out of luck", kept["two"].figures["failed"])

    def test_a_failure_of_a_late_answer_does_not_either(self):
        def fails():
            raise RuntimeError("too late")

        kept = asked({"one": lambda _: Later(0, fails), "two": lambda _: Later(0, lambda: FINE)})
        self.assertEqual((kept["one"].verdict, kept["two"].verdict), (NO_ANSWER, AS_EXPECTED))

    def test_what_is_last_waits_for_all_others(self):
        order = []

        def noted(name):
            return lambda: order.append(name) or FINE

        asked(
            {
                "messages": lambda _: Later(0, noted("messages"), last=True),
                "slow": lambda _: Later(0.05, lambda: Later(0.05, noted("slow"))),
                "quick": lambda _: Later(0, noted("quick")),
            }
        )
        self.assertEqual(order, ["quick", "slow", "messages"])

    def test_a_question_that_no_longer_fits_is_not_asked(self):
        def spends(context_of):
            context_of.meter.add("write units", 1_000_000)
            return FINE

        kept = asked({"one": spends, "two": lambda _: self.fail("asked")}, limit=0.9)
        self.assertEqual((kept["one"].verdict, kept["two"].verdict), (AS_EXPECTED, NO_ANSWER))
        self.assertIn("limit", str(kept["two"].figures["refused"]))

    def test_a_question_that_does_not_exist_is_refused(self):
        with self.assertRaisesRegex(ValueError, "no-such"):
            chosen(["no-such"], is_stand_in=False)

    def test_a_stand_in_is_asked_what_it_can_answer(self):
        self.assertTrue(all(one.stand_in for one in chosen([], is_stand_in=True)))
        self.assertGreater(len(chosen([], is_stand_in=False)), len(chosen([], is_stand_in=True)))

    def test_together_keeps_the_order_and_what_was_raised(self):
        results = together([lambda: 1, lambda: 1 / 0, lambda: 3], 2)
        self.assertEqual((results[0], results[2]), (1, 3))
        self.assertIsInstance(results[1], ZeroDivisionError)


class Comparison(unittest.TestCase):
    def model(self) -> Model:
        made = [item(n) for n in range(20)]
        model = Model({key_of(one): one for one in made})
        self.assertEqual(model.pending("test"), 16)
        model.migrated("test")
        return model

    def found(self, model: Model) -> list[dict]:
        return [dict(one) for one in model.items.values()]

    def test_the_same_items_do_not_differ(self):
        model = self.model()
        shuffled = self.found(model)[::-1]
        for one in shuffled:
            one["tags"] = {"SS": one["tags"]["SS"][::-1]}
        self.assertEqual(model.differences(shuffled), [])

    def test_every_harm_is_seen(self):
        model = self.model()
        harmed = self.found(model)
        gone = harmed.pop()
        harmed[0]["hits"] = {"N": "00"}
        del harmed[1]["test"]
        harmed[5]["test"] = {"N": "1"}
        harmed.append(item(99))
        told = " ".join(model.differences(harmed))
        self.assertIn(f"{gone['id']['S']} is gone", told)
        self.assertIn("item-000000 differs in hits", told)
        self.assertIn("item-000001 differs in test", told)
        self.assertIn("item-000005 differs in test", told)
        self.assertIn("item-000099 was created again", told)
        self.assertEqual(len(model.differences(harmed)), 5)
