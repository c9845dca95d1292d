"""What is removed, and what stays."""

import unittest
from types import SimpleNamespace
from unittest import mock

from acceptance import leftovers
from acceptance.cloud import PREFIX, TAG

RUN = PREFIX + "1a2b3c4d"


class Shelf:
    """Things of one kind, by name, with their tags; some cannot be removed."""

    def __init__(self, things: dict[str, dict], stuck: set[str] = frozenset(), blind: bool = False):
        self.things, self.stuck, self.blind = dict(things), stuck, blind

    def kind(self, name: str) -> leftovers.Kind:
        return leftovers.Kind(name, self._find, self._remove, lambda _, handle: self.things[handle])

    def _find(self, _, prefix):
        if self.blind:
            raise RuntimeError("nobody may look here")
        return [(name, name) for name in self.things if name.startswith(prefix)]

    def _remove(self, _, handle):
        if handle in self.stuck:
            raise RuntimeError("it is stuck")
        del self.things[handle]


class Untagged(Shelf):
    """Things without tags, some of them in folders."""

    def kind(self, name: str) -> leftovers.Kind:
        return leftovers.Kind(name, self._find, self._remove, None)

    def _find(self, _, prefix):
        return [(name, name) for name in self.things if prefix in name]


def removed(prefix: str, *shelves: Shelf) -> list[str]:
    cloud = SimpleNamespace(place=SimpleNamespace(is_stand_in=False))
    kinds = [shelf.kind(f"kind {n}") for n, shelf in enumerate(shelves)]
    with mock.patch.object(leftovers, "KINDS", kinds), mock.patch.object(leftovers.time, "sleep"):
        return leftovers.remove(cloud, prefix, lambda _: None)


class Removal(unittest.TestCase):
    def test_all_of_a_run_is_removed_and_nothing_of_another(self):
        other = PREFIX + "ffffffff-table"
        shelf = Shelf({f"{RUN}-a": {TAG: RUN}, f"{RUN}-b": {}, other: {TAG: PREFIX + "ffffffff"}, "orders": {}})
        self.assertEqual(removed(RUN, shelf), [])
        self.assertEqual(set(shelf.things), {other, "orders"})

    def test_clean_removes_by_name_and_tag(self):
        shelf = Shelf({f"{RUN}-a": {TAG: RUN}, f"{PREFIX}notes": {}, f"{PREFIX}of-others": {TAG: "theirs"}})
        self.assertEqual(removed(PREFIX, shelf), [])
        self.assertEqual(set(shelf.things), {f"{PREFIX}notes", f"{PREFIX}of-others"})

    def test_clean_removes_what_bears_no_tag_by_the_whole_form_of_its_name(self):
        theirs = [f"{PREFIX}prod-execution-failed", f"/aws/lambda/{PREFIX}prod-worker", f"{PREFIX}1a2b3c4dprod"]
        shelf = Untagged({f"{RUN}-alarm": {}, f"/aws/lambda/{RUN}-worker": {}, RUN: {}} | dict.fromkeys(theirs, {}))
        self.assertEqual(removed(PREFIX, shelf), [])
        self.assertEqual(sorted(shelf.things), sorted(theirs))

    def test_what_cannot_be_removed_is_said_and_the_rest_is_removed(self):
        stuck = Shelf({f"{RUN}-a": {TAG: RUN}}, stuck={f"{RUN}-a"})
        blind, after = Shelf({}, blind=True), Shelf({f"{RUN}-c": {TAG: RUN}})
        left = removed(RUN, stuck, blind, after)
        self.assertEqual(after.things, {})
        self.assertEqual(len(left), 2)
        self.assertIn(f"kind 0 {RUN}-a: it is stuck", left)
        self.assertIn("nobody may look here", left[1])

    def test_no_other_prefix_is_ever_looked_for(self):
        with self.assertRaises(ValueError):
            leftovers.find(None, "orders")
        with self.assertRaises(ValueError):
            leftovers.remove(None, "", print)
