"""Copies the keys in /run/given into /run/keys, for this user alone; links the one that is named into other folders."""

import os
import sys
from pathlib import Path

key, *folders = sys.argv[1:]
given, kept = Path("/run/given"), Path("/run/keys")
if not (given / key).is_file():
    sys.exit(
        f"the Secret with this service's keys has no {key}: docs/how-to/install-with-helm.md says which it is to have"
    )
for file in sorted(given.iterdir()):
    if file.is_file():
        to = kept / file.name
        to.unlink(missing_ok=True)
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as copy:
            copy.write(file.read_bytes())
for folder in folders:
    link = Path(folder) / key
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(kept / key)
    else:
        sys.exit(f"{link} is a key of its own and not the one in the Secret: remove one of them")
