"""Copies the keys in /run/given into /run/keys, for this user alone; links them into other folders, where their history
is put, too: a rotated key is one more file, and counts by that."""

import os
import sys
from pathlib import Path

key, *folders = sys.argv[1:]
given, kept = Path("/run/given"), Path("/run/keys")
files = [each for each in sorted(given.iterdir()) if each.is_file()]
if not any(each.suffix == ".pem" and each.name.partition(".")[0] == key.partition(".")[0] for each in files):
    sys.exit(
        f"the Secret with this service's keys has no {key}: docs/how-to/install-with-helm.md says which it is to have"
    )
for file in files:
    to = kept / file.name
    to.unlink(missing_ok=True)
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as copy:
        copy.write(file.read_bytes())
for folder in map(Path, folders):
    for file in files:
        there = folder / file.name
        if file.suffix != ".pem":
            aside = folder / f".{file.name}.new"
            aside.write_bytes(file.read_bytes())
            aside.replace(there)
        elif there.is_symlink() or not there.exists():
            there.unlink(missing_ok=True)
            there.symlink_to(kept / file.name)
        else:
            sys.exit(f"{there} is a key of its own and not the one in the Secret: remove one of them")
