"""Runs inside of Tryton's environment: gives a fresh database a company with customers, goods and stock.

Arguments: database, configuration file. Prints nothing; ends with an error when anything is refused.
"""

import sys
from decimal import Decimal

from proteus import Model
from proteus import config as proteus_config
from trytond.config import update_etc

database, configuration = sys.argv[1:3]
update_etc(configuration)
session = proteus_config.set_trytond(database, user="admin", config_file=configuration)

from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, create_tax, get_accounts  # noqa: E402
from trytond.modules.account_invoice.tests.tools import (  # noqa: E402
    create_payment_term,
    set_fiscalyear_invoice_sequences,
)
from trytond.modules.company.tests.tools import create_company  # noqa: E402
from trytond.modules.currency.tests.tools import get_currency  # noqa: E402

CUSTOMERS = 4
GOODS = 5


def party(name: str, code: str, city: str) -> object:
    """Make a party with one address and an e-mail."""
    made = Model.get("party.party")(name=name, code=code)
    address = made.addresses[0] if made.addresses else made.addresses.new()
    address.street, address.postal_code, address.city = "1 rue des Alpes", "69001", city
    contact = made.contact_mechanisms.new()
    contact.type, contact.value = "email", f"{code.lower()}@example.com"
    made.save()
    return made


owner = Model.get("party.party")(name="Meridian Pro")
owner.save()
create_company(party=owner, currency=get_currency("EUR"))
create_chart()
User = Model.get("res.user")
session._context = User.get_preferences(True, {})
year = set_fiscalyear_invoice_sequences(create_fiscalyear())
year.click("create_period")
accounts = get_accounts()
tax = create_tax(Decimal(".20"))
tax.save()
category = Model.get("product.category")(name="Goods", accounting=True)
category.account_expense, category.account_revenue = accounts["expense"], accounts["revenue"]
category.customer_taxes.append(tax)
category.save()
create_payment_term().save()
for number in range(CUSTOMERS):
    party(f"Client {number}", f"C{number:04}", "Lyon")
unit = Model.get("product.uom").find([("name", "=", "Unit")])[0]
storage = Model.get("stock.location").find([("code", "=", "STO")])[0]
inventory = Model.get("stock.inventory")(location=storage)
for number in range(GOODS):
    template = Model.get("product.template")(name=f"Pump {number}", code=f"P{number:03}", type="goods", salable=True)
    template.default_uom, template.list_price, template.account_category = unit, Decimal(f"{10 + number}.50"), category
    template.save()
    line = inventory.lines.new(product=template.products[0])
    line.quantity, line.expected_quantity = 1000.0, 0.0
inventory.click("confirm")
