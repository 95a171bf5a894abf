"""The app: `app.py` holds what it does."""
