"""Runs inside of the shop's environment: makes the tables, goods, an administrator and clients; prints their tokens."""

import json
import sys
from decimal import Decimal

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from oscar.core.loading import get_model  # noqa: E402
from oscar.test.factories import create_product  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402

GOODS = 6
CLIENTS = 3

call_command("migrate", verbosity=0, run_syncdb=True)
User = get_user_model()
admin = User.objects.create_superuser("admin", "admin@example.com", "loopback-admin-1")
names = {"printable_name": "France", "name": "France", "is_shipping_country": True}
get_model("address", "Country").objects.create(iso_3166_1_a2="FR", iso_3166_1_a3="FRA", iso_3166_1_numeric="250", **names)
for number in range(GOODS):
    create_product(
        upc=f"UPC{number:05}",
        title=f"Pump {number}",
        product_class="Goods",
        partner_name="Depot",
        partner_sku=f"A{number:03}",
        price=Decimal(f"{10 + number}.50"),
        num_in_stock=10_000,
    )
clients = [
    User.objects.create_user(f"client{number}", f"client{number}@example.com", first_name="Anne", last_name=f"Durand {number}")
    for number in range(CLIENTS)
]
token = {user.username: Token.objects.create(user=user).key for user in (admin, *clients)}
sys.stdout.write(json.dumps({"admin": token.pop("admin"), "clients": list(token.values())}))
