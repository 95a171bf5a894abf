"""What the tests share: programs they run, files they read, requests they send. No test is here."""
