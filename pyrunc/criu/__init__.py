"""CRIU, which takes running processes apart into image files and puts them together again: `criu swrk`, its protocol,
its log, and what of its images is believed. checkpoint and restore need it, and nothing else does."""
