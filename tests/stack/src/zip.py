"""Writes a zip with one program in it, called bootstrap, to standard output."""

import sys
import zipfile

with zipfile.ZipFile(sys.stdout.buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed, open(sys.argv[1], "rb") as program:
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    packed.writestr(entry, program.read())
