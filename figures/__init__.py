"""The catalogue: one module per published figure, which names its study, tabulates it and draws it."""
