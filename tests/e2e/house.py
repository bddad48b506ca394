# SPDX-License-Identifier: MIT
"""The fixture of all end-to-end tests: real processes, real tokens, stubs made from proto/.

Owns the processes it starts and ends them by pid.  Servers listen on 127.0.0.1 with a port that the
kernel gives nobody, so that it is still theirs when they were killed and come back; whoever reads
the ready line may call.
"""
import atexit
import base64
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get('FAIRSLOT_BINARY', os.path.join(ROOT, 'build', 'fairslot'))
SANITIZED = bool(os.environ.get('FAIRSLOT_SANITIZED'))  # slower, and no strace
os.environ.setdefault('LSAN_OPTIONS', 'print_suppressions=0:suppressions=' + "'%s'" %
                      os.path.join(ROOT, 'tests', 'lib', 'lsan.txt'))
READY_SECONDS = 30
STOP_SECONDS = 20
SICK = ('ERROR: AddressSanitizer', 'ERROR: LeakSanitizer', 'WARNING: ThreadSanitizer',
        'runtime error:', 'fairslot: CHECK(')


def make_stubs():
    """Python modules of the public API, made fresh; imported from a folder of their own."""
    folder = tempfile.mkdtemp(prefix='fairslot-stubs-')
    standard = '/usr/share/grpc-proto'
    subprocess.run(
        ['protoc', '-I', os.path.join(ROOT, 'proto'), '-I', standard, '--python_out=' + folder,
         '--grpc_python_out=' + folder,
         '--plugin=protoc-gen-grpc_python=' + shutil.which('grpc_python_plugin'),
         'fairslot/v1/resources.proto', 'fairslot/v1/services.proto',
         'fairslot/admin/v1/pools.proto', 'fairslot/admin/v1/cluster.proto',
         'google/longrunning/operations.proto', 'google/rpc/status.proto',
         'google/rpc/error_details.proto',
         'grpc/health/v1/health.proto', 'grpc/reflection/v1/reflection.proto',
         'grpc/reflection/v1alpha/reflection.proto'], check=True)
    # "grpc" is also the library's own package: the generated folder becomes a second part of it.
    os.rename(os.path.join(folder, 'grpc'), os.path.join(folder, 'grpc_generated'))
    return folder


STUBS = make_stubs()
atexit.register(shutil.rmtree, STUBS, ignore_errors=True)
sys.path.insert(0, STUBS)

# A channel whose calls all fail at once is polled by nobody but grpc's backup poller, every 5 s:
# its connection stands for that long, or until it times out, before grpc looks.
os.environ.setdefault('GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS', '100')
import grpc  # noqa: E402

grpc.__path__.append(os.path.join(STUBS, 'grpc_generated'))

from fairslot.admin.v1 import pools_pb2 as admin, pools_pb2_grpc as admin_rpc  # noqa: E402
from fairslot.admin.v1 import cluster_pb2 as cluster, cluster_pb2_grpc as cluster_rpc  # noqa: E402
from fairslot.v1 import resources_pb2 as resources  # noqa: E402
from fairslot.v1 import services_pb2 as api, services_pb2_grpc as api_rpc  # noqa: E402
from google.protobuf import duration_pb2, timestamp_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402


def new_id():
    return str(uuid.uuid4())


def timestamp(seconds):
    return timestamp_pb2.Timestamp(seconds=int(seconds))


def seconds(count):
    return duration_pb2.Duration(seconds=count)


def scratch_folder():
    """A data folder; with a blank in its name, since people have those."""
    folder = tempfile.mkdtemp(prefix='fairslot data ')
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def quiet_port():
    """A port that nobody gets by asking for any: for whoever goes and comes back to it."""
    while True:
        port = random.randrange(18000, 32000)  # above those of the README
        with socket.socket() as sock:
            try:
                sock.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue


