"""Runs inside of BottleCRM's environment: makes the tables, their row rights, two organisations; prints their tokens."""

import json
import sys

import django

django.setup()

from common.models import Org, PersonalAccessToken, Profile  # noqa: E402
from common.rls import ORG_SCOPED_TABLES, get_enable_policy_sql  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

call_command("migrate", verbosity=0, run_syncdb=True)
with connection.cursor() as cursor:
    known = set(connection.introspection.table_names(cursor))
    for table in ORG_SCOPED_TABLES:
        if table in known:
            cursor.execute(get_enable_policy_sql(table))
sizes = {"accounts": 3, "contacts": 3, "leads": 2, "opportunities": 2, "invoices": 1, "cases": 1, "tasks": 1, "products": 2}
call_command(
    "seed_data",
    email="admin@example.com",
    orgs=2,
    seed=7,
    no_input=True,
    currency="EUR",
    password="testpass123",  # noqa: S106
    **sizes,
    verbosity=0,
)
tokens = []
for org in Org.objects.order_by("created_at"):
    with connection.cursor() as cursor:
        cursor.execute("select set_config('app.current_org', %s, false)", [str(org.id)])
    profile = Profile.objects.filter(org=org, role="ADMIN").first()
    raw, _ = PersonalAccessToken.generate(profile=profile, name="erpcrm", scopes=["*:read", "*:write"], expires_at=None)
    tokens.append({"org": str(org.id), "name": org.name, "read": org.api_key, "write": raw})
sys.stdout.write(json.dumps(tokens))
