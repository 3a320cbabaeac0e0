"""Studies on a Dask cluster: where the workers come from, what they do, and who tells them."""