class Process:
    """One fairslot process.  Reads both of its pipes all the time, so that it never blocks."""

    def __init__(self, *words, wrapper=(), binary=BINARY):
        self.words, self.wrapped = words, bool(wrapper)
        self.lines = queue.Queue()
        self.ready = {}  # KEY=VALUE words of the ready line
        self.talk = []  # stderr, whole lines
        self.child = subprocess.Popen(
            [*wrapper, binary, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True, errors='replace')
        atexit.register(self.put_away)
        self.readers = [threading.Thread(target=self.read_out, daemon=True),
                        threading.Thread(target=self.read_talk, daemon=True)]
        for reader in self.readers:
            reader.start()

    def read_out(self):
        for line in self.child.stdout:
            self.lines.put(line.rstrip('\n'))
        self.lines.put(None)

    def read_talk(self):
        for line in self.child.stderr:
            self.talk.append(line.rstrip('\n'))

    def put_away(self):
        """A test that broke off leaves nothing running."""
        if self.alive():
            self.kill()

    def wait_ready(self, key):
        """The value of KEY=VALUE on the ready line."""
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                if self.alive():
                    self.kill()
                raise AssertionError(f'{self.words} never became ready: {self.talk[-20:]}')
            if line.startswith('ready '):
                self.ready = dict(word.split('=', 1) for word in line.split()[1:])
                return self.ready[key]

    @property
    def pid(self):
        """The server's own: a wrapper has it as its only child."""
        pid = self.child.pid
        if self.wrapped:
            with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
                pid = int(file.read().split()[0])
        return pid

    def alive(self):
        return self.child.poll() is None

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.child.wait()

    def stop(self):
        """SIGTERM; the exit code."""
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self, seconds=STOP_SECONDS):
        try:
            code = self.child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f'{self.words} did not end in {seconds} s: {self.talk[-20:]}')
        for reader in self.readers:
            reader.join(timeout=5)
        self.assert_healthy()
        return code

    def assert_healthy(self):
        sick = [line for line in self.talk if any(word in line for word in SICK)]
        assert not sick, f'{self.words}: {self.talk}'


class Server:
    """`fairslot serve --dev` on a data folder, which outlives restarts."""

    def __init__(self, data=None, options=(), wrapper=(), binary=BINARY):
        self.owned = data is None
        self.data = data or scratch_folder()
        self.options, self.wrapper, self.binary = tuple(options), tuple(wrapper), binary
        self.process = None
        self.port = 0

    def start(self):
        self.port = self.port or quiet_port()
        self.process = Process('serve', '--dev', '--data', self.data, '--listen',
                               f'127.0.0.1:{self.port}', *self.options, wrapper=self.wrapper,
                               binary=self.binary)
        target = self.process.wait_ready('grpc')
        self.port = int(target.rpartition(':')[2])
        return self

    @property
    def target(self):
        return f'127.0.0.1:{self.port}'

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.kill()

    def alive(self):
        return self.process.alive()

    def close(self):
        """Ends it well, and takes its folder away."""
        try:
            if self.process and self.process.alive():
                code = self.stop()
                assert code == 0, f'exit code {code}: {self.process.talk[-20:]}'
            elif self.process:
                self.process.assert_healthy()
        finally:
            if self.owned:
                shutil.rmtree(self.data, ignore_errors=True)

    def tokens(self, subject, **claims):
        return mint(self.data, subject, **claims)

    def operator_token(self):
        with open(os.path.join(self.data, 'operator.token'), encoding='utf-8') as file:
            return file.read().strip()

    def operator(self):
        return Client(self.target, self.operator_token())

    def person(self, subject='somebody', **claims):
        return Client(self.target, self.tokens(subject, **claims)[0])


