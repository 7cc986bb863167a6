"""The command line: one command, one file. flags.py parses, main.py dispatches and reports, log.py writes."""
