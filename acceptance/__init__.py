"""The acceptance run: questions that only the real service answers, asked in a sandbox account. README.md says how."""
