"""The files that a Dagster deployment is made of, installed with the package."""
