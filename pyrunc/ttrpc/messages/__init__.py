"""The messages and services of proto/, written by generate.py. Each file's names are those of its .proto."""