class Pair(Server):
    """The same as two processes: `fairslot shard` and `fairslot gateway`, nng over tcp."""

    def __init__(self, data=None):
        super().__init__(data)
        self.shard, self.shard_url = None, f'tcp://127.0.0.1:{quiet_port()}'

    def start(self):
        self.start_shard()
        return self.start_gateway()

    def start_shard(self):
        self.shard = Process('shard', '--data', self.data, '--listen', self.shard_url)
        self.shard_url = self.shard.wait_ready('shard')
        return self

    def start_gateway(self):
        self.port = self.port or quiet_port()
        self.process = Process('gateway', '--data', self.data, '--shard', self.shard_url,
                               '--listen', f'127.0.0.1:{self.port}')
        self.port = int(self.process.wait_ready('grpc').rpartition(':')[2])
        return self

    def kill_gateway(self):
        self.process.kill()
        self.start_gateway()

    def kill_shard(self):
        self.shard.kill()
        self.start_shard()

    def close(self):
        try:
            if self.shard and self.shard.alive():
                code = self.shard.stop()
                assert code == 0, f'shard: exit code {code}: {self.shard.talk[-20:]}'
        finally:
            super().close()


def mint(data, subject, count=None, assurance=None, role=None, ttl=None):
    """Tokens of the development issuer in a data folder."""
    words = ['token', '--data', data, '--subject', subject]
    for option, value in (('--count', count), ('--assurance', assurance), ('--role', role),
                          ('--ttl', ttl)):
        if value is not None:
            words += [option, str(value)]
    return run(*words).stdout.split()


def run(*words, check=0, env=None, **more):
    """A verb of the command line, in the foreground; its exit code must be `check` (None: any)."""
    done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}, **more)
    assert check in (None, done.returncode), \
        f'{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}'
    return done


class Refused(Exception):
    """A call's refusal, taken apart."""

    def __init__(self, error):
        self.code = error.code().value[0]
        self.text = error.details()
        self.reason, self.retry_s, self.field, self.meta = None, 0.0, None, {}
        self.details = set()
        for key, value in error.trailing_metadata() or ():
            if key == 'grpc-status-details-bin':
                self.read(status_pb2.Status.FromString(value))
        super().__init__(f'{self.code} {self.reason}: {self.text}')

    def read(self, status):
        assert status.code == self.code, f'{status.code} in the details, {self.code} outside'
        for detail in status.details:
            self.details.add(detail.type_url.rpartition('.')[2])
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                assert info.domain == 'fairslot', info.domain
                self.reason, self.meta = info.reason, dict(info.metadata)
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                info = error_details_pb2.RetryInfo.FromString(detail.value)
                self.retry_s = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest.FromString(detail.value)
                self.field = bad.field_violations[0].field


