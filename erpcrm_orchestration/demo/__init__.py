"""The simulated company Meridian Pro: an ERP database, a pivot folder and a mail server that live while the demo runs."""
