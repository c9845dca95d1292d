"""RESULTS.md: a table of questions with their answers, and the figures of each. A run changes what it has asked, and
nothing else."""

import re
from dataclasses import dataclass, field
from pathlib import Path

NOT_YET = "not yet run"

# What an answer can be.
AS_EXPECTED = "as expected"
DIFFERS = "differs"
UNDECIDED = "undecided"
NO_ANSWER = "no answer"

VERDICTS = (AS_EXPECTED, DIFFERS, UNDECIDED, NO_ANSWER)

HEAD = """# What the real service answered

Questions that no stand-in for AWS can answer. The program `run` of this folder asks them in a sandbox account and writes the answers here:
a verdict, with date, region and commit, and below the table the figures. `docs/AWS-FACTS.md` says which code depends on which answer.

| verdict | meaning |
|---|---|
| **as expected** | the service does what the code relies on |
| **differs** | it does not: read the figures, then the rows of `docs/AWS-FACTS.md` that name the question |
| **undecided** | the run could not bring about what it was to look at |
| **no answer** | the question failed; the figures say how |

"""

TABLE = "| question | what is asked | answer |\n|---|---|---|\n"

FIGURES = "\n## Figures\n"


@dataclass
class Answer:
    """What a question came to. Figures are short: numbers, codes and messages of the service."""

    verdict: str
    figures: dict[str, object] = field(default_factory=dict)

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"no verdict: {self.verdict}")


def verdict(is_expected: bool) -> str:
    """The verdict of what can be decided."""
    return AS_EXPECTED if is_expected else DIFFERS


@dataclass(frozen=True)
class Circumstances:
    """When, where and with what a run was made."""

    date: str
    region: str
    commit: str

    def __str__(self):
        return f"{self.date}, {self.region}, {self.commit}"


def redacted(text: str, secrets: dict[str, str] | None = None) -> str:
    """Without ARNs, account numbers, keys, ids and the names that stand in `secrets` (what to say in place of each)."""
    for secret, name in (secrets or {}).items():
        text = text.replace(secret, name)
    text = re.sub(r"arn:aws[\w-]*:[^\s\"',;)\]}|`]+", "(an ARN)", text)
    text = re.sub(r"\b(AKIA|ASIA|AROA|AIDA|AGPA|ANPA)[A-Z0-9]{12,}\b", "(a key)", text)
    text = re.sub(r"\b[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "(an id)", text)
    return re.sub(r"(?<![\d.])\d{12}(?![\d.])", "(an account)", text)


@dataclass
class Results:
    """The document in parts."""

    # name: [what is asked, answer]
    rows: dict[str, list[str]] = field(default_factory=dict)
    # name: lines of figures
    figures: dict[str, list[str]] = field(default_factory=dict)

    @staticmethod
    def parse(text: str) -> "Results":
        """Reads a document that `render` has written, or the first one, which has no figures."""
        results = Results()
        table, _, figures = text.partition(FIGURES)
        for line in table.splitlines():
            found = re.fullmatch(r"\| `([\w-]+)` \| (.*) \| (.*) \|", line)
            if found:
                results.rows[found[1]] = [found[2], found[3]]
        name = None
        for line in figures.splitlines():
            if head := re.fullmatch(r"### ([\w-]+)", line):
                name = head[1]
                results.figures[name] = []
            elif name and line:
                results.figures[name].append(line)
        return results

    def ask(self, name: str, asked: str) -> None:
        """Makes sure that a question has a row, and that it says what the program asks."""
        self.rows.setdefault(name, [asked, NOT_YET])[0] = asked

    def answer(self, name: str, answer: Answer, when: Circumstances, secrets: dict[str, str] | None = None) -> None:
        """Puts an answer in the place of the former one."""
        self.rows[name][1] = f"**{answer.verdict}** ({when})"
        self.figures[name] = [
            f"- {figure}: {cell(redacted(str(value), secrets))}" for figure, value in answer.figures.items()
        ]

    def render(self) -> str:
        """The document."""
        rows = "".join(f"| `{name}` | {asked} | {answer} |\n" for name, (asked, answer) in self.rows.items())
        text = HEAD + TABLE + rows
        known = [name for name in self.rows if self.figures.get(name)]
        if known:
            text += FIGURES
        for name in known:
            text += f"\n### {name}\n\n" + "\n".join(self.figures[name]) + "\n"
        return text


def cell(text: str) -> str:
    """A text on one line, which can neither end a list nor begin a table."""
    return " ".join(text.replace("|", "/").split())


def read(path: Path) -> Results:
    """The document at a path, or an empty one."""
    return Results.parse(path.read_text()) if path.exists() else Results()
