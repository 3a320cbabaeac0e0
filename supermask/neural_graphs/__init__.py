"""Neural graphs: classifiers made of small nodes whose wiring is discovered by training or drawn at random."""
