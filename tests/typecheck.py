"""The run-time type checker of the tests: beartype, for which an int will do for a float, as for every type checker."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
