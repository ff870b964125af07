"""Configuration and lifecycle of what assets, checks, sensors and schedules are handed."""

from erpcrm_orchestration.resources.clock import ClockResource
from erpcrm_orchestration.resources.database import Database

__all__ = ["ClockResource", "Database"]
