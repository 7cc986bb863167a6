"""The table of docs/properties.md: every property and every demand of the runtime-spec, and the tests that hold it."""
