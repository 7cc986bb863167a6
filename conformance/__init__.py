"""A conformance suite for any OCI runtime: the demands of runtime-spec 1.3, each with a case that looks.

    python -m conformance --runtime PATH [--runtime NAME=PATH ...]      the cases, a column for each runtime
    python -m conformance runtime-tools ...                             the suite of opencontainers/runtime-tools
    python -m conformance mutants --runtime PATH                        whether the cases notice a broken runtime
    pytest -p conformance.plugin --oci-runtime PATH                     the cases under pytest

Nothing here knows the runtime it drives: it is a command line, a bundle, and what the kernel shows of the container.
"""
