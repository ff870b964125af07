"""Settings of the real shop: SQLite at OSCAR_DB, REST by token, no mail."""

import os

from oscar.defaults import *  # noqa: F403

SECRET_KEY = "loopback-only"  # noqa: S105
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
SITE_ID = 1
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
MEDIA_URL = "/media/"
MEDIA_ROOT = os.path.join(os.path.dirname(os.environ["OSCAR_DB"]), "media")
ROOT_URLCONF = "oscar_site.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


class _FromModels(dict):
    """Says of every application that it has no migrations, so that its tables are made from the models."""

    def __contains__(self, application: object) -> bool:
        return True

    def __getitem__(self, application: str) -> None:
        return None


if os.environ.get("OSCAR_QUICK"):
    MIGRATION_MODULES = _FromModels()

_SHOP = "analytics checkout address shipping catalogue communication partner basket payment offer order customer search voucher"
_DASHBOARD = "reports users orders catalogue offers partners pages ranges reviews vouchers communications shipping"
_OSCAR_APPS = [
    "oscar.config.Shop",
    *(f"oscar.apps.{name}.apps.{name.title()}Config" for name in _SHOP.split()),
    "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
    "oscar.apps.wishlists.apps.WishlistsConfig",
    "oscar.apps.dashboard.apps.DashboardConfig",
    *(f"oscar.apps.dashboard.{name}.apps.{name.title()}DashboardConfig" for name in _DASHBOARD.split()),
]

INSTALLED_APPS = [
    *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions", "messages", "staticfiles")),
    *(f"django.contrib.{name}" for name in ("sites", "flatpages")),
    *_OSCAR_APPS,
    *["widget_tweaks", "haystack", "treebeard", "sorl.thumbnail", "django_tables2"],
    *["rest_framework", "rest_framework.authtoken", "oscarapi"],
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "oscar.apps.basket.middleware.BasketMiddleware",
]
AUTHENTICATION_BACKENDS = ("oscar.apps.customer.auth_backends.EmailBackend", "django.contrib.auth.backends.ModelBackend")
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["OSCAR_DB"],
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
OSCARAPI_BLOCK_ADMIN_API_ACCESS = False
OSCARAPI_EXPOSE_USER_DETAILS = True
OSCAR_DEFAULT_CURRENCY = "EUR"
OSCAR_INITIAL_ORDER_STATUS = "Pending"
OSCAR_INITIAL_LINE_STATUS = "Pending"
OSCAR_ORDER_STATUS_PIPELINE = {
    "Pending": ("Being processed", "Cancelled"),
    "Being processed": ("Processed", "Cancelled"),
    "Processed": (),
    "Cancelled": (),
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 10,
}
