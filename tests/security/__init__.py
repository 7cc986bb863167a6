"""Attacks: each is really tried, and must fail. docs/security.md has the table of holes that names these tests."""