class Client:
    """All services on one channel, as one identity.  Refusals come as Refused."""

    def __init__(self, target, token=None, timeout=10):
        self.channel = grpc.insecure_channel(
            target, options=[('grpc.use_local_subchannel_pool', 1),
                             ('grpc.initial_reconnect_backoff_ms', 100),
                             ('grpc.max_reconnect_backoff_ms', 300),
                             ('grpc.max_receive_message_length', -1)])
        self.token, self.timeout = token, timeout
        self.stubs = [stub(self.channel) for stub in (
            api_rpc.CatalogServiceStub, api_rpc.ReservationServiceStub,
            api_rpc.TicketServiceStub, api_rpc.EventServiceStub,
            admin_rpc.PoolAdminServiceStub,
            cluster_rpc.ReleaseAdminServiceStub, cluster_rpc.ClusterServiceStub,
            cluster_rpc.MaintenanceServiceStub)]

    def metadata(self):
        return [('authorization', 'Bearer ' + self.token)] if self.token is not None else []

    def __getattr__(self, name):
        for stub in self.__dict__.get('stubs', ()):
            if hasattr(stub, name):
                method = getattr(stub, name)
                return lambda request, timeout=None: self.call(method, request, timeout)
        raise AttributeError(name)

    def call(self, method, request, timeout=None):
        try:
            return method(request, metadata=self.metadata(), timeout=timeout or self.timeout)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def raw(self, path, payload=b'', timeout=None, metadata=None):
        """Any bytes to any method; the answer's bytes."""
        method = self.channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        try:
            return method(payload, timeout=timeout or self.timeout,
                          metadata=self.metadata() if metadata is None else metadata)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def reaches(self):
        """Is there a server with its shard?  False while one of them is away."""
        try:
            self.ListPools(api.ListPoolsRequest(page_size=1), timeout=2)
            return True
        except Refused as refusal:
            assert refusal.code in (4, 14), refusal
            return False

    def close(self):
        self.channel.close()

    # -- shorter words for the common steps -----------------------------------------------------

    def make_pool(self, pool_id, hold_ttl_s=600, max_live=4, **fields):
        pool = resources.Pool(display_name=fields.pop('display_name', 'Passports'),
                              service_class=fields.pop('service_class', pool_id),
                              time_zone='Europe/Berlin', max_live_per_identity=max_live, **fields)
        pool.hold_ttl.seconds = hold_ttl_s
        return self.CreatePool(admin.CreatePoolRequest(
            pool_id=pool_id, pool=pool, request_id=new_id()))

    def make_slots(self, pool, count, first=None, step_s=900, desks=1):
        """`count` slots from `first` (a day from now), `desks` side by side; their names."""
        first = int(first if first is not None else time.time() // 3600 * 3600 + 86400)
        slots = [new_slot(first + number // desks * step_s, f'Desk {number % desks + 1}')
                 for number in range(count)]
        for at in range(0, count, 1000):
            self.BatchCreateSlots(admin.BatchCreateSlotsRequest(
                parent=pool, slots=slots[at:at + 1000], request_id=new_id()))
        return [slot.name for slot in self.slots(pool)]

    def slots(self, pool, **fields):
        """Every slot of a pool, page by page."""
        found, token = [], ''
        while True:
            page = self.ListSlots(api.ListSlotsRequest(
                parent=pool, page_size=1000, page_token=token, **fields))
            found.extend(page.slots)
            token = page.next_page_token
            if not token:
                return found

    def hold(self, slot, request_id=None, **fields):
        return self.CreateHold(api.CreateHoldRequest(
            parent=slot.split('/slots/')[0], slot=slot, request_id=request_id or new_id(),
            **fields))

    def confirm(self, hold, request_id=None, etag=''):
        return self.ConfirmHold(api.ConfirmHoldRequest(
            name=hold, request_id=request_id or new_id(), etag=etag))

    def drop(self, hold, request_id=None):
        return self.DropHold(api.DropHoldRequest(name=hold, request_id=request_id or new_id()))

    def cancel(self, reservation, request_id=None, etag=''):
        return self.CancelReservation(api.CancelReservationRequest(
            name=reservation, request_id=request_id or new_id(), etag=etag))


def new_slot(start_s, desk, duration_s=900):
    slot = resources.Slot(desk=desk)
    slot.start_time.seconds = int(start_s)
    slot.duration.seconds = duration_s
    return slot


def refused(code, reason, action, *arguments, **fields):
    """The action must be refused with this status and reason; returns the refusal."""
    try:
        answer = action(*arguments, **fields)
    except Refused as refusal:
        assert (refusal.code, refusal.reason) == (code, reason), \
            f'wanted {code} {reason}, got {refusal}'
        return refusal
    raise AssertionError(f'wanted {code} {reason}, got an answer: {answer}')


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def eventually(check, seconds=30, every=0.05):
    """Waits until check() is true; its last value.  A busy machine may keep the shard from
    answering for so long that the gateway tells its callers to come again: then not yet."""
    until = time.monotonic() + seconds
    while True:
        try:
            value = check()
        except Refused as refusal:
            if refusal.reason != 'NO_LEADER' or time.monotonic() > until:
                raise
            value = None
        if value:
            return value
        assert time.monotonic() < until, f'not so within {seconds} s'
        time.sleep(every)


def fetch(url):
    """A page's text."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def sample(text, series):
    """A series' value in /metrics; 0 when it is not there."""
    found = [line for line in text.splitlines() if line.startswith(series + ' ')]
    return float(found[0].rpartition(' ')[2]) if found else 0
