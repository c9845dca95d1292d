"""Where the run may work."""

import tempfile
import unittest
from pathlib import Path

from acceptance.guard import LIST_VARIABLE, STAND_IN_ACCOUNT, Refused, allowed_accounts, is_on_this_machine, place

SANDBOX, OTHER = "123456789012", "210987654321"


class Guard(unittest.TestCase):
    def refused(self, words, *given):
        with self.assertRaisesRegex(Refused, words):
            place(*given)

    def test_an_account_on_the_list_is_taken(self):
        found = place({SANDBOX}, "eu-west-1", None, lambda _: SANDBOX)
        self.assertEqual((found.account, found.region, found.is_stand_in), (SANDBOX, "eu-west-1", False))

    def test_any_other_account_is_refused_with_its_number(self):
        self.refused(f"{OTHER}.*not on the list", {SANDBOX}, "eu-west-1", None, lambda _: OTHER)

    def test_without_a_list_nobody_is_even_asked(self):
        self.refused("no account is allowed", set(), "eu-west-1", None, self.fail)

    def test_a_region_has_to_be_named(self):
        for region in (None, "", "everywhere", "eu-west-1; rm"):
            self.refused("region", {SANDBOX}, region, None, self.fail)

    def test_the_stand_in_account_counts_only_with_an_endpoint_on_this_machine(self):
        self.refused("no account is allowed", {STAND_IN_ACCOUNT}, "eu-west-1", None, self.fail)
        self.refused("not on the list", {SANDBOX}, "eu-west-1", None, lambda _: STAND_IN_ACCOUNT)
        found = place(set(), "eu-west-1", "http://127.0.0.1:4566", lambda _: STAND_IN_ACCOUNT)
        self.assertTrue(found.is_stand_in)

    def test_an_endpoint_elsewhere_is_refused(self):
        for endpoint in ("https://dynamodb.eu-west-1.amazonaws.com", "http://10.0.0.1:4566", "http://localhost.example"):
            self.refused("endpoint-url", {SANDBOX}, "eu-west-1", endpoint, self.fail)

    def test_a_real_account_behind_an_endpoint_is_refused(self):
        self.refused("expected 000000000000", {SANDBOX}, "eu-west-1", "http://127.0.0.1:1", lambda _: SANDBOX)

    def test_loopback_is_told_by_its_address(self):
        self.assertTrue(is_on_this_machine("http://127.0.0.1:1"))
        self.assertTrue(is_on_this_machine("http://[::1]:1"))
        self.assertFalse(is_on_this_machine("http://localhost:1"))

    def test_accounts_are_named_by_flag_variable_and_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "accounts.txt"
            file.write_text(f"# sandboxes\n{OTHER}  # ours\n")
            found = allowed_accounts([SANDBOX], file, {LIST_VARIABLE: "111122223333,444455556666"})
        self.assertEqual(found, {SANDBOX, OTHER, "111122223333", "444455556666"})

    def test_there_is_no_default(self):
        self.assertEqual(allowed_accounts([], Path("/nowhere"), {}), set())

    def test_what_is_no_account_is_refused(self):
        for word in ("12345", "*", "12345678901x"):
            with self.assertRaisesRegex(Refused, "12 digits"):
                allowed_accounts([word], Path("/nowhere"), {})
