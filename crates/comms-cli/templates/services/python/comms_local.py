"""The node on this machine: where it is, whose credentials these are, and how its doors are asked."""

import json
import os
import pathlib
import sys
import urllib.request

import nats

import comms_msg

DOOR_WAIT_S = 10
CHUNK_BYTES = 1 << 20


class Refused(Exception):
    """A door said no; `refusal` is its reason as it came."""

    def __init__(self, refusal):
        lines = [f"  {p['path']}   {p['problem']}" for p in refusal.get("problems", [])]
        super().__init__("\n".join([refusal["message"], *lines]))
        self.refusal = refusal


def folder():
    """`.comms`: named by COMMS_CREDENTIALS, or found from the working folder upwards."""
    if named := os.environ.get("COMMS_CREDENTIALS"):
        return pathlib.Path(named)
    here = pathlib.Path.cwd()
    for place in (here, *here.parents):
        if (place / ".comms" / "node.json").is_file():
            return place / ".comms"
    raise SystemExit("error: no running node found from here upwards\n  start one with: comms up")


async def say(error):
    """What the connection complains of, such as a node that is away; it comes back by itself."""
    print(f"connection  {error}", file=sys.stderr, flush=True)


class Local:
    """A connection under one service's own name. `name` is the only name it can speak under."""

    @classmethod
    async def connect(cls, name):
        self = cls()
        self.name, self.folder = name, folder()
        self.node = json.loads((self.folder / "node.json").read_text())
        self.domain = self.node["domain"]
        self.nats = await nats.connect(
            self.node["nats"],
            nkeys_seed=str(self.folder / "credentials" / f"{name}.nk"),
            inbox_prefix=f"_INBOX.{name}".encode(),
            error_cb=say,
        )
        return self

    async def door(self, what, body, wait_s=DOOR_WAIT_S):
        """Asks the door `what` ("listen", "command.documents.AddDocument", …) in CBOR and returns what it answers."""
        subject = f"{self.domain}.door.{what}.{self.name}"
        reply = await self.nats.request(subject, comms_msg.encode(body), timeout=wait_s)
        answer = comms_msg.decode(reply.data)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["ok"]

    def put(self, path, type_name):
        """Hands a file to the node over its HTTP, block by block, and returns the link to it."""
        token = (self.folder / "credentials" / f"{self.name}.token").read_text().strip()
        with open(path, "rb") as file:
            request = urllib.request.Request(
                f"{self.node['http']}/content?for={type_name}",
                data=iter(lambda: file.read(CHUNK_BYTES), b""),
                headers={"Authorization": f"Bearer {token}", "Content-Length": str(os.path.getsize(path))},
                method="POST",
            )
            with urllib.request.urlopen(request) as response:
                return comms_msg.Cid(json.load(response)["cid"])

    async def close(self):
        await self.nats.drain()
