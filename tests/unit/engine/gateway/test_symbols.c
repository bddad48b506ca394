/* SPDX-License-Identifier: MIT */
/* Does the index name every service, file and symbol of the API, and nothing else; and does damage
 * stay a verdict? */
#include "gateway/symbols.h"

#include "base/bytes.h"
#include "gateway/pb.h"
#include "gateway/route.h"
#include "tests/lib/tap.h"

extern const unsigned char api_descriptor_set[];
extern const unsigned long api_descriptor_set_len;

static struct span set(void)
{
    return (struct span){api_descriptor_set, api_descriptor_set_len};
}

static const char *file_of(const struct symbols *s, const char *symbol)
{
    static char name[100];
    const struct symbols_file *f = symbols_file_of(s, span_of(symbol));
    snprintf(name, sizeof name, "%.*s", f ? (int)f->name.len : 1,
             f ? (const char *)f->name.ptr : "-");
    return name;
}

static void test_services(void)
{
    struct symbols s;
    EQ(symbols_init(&s, set()), 0);
    static const char *const expected[] = {
        "fairslot.v1.CatalogService", "fairslot.v1.ReservationService",
        "fairslot.v1.TicketService", "fairslot.v1.EventService",
        "fairslot.admin.v1.PoolAdminService", "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        OK(symbols_service_index(&s, span_of(expected[i])) >= 0);
    }
    EQ(symbols_service_index(&s, span_of("fairslot.v1.Catalog")), -1);
    EQ(symbols_service_index(&s, span_of("")), -1);
    EQ(symbols_service_index(&s, span_of("shard.v1.Batch")), -1);
    symbols_fini(&s);
}

static bool only_tickets(struct span path)
{
    return span_equal(path, span_of("/fairslot.v1.TicketService/GetTicket"));
}

/* Services without a method that is served are not named; what they define stays found. */
static void test_served_services(void)
{
    struct symbols s;
    EQ(symbols_init(&s, set()), 0);
    symbols_keep_served(&s, route_is_served);
    EQ(s.services_count, 12);
    OK(symbols_service_index(&s, span_of("fairslot.v1.CatalogService")) >= 0);
    OK(symbols_service_index(&s, span_of("fairslot.admin.v1.PoolAdminService")) >= 0);
    OK(symbols_service_index(&s, span_of("grpc.health.v1.Health")) >= 0);
    OK(symbols_service_index(&s, span_of("fairslot.admin.v1.MaintenanceService")) >= 0);
    OK(symbols_service_index(&s, span_of("fairslot.admin.v1.ClusterService")) >= 0);
    OK(symbols_service_index(&s, span_of("google.longrunning.Operations")) >= 0);
    EQS(file_of(&s, "fairslot.v1.EventService"), "fairslot/v1/services.proto");
    EQS(file_of(&s, "google.longrunning.Operation"), "google/longrunning/operations.proto");
    symbols_fini(&s);
    EQ(symbols_init(&s, set()), 0);
    symbols_keep_served(&s, only_tickets);
    EQ(s.services_count, 1);
    EQ(symbols_service_index(&s, span_of("fairslot.v1.TicketService")), 0);
    symbols_fini(&s);
}

static void test_symbols(void)
{
    struct symbols s;
    EQ(symbols_init(&s, set()), 0);
    EQS(file_of(&s, "fairslot.v1.CatalogService"), "fairslot/v1/services.proto");
    EQS(file_of(&s, "fairslot.v1.CatalogService.ListPools"), "fairslot/v1/services.proto");
    EQS(file_of(&s, ".fairslot.v1.Pool"), "fairslot/v1/resources.proto");
    EQS(file_of(&s, "fairslot.v1.Slot.State"), "fairslot/v1/resources.proto");
    EQS(file_of(&s, "grpc.health.v1.HealthCheckResponse.ServingStatus"),
        "grpc/health/v1/health.proto");
    EQS(file_of(&s, "google.protobuf.Timestamp"), "google/protobuf/timestamp.proto");
    EQS(file_of(&s, "google.rpc.ErrorInfo.MetadataEntry"), "google/rpc/error_details.proto");
    EQS(file_of(&s, "fairslot.v1"), "-");
    EQS(file_of(&s, ""), "-");
    EQS(file_of(&s, "."), "-");
    EQS(file_of(&s, "shard.v1.Command"), "-");
    const struct symbols_file *f =
        symbols_file_by_name(&s, span_of("fairslot/v1/services.proto"));
    OK(f && f->bytes.ptr >= api_descriptor_set);
    OK(f && f->bytes.ptr + f->bytes.len <= api_descriptor_set + api_descriptor_set_len);
    OK(symbols_file_by_name(&s, span_of("services.proto")) == NULL);
    symbols_fini(&s);
}

