#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Books one slot with grpcio, as any client may: list, hold, confirm.

    book.py --token-file FILE [--target HOST:PORT] [--pool ID]

The stubs are made from proto/ when it starts.  Needs Debian's python3-grpcio, python3-protobuf,
protobuf-compiler and protobuf-compiler-grpc; /usr/bin/python3 is the Python they belong to.
"""
import argparse
import datetime
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import zoneinfo

import grpc

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROTOS = ('fairslot/v1/resources.proto', 'fairslot/v1/services.proto')
SOON_S = 60  # a slot that starts sooner cannot be reached, nor booked in time
TRIES = 5  # slots to try when others are faster: a taken one is an answer, not an accident


def make_stubs():
    """The modules of the public API."""
    plugin = shutil.which('grpc_python_plugin')
    if not plugin or not shutil.which('protoc'):
        sys.exit('book.py: protoc or grpc_python_plugin is missing: ./deploy/install build client')
    with tempfile.TemporaryDirectory(prefix='fairslot-stubs-') as folder:
        subprocess.run(
            ['protoc', '-I', os.path.join(ROOT, 'proto'), '--python_out=' + folder,
             '--grpc_python_out=' + folder, '--plugin=protoc-gen-grpc_python=' + plugin, *PROTOS],
            check=True)
        sys.path.insert(0, folder)
        return (importlib.import_module('fairslot.v1.services_pb2'),
                importlib.import_module('fairslot.v1.services_pb2_grpc'))


def refusal(error):
    """A refusal's words."""
    return f'{error.code().name}: {error.details()}'


def free_slot(api, catalog, pools, metadata):
    """The first pool with free slots that have not started, and its first ones."""
    for pool in pools:
        request = api.ListSlotsRequest(parent=pool.name, free_only=True, page_size=TRIES)
        request.start_time.FromSeconds(int(time.time()) + SOON_S)
        while True:
            page = catalog.ListSlots(request, metadata=metadata, timeout=10)
            if page.slots:
                return pool, page.slots
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token  # a page may be empty and not the last
    sys.exit('book.py: no free slot in any pool')


def book(api, booking, slots, metadata):
    """Holds the first slot that is still free, and confirms."""
    for slot in slots:
        try:
            hold = booking.CreateHold(api.CreateHoldRequest(
                parent=slot.name.split('/slots/')[0], slot=slot.name, request_id=str(uuid.uuid4())),
                metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.ABORTED:
                raise
            continue  # somebody else has it
        return booking.ConfirmHold(api.ConfirmHoldRequest(
            name=hold.name, etag=hold.etag, request_id=str(uuid.uuid4())),
            metadata=metadata, timeout=10)
    sys.exit('book.py: all the slots that were free a moment ago are taken: run it again')


def show(pool, reservation):
    slot = reservation.slots[0]
    zone = zoneinfo.ZoneInfo(pool.time_zone)
    start = datetime.datetime.fromtimestamp(slot.start_time.seconds, zone)
    rows = (('reserved', pool.display_name),
            ('when', f'{start:%A, %d %B %Y, %H:%M} ({pool.time_zone})'),
            ('how long', f'{slot.duration.seconds // 60} minutes'),
            ('where', slot.desk),
            ('code', reservation.display_code),
            ('name', reservation.name))
    for key, value in rows:
        if value:
            print(f'  {key:<9} {value}')


def main():
    parser = argparse.ArgumentParser(description='Books one slot with grpcio.')
    parser.add_argument('--target', default=os.environ.get('FAIRSLOT_TARGET', '127.0.0.1:17700'))
    parser.add_argument('--token-file', default=os.environ.get('FAIRSLOT_TOKEN_FILE'))
    parser.add_argument('--pool', help='id of a pool (the first one with free slots)')
    options = parser.parse_args()
    if not options.token_file:
        parser.error('--token-file FILE is needed')
    with open(options.token_file, encoding='utf-8') as file:
        metadata = [('authorization', 'Bearer ' + file.read().strip())]
    api, rpc = make_stubs()
    channel = grpc.insecure_channel(options.target, options=[('grpc.enable_http_proxy', 0)])
    catalog, booking = rpc.CatalogServiceStub(channel), rpc.ReservationServiceStub(channel)
    try:
        if options.pool:
            pools = [catalog.GetPool(api.GetPoolRequest(name='pools/' + options.pool),
                                     metadata=metadata, timeout=10)]
        else:
            pools = catalog.ListPools(api.ListPoolsRequest(page_size=1000), metadata=metadata,
                                      timeout=10).pools
        pool, slots = free_slot(api, catalog, pools, metadata)
        show(pool, book(api, booking, slots, metadata))
    except grpc.RpcError as error:
        sys.exit('book.py: ' + refusal(error))


if __name__ == '__main__':
    main()
