#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: health and reflection (v1 and v1alpha) as every gRPC tool expects them, without a token."""
import threading

import house
import tap
from google.protobuf import descriptor_pb2
from grpc.health.v1 import health_pb2 as health
from grpc.reflection.v1 import reflection_pb2 as reflection
from grpc.reflection.v1alpha import reflection_pb2 as reflection_alpha
from house import grpc, refused

SERVER = house.Server()
CHECK, WATCH = '/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Watch'
SERVING = health.HealthCheckResponse.SERVING
OURS = ['fairslot.v1.CatalogService', 'fairslot.v1.ReservationService',
        'fairslot.v1.TicketService', 'fairslot.v1.EventService',
        'fairslot.admin.v1.PoolAdminService',
        'fairslot.admin.v1.ReleaseAdminService', 'fairslot.admin.v1.MaintenanceService',
        'fairslot.admin.v1.ClusterService', 'google.longrunning.Operations']
STANDARD = ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection',
            'grpc.reflection.v1alpha.ServerReflection']


def before():
    global NOBODY
    SERVER.start()
    NOBODY = house.Client(SERVER.target)


def after():
    SERVER.close()


def check(service):
    answer = NOBODY.raw(CHECK, health.HealthCheckRequest(service=service).SerializeToString())
    return health.HealthCheckResponse.FromString(answer).status


def test_health_of_the_whole():
    assert check('') == SERVING


def test_health_of_each_service():
    for service in OURS:
        assert check(service) == SERVING, service


def test_health_of_an_unknown_service():
    try:
        check('nobody.v1.Service')
        raise AssertionError('an unknown service is healthy')
    except house.Refused as refusal:
        assert refusal.code == 5, refusal


def test_health_watch():
    method = NOBODY.channel.unary_stream(
        WATCH, request_serializer=health.HealthCheckRequest.SerializeToString,
        response_deserializer=health.HealthCheckResponse.FromString)
    for service, wanted in (('', SERVING), ('nobody.v1.Service',
                                            health.HealthCheckResponse.SERVICE_UNKNOWN)):
        stream = method(health.HealthCheckRequest(service=service), timeout=10)
        assert next(stream).status == wanted
        stream.cancel()


def test_health_watch_sees_the_end():
    server = house.Server().start()
    client = house.Client(server.target)
    method = client.channel.unary_stream(
        WATCH, request_serializer=health.HealthCheckRequest.SerializeToString,
        response_deserializer=health.HealthCheckResponse.FromString)
    stream = method(health.HealthCheckRequest(), timeout=20)
    assert next(stream).status == SERVING
    seen = []

    def read():
        try:
            seen.extend(answer.status for answer in stream)
        except grpc.RpcError:
            pass
    reader = threading.Thread(target=read)
    reader.start()
    assert server.stop() == 0
    reader.join(10)
    server.close()
    assert not reader.is_alive()
    assert SERVING not in seen, seen


def ask(version, *requests):
    """Reflection's answers, over one stream, each as it comes."""
    kind = {'v1': reflection, 'v1alpha': reflection_alpha}[version]
    method = NOBODY.channel.stream_stream(
        f'/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo',
        request_serializer=kind.ServerReflectionRequest.SerializeToString,
        response_deserializer=kind.ServerReflectionResponse.FromString)
    asked = threading.Semaphore(1)

    def one_at_a_time():
        for fields in requests:
            asked.acquire(timeout=10)
            yield kind.ServerReflectionRequest(**fields)
    answers = []
    for answer in method(one_at_a_time(), timeout=10):
        answers.append(answer)
        asked.release()
    assert len(answers) == len(requests), answers
    return answers


def test_reflection_lists_the_services():
    for version in ('v1', 'v1alpha'):
        answer = ask(version, {'list_services': ''})[0]
        names = {service.name for service in answer.list_services_response.service}
        assert names == set(OURS + STANDARD), 'what is only planned is not named'


def files_of(answer):
    assert answer.WhichOneof('message_response') == 'file_descriptor_response', answer
    return [descriptor_pb2.FileDescriptorProto.FromString(data)
            for data in answer.file_descriptor_response.file_descriptor_proto]


def test_reflection_finds_symbols():
    for version in ('v1', 'v1alpha'):
        symbols = ['fairslot.v1.CatalogService', 'fairslot.v1.CatalogService.ListPools',
                   'fairslot.v1.Pool', 'fairslot.v1.Slot.State',
                   'fairslot.admin.v1.CreatePoolRequest', 'fairslot.v1.Slot.desk',
                   'fairslot.v1.CreateHoldRequest.want', 'fairslot.v1.Slot.STATE_FREE',
                   'fairslot.v1.ASSURANCE_LOW']
        answers = ask(version, *({'file_containing_symbol': symbol} for symbol in symbols))
        for symbol, answer in zip(symbols, answers):
            names = {file.name for file in files_of(answer)}
            assert any(name.startswith('fairslot/') for name in names), (symbol, names)


def test_reflection_finds_files():
    answer = ask('v1', {'file_by_filename': 'fairslot/v1/services.proto'})[0]
    assert any(file.name == 'fairslot/v1/services.proto' for file in files_of(answer))


def test_reflection_is_enough_to_build_the_api():
    """What grpcurl does: from a service's name to all files that its messages need."""
    known, wanted = {}, {'fairslot/v1/services.proto', 'fairslot/admin/v1/pools.proto'}
    while wanted - set(known):
        name = (wanted - set(known)).pop()
        for file in files_of(ask('v1', {'file_by_filename': name})[0]):
            known[file.name] = file
            wanted.update(file.dependency)
    from google.protobuf import descriptor_pool
    pool = descriptor_pool.DescriptorPool()

    def add(name):
        for dependency in known[name].dependency:
            add(dependency)
        pool.Add(known[name])
    for name in ('fairslot/v1/services.proto', 'fairslot/admin/v1/pools.proto'):
        add(name)
    service = pool.FindServiceByName('fairslot.v1.ReservationService')
    assert service.methods_by_name['CreateHold'].input_type.name == 'CreateHoldRequest'


def test_reflection_says_what_it_does_not_know():
    for fields in ({'file_containing_symbol': 'nobody.v1.Thing'},
                   {'file_by_filename': 'nothing.proto'}, {'file_containing_symbol': ''},
                   {'file_containing_symbol': 'x' * 5000}):
        answer = ask('v1', fields, {'list_services': ''})[0]
        assert answer.error_response.error_code == 5, answer


def test_the_catalogue_wants_no_token_and_the_rest_does():
    NOBODY.raw('/fairslot.v1.CatalogService/ListPools', b'')
    refused(16, 'TOKEN_MISSING', NOBODY.raw, '/fairslot.v1.ReservationService/GetHold', b'')


if __name__ == '__main__':
    tap.run(globals(), before, after)
