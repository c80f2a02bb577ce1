"""The fault table: what each layer of checking sees of each fault, measured on real servers under load.

`python -m tests.faulttable` measures and writes docs/faults.json and docs/faults.md; `make fault-table` is the same.
"""
