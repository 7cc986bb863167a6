"""Rows of bundle.md and glossary.md. How to read them: conformance/rows/__init__.py."""

TEXT = """
== bundle.md#container-format
* config.json is in the root of the bundle, and has this name
  > This REQUIRED file MUST reside in the root of the bundle directory and MUST be named `config.json`.
* the artifacts are in one directory, which is no part of the bundle
  > When supplied, while these artifacts MUST all be present in a single directory on the local filesystem, that
  > directory itself is not part of the bundle.

== glossary.md#json
* config.json is UTF-8
  > All configuration JSON MUST be encoded in UTF-8.
* no name stands twice in an object
  > JSON objects MUST NOT include duplicate names.
"""
