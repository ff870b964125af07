"""A shop on django-oscar with its REST API."""
