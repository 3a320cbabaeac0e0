"""Studies on a Dask cluster: sources of workers, the workers, and the client."""
