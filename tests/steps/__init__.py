"""Tests of the steps, one file per file of pyrunc/steps."""
