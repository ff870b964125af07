"""Keeps ERP, CRM, shop and field teams in step, in the open: Dagster decides when, PostgreSQL holds what is true."""