/* Every file that a file imports is in the set: tools can follow. */
static void test_imports_are_there(void)
{
    struct symbols s;
    EQ(symbols_init(&s, set()), 0);
    OK(s.files_count >= 10);
    for (size_t i = 0; i < s.files_count; i++) {
        struct reader r = reader_of(s.files[i].bytes.ptr, s.files[i].bytes.len);
        struct pb_field f;
        while (pb_next(&r, &f)) {
            if (f.number == 3 && f.wire == PB_BYTES) {
                OK(symbols_file_by_name(&s, f.bytes) != NULL);
            }
        }
        OK(!r.bad);
    }
    symbols_fini(&s);
}

/* Cut anywhere, or one byte changed: a verdict or an index, never a crash (ASan looks on). */
static void test_damage(void)
{
    struct symbols s;
    uint8_t *copy = malloc(api_descriptor_set_len);
    for (size_t len = 1; len < api_descriptor_set_len; len += 97) {
        memcpy(copy, api_descriptor_set, len);
        int verdict = symbols_init(&s, (struct span){copy, len});
        OK(verdict == 0 || verdict == SYMBOLS_E_DAMAGED);
        symbols_fini(&s);
    }
    EQ(symbols_init(&s, (struct span){api_descriptor_set, api_descriptor_set_len - 1}),
       SYMBOLS_E_DAMAGED);
    symbols_fini(&s);
    memcpy(copy, api_descriptor_set, api_descriptor_set_len);
    for (size_t at = 0; at < api_descriptor_set_len; at += 41) {
        copy[at] ^= 0xff;
        int verdict = symbols_init(&s, (struct span){copy, api_descriptor_set_len});
        OK(verdict == 0 || verdict == SYMBOLS_E_DAMAGED);
        symbols_fini(&s);
        copy[at] ^= 0xff;
    }
    free(copy);
}

static void test_nesting_is_bounded(void)
{
    /* message in message in message ..., by hand: each level is name "m" and a nested_type */
    enum { LEVELS = 40 };
    uint8_t buf[LEVELS * 8 + 64];
    size_t len = 0;
    for (int i = 0; i < LEVELS; i++) {
        uint8_t next[sizeof buf];
        struct scribe w = scribe_of(next, sizeof next);
        pb_put_bytes(&w, 1, span_of("m"));
        if (i) {
            pb_put_bytes(&w, 3, (struct span){buf, len});
        }
        len = scribe_len(&w);
        memcpy(buf, next, len);
    }
    uint8_t file[sizeof buf + 16], whole[sizeof buf + 32];
    struct scribe w = scribe_of(file, sizeof file);
    pb_put_bytes(&w, 1, span_of("deep.proto"));
    pb_put_bytes(&w, 4, (struct span){buf, len});
    struct scribe v = scribe_of(whole, sizeof whole);
    pb_put_bytes(&v, 1, (struct span){file, scribe_len(&w)});
    OK(!w.bad && !v.bad);
    struct symbols s;
    EQ(symbols_init(&s, (struct span){whole, scribe_len(&v)}), SYMBOLS_E_DAMAGED);
    symbols_fini(&s);
}

int main(void)
{
    TAP_RUN(test_services);
    TAP_RUN(test_served_services);
    TAP_RUN(test_symbols);
    TAP_RUN(test_imports_are_there);
    TAP_RUN(test_damage);
    TAP_RUN(test_nesting_is_bounded);
    return tap_done();
}
