"""The node on this machine: where it is, whose credentials these are, and how its doors are asked.

A port proves nothing: when a node has ended, anybody can listen there. In the folder `.comms` only its owner can, so
tokens and files go to the node over its socket, and it says there where its nats-server is before that is told anything.
"""

import asyncio
import http.client
import json
import os
import pathlib
import socket
import sys

import nats

import comms_msg

DOOR_WAIT_S = 10
HTTP_WAIT_S = 60
AGAIN_AFTER_S = 1
CHUNK_BYTES = 1 << 20


class Refused(Exception):
    """A door said no; `refusal` is its reason as it came."""

    def __init__(self, refusal):
        lines = [f"  {p['path']}   {p['problem']}" for p in refusal.get("problems", [])]
        super().__init__("\n".join([refusal["message"], *lines]))
        self.refusal = refusal


class Absent(Exception):
    """No node vouches for who listens at the address of its nats-server."""


def folder():
    """`.comms`: named by COMMS_CREDENTIALS, or found from the working folder upwards."""
    if named := os.environ.get("COMMS_CREDENTIALS"):
        return pathlib.Path(named)
    here = pathlib.Path.cwd()
    for place in (here, *here.parents):
        if (place / ".comms" / "node.json").is_file():
            return place / ".comms"
    raise SystemExit("error: no running node found from here upwards\n  start one with: comms up")


class Http(http.client.HTTPConnection):
    """HTTP at the node's socket."""

    def __init__(self, comms):
        super().__init__("node", timeout=HTTP_WAIT_S)
        path = str(comms / "http.sock")
        # The system takes about a hundred characters.
        self.path = min(path, os.path.relpath(path), key=len)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None, headers=None):
        """The answer as JSON; a refusal is raised."""
        try:
            self.request(method, path, body, headers or {})
            response = self.getresponse()
            answer = json.load(response)
        except OSError as problem:
            raise Absent(f"no node runs here: {problem}; start it with: comms up") from None
        finally:
            self.close()
        if response.status >= 400:
            raise Refused(answer["error"])
        return answer


def who(comms):
    """Who the node is, where its nats-server listens, and which start of it (`incarnation`) has that port now."""
    return Http(comms).ask("GET", "/node")


async def say(error):
    """What the connection complains of, such as a node that is away; it comes back by itself."""
    print(f"connection  {error}", file=sys.stderr, flush=True)
    if isinstance(error, Absent):
        await asyncio.sleep(AGAIN_AFTER_S)


class Local:
    """A connection under one service's own name. `name` is the only name it can speak under."""

    @classmethod
    async def connect(cls, name):
        self = cls()
        self.name, self.folder = name, folder()
        try:
            self.node = who(self.folder)
        except (Absent, Refused) as problem:
            raise SystemExit(f"error: {problem}") from None
        self.domain = self.node["domain"]
        self.nats = await nats.connect(
            self.node["nats"],
            nkeys_seed=str(self.folder / "credentials" / f"{name}.nk"),
            # Where doors answer. Answers to queries may come to _INBOX.{name}.ask.> only.
            inbox_prefix=f"_INBOX.{name}".encode(),
            error_cb=say,
            reconnect_to_server_handler=self.vouched,
        )
        # The same start of the server before and after: nobody else had the port in between.
        if who(self.folder)["incarnation"] != self.node["incarnation"]:
            await self.nats.close()
            raise SystemExit("error: the node began anew while this connected; try again")
        return self

    def vouched(self, servers, _info):
        """Before a connection is made anew: whether the node says that its server has the port."""
        try:
            node = who(self.folder)
        except Refused as refused:
            raise Absent(str(refused)) from None
        if node["nats"] != self.node["nats"]:
            raise Absent(f"the node's nats-server listens at {node['nats']} now; start this again")
        return servers[0], 0

    async def door(self, what, body, wait_s=DOOR_WAIT_S):
        """Asks the door `what` ("listen", "command.documents.AddDocument", …) in CBOR and returns what it answers."""
        subject = f"{self.domain}.door.{what}.{self.name}"
        reply = await self.nats.request(subject, comms_msg.encode(body), timeout=wait_s)
        answer = comms_msg.decode(reply.data)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["ok"]

    def put(self, path, type_name):
        """Hands a file to the node over its socket, block by block, and returns the link to it."""
        # Read each time: it is another one after each start of the node.
        token = (self.folder / "credentials" / f"{self.name}.token").read_text().strip()
        with open(path, "rb") as file:
            put = Http(self.folder).ask(
                "POST",
                f"/content?for={type_name}",
                iter(lambda: file.read(CHUNK_BYTES), b""),
                {"Authorization": f"Bearer {token}", "Content-Length": str(os.path.getsize(path))},
            )
        return comms_msg.Cid(put["cid"])

    async def close(self):
        await self.nats.drain()
