/* SPDX-License-Identifier: MIT */
/* Public requests of every method: the first byte chooses it.  What is taken packs as a command,
 * unpacks again, and packs to the same bytes: what the log holds is what was asked. */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "proto/codec.h"

static const char *const request_methods[] = {
    "/fairslot.v1.CatalogService/ListPools",
    "/fairslot.v1.CatalogService/GetPool",
    "/fairslot.v1.CatalogService/ListSlots",
    "/fairslot.v1.CatalogService/WatchSlots",
    "/fairslot.v1.ReservationService/CreateHold",
    "/fairslot.v1.ReservationService/GetHold",
    "/fairslot.v1.ReservationService/DropHold",
    "/fairslot.v1.ReservationService/ConfirmHold",
    "/fairslot.v1.ReservationService/GetReservation",
    "/fairslot.v1.ReservationService/ListReservations",
    "/fairslot.v1.ReservationService/CancelReservation",
    "/fairslot.v1.ReservationService/RescheduleReservation",
    "/fairslot.v1.ReservationService/ReconfirmReservation",
    "/fairslot.admin.v1.PoolAdminService/CreatePool",
    "/fairslot.admin.v1.PoolAdminService/BatchCreateSlots",
    "/fairslot.admin.v1.PoolAdminService/BlockSlots",
    "/fairslot.admin.v1.PoolAdminService/RestockPool",
    "/fairslot.admin.v1.PoolAdminService/UnblockSlots",
    "/fairslot.admin.v1.PoolAdminService/UpdatePool",
    "/fairslot.admin.v1.ReleaseAdminService/AddReleasePart",
    "/fairslot.admin.v1.ReleaseAdminService/CancelRelease",
    "/fairslot.admin.v1.ReleaseAdminService/CloseRelease",
    "/fairslot.admin.v1.ReleaseAdminService/CreateRelease",
    "/fairslot.admin.v1.ReleaseAdminService/DrainRelease",
    "/fairslot.admin.v1.ReleaseAdminService/ListReleaseSlots",
    "/fairslot.admin.v1.ReleaseAdminService/ListReleaseTickets",
    "/fairslot.admin.v1.ReleaseAdminService/OpenRelease",
    "/fairslot.admin.v1.ReleaseAdminService/PauseRelease",
    "/fairslot.admin.v1.ReleaseAdminService/ResumeRelease",
    "/fairslot.v1.CatalogService/GetRelease",
    "/fairslot.v1.CatalogService/ListReleases",
    "/fairslot.v1.TicketService/CreateTicket",
    "/fairslot.v1.TicketService/DeleteTicket",
    "/fairslot.v1.TicketService/GetTicket",
    "/fairslot.v1.TicketService/GetTicketProof",
};

static struct arena arena, again;

static void request_back(struct command *command)
{
    struct span packed, twice;
    struct command back;
    command->identity.bytes[0] = 1;
    command->assurance = ASSURANCE_HIGH;
    int r = codec_command_pack(command, &arena, &packed);
    CHECK(r == 0 || r == -12);
    if (r) {
        return;
    }
    r = codec_command_unpack(packed, &again, &back);
    CHECK(r == 0);
    CHECK(back.kind == command->kind);
    CHECK(back.body_hash == command->body_hash);
    if (codec_command_pack(&back, &again, &twice) == 0) {
        CHECK(span_equal(packed, twice));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_cut in = fuzz_cut_of(data, size);
    const char *path = request_methods[fuzz_byte(&in) % ARRAY_COUNT(request_methods)];
    const struct codec_method *method = codec_method_find(span_of(path));
    struct command command;
    const char *field = NULL, *detail = NULL;
    if (!method || method->kind == 0 || size > MESSAGE_MAX) {
        return 0;
    }
    arena_init(&arena, CALL_ARENA_MAX);
    arena_init(&again, 4 * CALL_ARENA_MAX);
    int r = codec_request(method, (struct span){in.at, in.left}, &arena, &command, &field,
                          &detail);
    CHECK(r >= 0);
    if (r == 0) {
        CHECK(command.kind == method->kind);
        if (command.kind != COMMAND_WATCH_SLOTS) { /* the gateway's own: never packed */
            request_back(&command);
        }
    } else if (r == REASON_FIELD_INVALID) {
        CHECK(field);
        CHECK(detail);
    }
    arena_fini(&again);
    arena_fini(&arena);
    return 0;
}
