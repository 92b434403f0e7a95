"""Compares comms_msg.py with the golden vectors.   python check_vectors.py …/schemas/vectors/msg.json"""

import json
import sys

import comms_msg


def refuses(vector):
    try:
        if "cbor" in vector:
            comms_msg.read(bytes.fromhex(vector["cbor"]))
        else:
            comms_msg.encode(comms_msg.loads(vector["json"]))
    except ValueError:
        return True
    return False


def main(path):
    with open(path, "rb") as file:
        vectors = json.load(file)
    for vector in vectors["messages"]:
        cbor, about = bytes.fromhex(vector["cbor"]), vector["about"]
        message = comms_msg.from_json(vector["json"])
        assert comms_msg.encode(message) == cbor, f"{about}: encoded otherwise"
        assert comms_msg.read(cbor) == message, f"{about}: decoded otherwise"
        assert comms_msg.to_json(message) == vector["json"], f"{about}: written otherwise"
        assert str(comms_msg.message_cid(message)) == vector["cid"], f"{about}: another CID"
    # What breaks the encoding itself; what else a message must be is for the door to check.
    broken = [vector for vector in vectors["refused"] if "cbor" in vector or vector["at"] == ""]
    for vector in broken:
        assert refuses(vector), f"{vector['name']}: not refused"
    print(f"{len(vectors['messages'])} messages agree, {len(broken)} broken ones are refused")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
