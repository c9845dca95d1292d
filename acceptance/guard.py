"""Where the run may work: in an account on the list, in a region that was named, or against a stand-in on this machine."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

# The account of stand-ins. It is nobody's, and counts only together with an endpoint on this machine.
STAND_IN_ACCOUNT = "000000000000"

# Where accounts can be named once and for all: numbers, blanks or commas between them, # for comments.
LIST_VARIABLE = "BACKFILL_ACCEPTANCE_ACCOUNTS"
LIST_FILE = Path(__file__).with_name("accounts.txt")


class Refused(Exception):
    """The run may not work there. Nothing was touched."""


@dataclass(frozen=True)
class Place:
    """Where the run works."""

    account: str
    region: str
    endpoint: str | None

    @property
    def is_stand_in(self) -> bool:
        """Whether this is a stand-in for AWS on this machine."""
        return self.endpoint is not None


def is_on_this_machine(endpoint: str) -> bool:
    """Whether an endpoint is on the loopback interface, by its address: a name could be resolved to anything."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_accounts(given: list[str], file: Path = LIST_FILE, environment: dict | None = None) -> set[str]:
    """The accounts that are named by flags, by the variable and by the file. There is no default."""
    environment = os.environ if environment is None else environment
    words = [*given, environment.get(LIST_VARIABLE, "")]
    if file.exists():
        words += [line.split("#")[0] for line in file.read_text().splitlines()]
    accounts = {word for text in words for word in re.split(r"[\s,]+", text) if word}
    for account in accounts:
        if not re.fullmatch(r"\d{12}", account):
            raise Refused(f"account: expected 12 digits, not {account!r}")
    return accounts


def place(allowed: set[str], region: str | None, endpoint: str | None, who_am_i) -> Place:
    """The place, if the run may work there. `who_am_i(region)` asks the service for the account of the credentials."""
    if not region or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        raise Refused(
            "region: expected the name of one, such as --region eu-west-1. It is never taken from the environment or a profile"
        )
    if endpoint is not None:
        if not is_on_this_machine(endpoint):
            raise Refused(f"endpoint-url: expected a stand-in on this machine, such as http://127.0.0.1:4566, not {endpoint}")
        allowed = allowed | {STAND_IN_ACCOUNT}
    else:
        allowed = allowed - {STAND_IN_ACCOUNT}
    if not allowed:
        raise Refused(
            f"account: no account is allowed yet. Name a sandbox account: --account 123456789012, {LIST_VARIABLE} in the"
            f" environment, or a line of {LIST_FILE.name} beside the program"
        )
    account = who_am_i(region)
    if account not in allowed:
        raise Refused(
            f"account: the credentials are those of account {account}, which is not on the list of sandbox accounts."
            " Nothing was touched"
        )
    if endpoint is not None and account != STAND_IN_ACCOUNT:
        raise Refused(f"account: the stand-in says {account}, expected {STAND_IN_ACCOUNT}. Nothing was touched")
    return Place(account, region, endpoint)
