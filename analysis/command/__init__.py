"""The command line: its arguments and what each command does; verification, merging, the benchmark."""
