#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: a disk that fills up, fails or is not ours ends in a refusal or a clean end, never in loss.

The full disk is a real one: a small tmpfs of our own.  The failing fsync is strace's injection.
"""
import os
import shutil
import subprocess
import tempfile
import time

import house
import tap
from house import api, refused

MIB = 1 << 20


class SmallDisk:
    """A file system of a given size; a ballast file takes room away and gives it back."""

    def __init__(self, mib):
        self.path = tempfile.mkdtemp(prefix='fairslot-disk-')
        done = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={mib}m', 'fairslot', self.path],
                              capture_output=True, text=True)
        if done.returncode != 0:
            os.rmdir(self.path)
            raise tap.Skip('mounting a tmpfs is not permitted here: ' + done.stderr.strip())
        self.ballast = os.path.join(self.path, 'ballast')

    def free(self):
        figures = os.statvfs(self.path)
        return figures.f_bavail * figures.f_frsize

    def leave(self, mib):
        """Fills the disk until that much is free."""
        with open(self.ballast, 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, max(1, self.free() - mib * MIB))

    def relieve(self):
        os.unlink(self.ballast)

    def close(self):
        subprocess.run(['umount', self.path], check=False, capture_output=True)
        shutil.rmtree(self.path, ignore_errors=True)


def test_disk_nearly_full():
    disk = SmallDisk(640)
    server = house.Server(os.path.join(disk.path, 'data'))
    try:
        server.start()
        operator, anna = server.operator(), server.person('anna')
        operator.make_pool('disk', max_live=8)
        names = operator.make_slots('pools/disk', 20)
        to_confirm, to_drop, to_keep = (anna.hold(name).name for name in names[:3])
        to_cancel = anna.confirm(anna.hold(names[3]).name).name
        disk.leave(150)  # under the reserve of 256 MiB
        refusal = house.eventually(lambda: storage_full(anna, names[4]), seconds=5)
        assert refusal.code == 8 and refusal.retry_s > 0, refusal
        assert anna.slots('pools/disk')[4].state == house.resources.Slot.STATE_FREE
        refused(8, 'STORAGE_FULL', operator.make_slots, 'pools/disk', 1, first=time.time() + 9e6)
        refused(8, 'STORAGE_FULL', operator.make_pool, 'more')
        confirmed = anna.confirm(to_confirm)
        anna.drop(to_drop)
        anna.cancel(to_cancel)
        kept = anna.GetHold(api.GetHoldRequest(name=to_keep))
        assert kept.state == house.resources.Hold.STATE_LIVE
        assert server.stop() == 0, 'stops cleanly on a nearly full disk'
        server.start()
        house.eventually(lambda: storage_full(anna, names[5]), seconds=5)
        disk.relieve()
        house.eventually(lambda: held(anna, names[6]), seconds=5)
        assert anna.GetReservation(api.GetReservationRequest(name=confirmed.name)) == confirmed
        server.close()
    finally:
        if server.process and server.alive():
            server.kill()
        disk.close()


def storage_full(client, slot):
    try:
        client.drop(client.hold(slot).name)
        raise AssertionError('there was room')
    except AssertionError:
        return None
    except house.Refused as refusal:
        return refusal if refusal.reason == 'STORAGE_FULL' else None


def held(client, slot):
    try:
        return client.hold(slot)
    except house.Refused as refusal:
        assert refusal.reason in ('STORAGE_FULL', None), refusal
        return None


def test_map_nearly_full():
    """A state map of 16 MiB fills up: refusals with a time, no loss; a larger one takes it on."""
    server = house.Server().start()
    operator, anna = server.operator(), server.person('anna')
    operator.make_pool('map', max_live=8)
    operator.make_pool('filler')
    names = operator.make_slots('pools/map', 20)
    to_confirm, to_drop, to_keep = (anna.hold(name).name for name in names[:3])
    to_cancel = anna.confirm(anna.hold(names[3]).name).name
    made = 0
    while made < MAP_SLOTS:  # most of it with room to spare, which is fast
        made += fill(operator, made)
    assert server.stop() == 0
    server.options = ('--state-map-mib', '16')
    server.start()
    made, refusal = fill_up(server.operator(), made)
    assert refusal.code == 8 and refusal.retry_s > 0, refusal
    anna = server.person('anna')
    refused(8, 'STORAGE_FULL', anna.hold, names[4])
    confirmed = anna.confirm(to_confirm)
    anna.drop(to_drop)
    anna.cancel(to_cancel)
    kept = anna.GetHold(api.GetHoldRequest(name=to_keep))
    assert kept.state == house.resources.Hold.STATE_LIVE
    refused(8, 'STORAGE_FULL', anna.hold, names[4])
    assert anna.slots('pools/map')[4].state == house.resources.Slot.STATE_FREE
    assert server.alive() and server.stop() == 0, 'stops cleanly with a map nearly full'
    server.options = ('--state-map-mib', '64')
    server.start()
    operator, anna = server.operator(), server.person('anna')
    assert len(operator.slots('pools/filler')) == made, 'what was acknowledged, and no more'
    assert anna.GetHold(api.GetHoldRequest(name=to_keep)) == kept
    assert anna.GetReservation(api.GetReservationRequest(name=confirmed.name)) == confirmed
    assert anna.hold(names[4]).state == house.resources.Hold.STATE_LIVE
    fill(operator, made)
    server.close()
    print(f'# 16 MiB: {made} slots', flush=True)


MAP_SLOTS = 155000  # 78 % of 16 MiB; it is nearly full at 90 %, which comes slowly
FIRST = int(time.time() // 86400 * 86400 + 2 * 86400)


def fill(operator, made, count=1500):
    """That many more slots behind the first `made`; all or nothing."""
    slots = [house.new_slot(FIRST + number // 100 * 900, f'D{number % 100}')
             for number in range(made, made + count)]
    operator.BatchCreateSlots(house.admin.BatchCreateSlotsRequest(
        parent='pools/filler', slots=slots, request_id=house.new_id()))
    return count


def fill_up(operator, made, seconds=200):
    """Until it is refused for 3 s on end: a refusal before is for the flush that is under way."""
    until, taken = time.monotonic() + seconds, time.monotonic()
    refusal = None
    while time.monotonic() - taken < 3:
        assert time.monotonic() < until, f'never full, {made} slots'
        try:
            made += fill(operator, made)
            taken = time.monotonic()
        except house.Refused as error:
            assert error.reason == 'STORAGE_FULL', error
            refusal = error
            time.sleep(0.05)
    return made, refusal


# Calls that make something durable; the log's tail is written by one that does both.
DURABLE = 'fsync,fdatasync,msync,pwrite64'


def strace(*inject):
    if house.SANITIZED:
        raise tap.Skip('leak checks and strace exclude each other')
    if not shutil.which('strace'):
        raise tap.Skip('strace is not installed')
    probe = subprocess.run(['strace', '-f', '-e', 'trace=fsync', 'true'], capture_output=True,
                           text=True)
    if probe.returncode != 0:
        raise tap.Skip('strace is not permitted here: ' + probe.stderr.strip().split('\n')[-1])
    return ['strace', '-f', '-qq', '-o', '/dev/null', '-e', f'trace={DURABLE}',
            '-e', f'inject={DURABLE}:' + ':'.join(inject)]


def test_failing_fsync_ends_the_process():
    data = house.scratch_folder()
    try:
        for when in (60, 75, 101):
            fail_fsync(data, when)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def fail_fsync(data, when):
    """Books until a thread's `when`-th sync fails; then everything acknowledged is still there."""
    wrapper = strace('error=EIO', f'when={when}+')
    server = house.Server(data, wrapper=wrapper).start()
    operator, pool = server.operator(), f'io-{when}'
    acknowledged = []
    try:
        operator.make_pool(pool, max_live=16)
        names = operator.make_slots('pools/' + pool, 200, desks=10)
        people = [house.Client(server.target, token)
                  for token in server.tokens(f'person-{when}', count=20)]
        for number, name in enumerate(names):
            person = people[number // 10]
            acknowledged.append((person, person.hold(name)))
    except house.Refused as refusal:
        assert refusal.code in (14, 4), f'a failed disk is no verdict: {refusal}'
    code = server.process.wait()
    assert code not in (0, None), f'exit code {code} after a failed fsync'
    assert len(acknowledged) < 200, 'no sync ever failed'
    talk = '\n'.join(server.process.talk)
    assert talk, 'it says why it ends'
    again = house.Server(data).start()
    for person, hold in acknowledged:
        client = house.Client(again.target, person.token)
        assert client.GetHold(api.GetHoldRequest(name=hold.name)) == hold
        client.close()
    assert again.stop() == 0
    print(f'# sync {when} fails: {len(acknowledged)} acknowledged, all kept, exit {code}',
          flush=True)


def test_a_directory_of_another_version_is_refused_by_name():
    """Other bytes where the data should be: told by name, and nothing is overwritten."""
    server = house.Server().start()
    server.operator().make_pool('version')
    assert server.stop() == 0
    path = next(os.path.join(folder, name) for folder, _, files in os.walk(server.data)
                for name in files if name == 'data.mdb' and '/log' in folder)
    with open(path, 'rb') as file:
        good = file.read()
    with open(path, 'r+b') as file:
        file.write(b'\xa5' * 8192)
    done = house.run('serve', '--dev', '--data', server.data, '--listen', '127.0.0.1:0', check=None)
    assert done.returncode in (1, 3) and 'log' in done.stderr, (done.returncode, done.stderr)
    with open(path, 'wb') as file:
        file.write(good)
    server.start()
    client = server.operator()
    assert client.GetPool(api.GetPoolRequest(name='pools/version')).name == 'pools/version'
    server.close()


def test_a_directory_that_cannot_be_written():
    folder = tempfile.mkdtemp()
    file = os.path.join(folder, 'file')
    with open(file, 'w', encoding='utf-8') as out:
        out.write('x')
    done = house.run('serve', '--dev', '--data', os.path.join(file, 'below'), '--listen',
                     '127.0.0.1:0', check=1)
    assert file in done.stderr, done.stderr
    shutil.rmtree(folder)


if __name__ == '__main__':
    tap.run(globals())
