"""A shop that takes orders and says which of them are safe: ``shop.py DATABASE REPLICA``."""

import json
import sys
import time

import apsw

import ltxvfs

SCHEMA = """CREATE TABLE IF NOT EXISTS orders(
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    cents INTEGER NOT NULL,
    placed_at REAL NOT NULL)"""
ORDER = "INSERT INTO orders(customer, cents, placed_at) VALUES (?, ?, ?)"
ORDERS_PER_BARRIER = 500


def order(order_id: int) -> tuple[str, int]:
    """Customer and price of an order, known to whoever knows its id."""
    return f"customer {order_id * 7919 % 1000:03d}", order_id * 104729 % 100_000


def main(path: str, replica: str) -> None:
    ltxvfs.register(replica=replica, sync_interval=0.25)
    con = apsw.Connection(path, vfs="litestream")
    con.execute(SCHEMA)
    order_id = 0
    while True:
        for _ in range(ORDERS_PER_BARRIER):
            order_id += 1
            con.execute(ORDER, (*order(order_id), time.time()))
        txid = ltxvfs.wait(con)
        print(json.dumps({"safe": order_id, "txid": str(txid), "at": time.time()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
