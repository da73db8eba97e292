"""The command line: arguments, calls of the library, tables, one-line errors."""
