"""Runtimes that are broken on purpose, one demand each: whether the cases notice.

    python -m conformance mutants --runtime PATH [--select PATTERN]

A mutant that lives is a case that is missing, or one that cannot fail.
"""
