import subprocess
import sys

CHILD = """
import multiprocessing, os, socket, sys
def refuse(*_, **__): raise SystemExit("something forked or called out")
multiprocessing.Process.start = os.fork = refuse
connect = socket.socket.connect
socket.socket.connect = refuse
import asyncio
from footage.indexer.embed.lite import LiteEmbedder

async def main():
    embedder = LiteEmbedder()
    await embedder.texts(["a dog"])
    await embedder.close()

asyncio.run(main())
loaded = [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
assert not loaded, loaded
"""


def test_openvino_reports_nothing_to_its_maker(tmp_path):
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
