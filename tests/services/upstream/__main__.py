"""Run the fake provider: `python -m tests.services.upstream --port N`."""

import argparse
import asyncio
import gc

from tests.services.process import allow_open_files
from tests.services.upstream.server import serve

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--certificate", help="serve TLS: a PEM file with a key and a certificate")
asked = parser.parse_args()
allow_open_files()
gc.disable()  # the calls pile up, and a walk through all of them would look like a slow provider
asyncio.run(serve(asked.port, asked.certificate))
