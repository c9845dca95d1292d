"""The parts of the benchmark, in their order.

Each is a module with `measure(bench)`, which keeps records; `goals(records)`, the rows that are held against what was wanted; and
`section(records)`, its section of the results.
"""

from parts import computed, contenders, growth, matrix, sandbox, sizes, stub

PARTS = {module.__name__.rpartition(".")[2]: module for module in (contenders, sizes, stub, computed, growth, matrix, sandbox)}
