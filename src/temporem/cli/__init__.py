"""The command line: arguments in, library calls, tables and one-line errors out."""
