"""The gateway: who may ask for what, and where each operation stands. Read `operations` first."""
