/* SPDX-License-Identifier: MIT */
/* Which method is which command.  Every rpc of the public .proto files stands here, sorted by its
 * path's bytes, the planned ones with kind 0: so that a client of a later version is told
 * METHOD_PLANNED, and a typing error METHOD_UNKNOWN.  A unit test holds the table against the
 * generated service descriptors.  Owns nothing, fails by NULL only. */
#include <stdlib.h>

#include "base/check.h"
#include "proto/codec_parts.h"

/* path, kind, needs_role, anonymous */
static const struct codec_method methods[] = {
    {"/fairslot.admin.v1.ClusterService/AddNode", COMMAND_ADD_NODE, true, false},
    {"/fairslot.admin.v1.ClusterService/CordonNode", COMMAND_MARK_NODE, true, false,
     NODE_MARK_CORDON},
    {"/fairslot.admin.v1.ClusterService/DrainNode", COMMAND_DRAIN_NODE, true, false},
    {"/fairslot.admin.v1.ClusterService/GetCluster", COMMAND_GET_CLUSTER, false, false},
    {"/fairslot.admin.v1.ClusterService/ListNodes", COMMAND_LIST_NODES, false, false},
    {"/fairslot.admin.v1.ClusterService/ListShards", COMMAND_LIST_SHARDS, false, false},
    {"/fairslot.admin.v1.ClusterService/MergeShards", 0, true, false},
    {"/fairslot.admin.v1.ClusterService/MoveShard", 0, true, false},
    {"/fairslot.admin.v1.ClusterService/RebalanceCluster", 0, true, false},
    {"/fairslot.admin.v1.ClusterService/RemoveNode", COMMAND_REMOVE_NODE, true, false},
    {"/fairslot.admin.v1.ClusterService/SplitShard", 0, true, false},
    {"/fairslot.admin.v1.ClusterService/TransferLeader", COMMAND_TRANSFER_LEADER, true, false},
    {"/fairslot.admin.v1.ClusterService/UncordonNode", COMMAND_MARK_NODE, true, false},
    {"/fairslot.admin.v1.MaintenanceService/CreateBackup", 0, true, false},
    {"/fairslot.admin.v1.MaintenanceService/EraseIdentity", COMMAND_ERASE, true, false},
    {"/fairslot.admin.v1.MaintenanceService/ListAuditEvents", 0, true, false},
    {"/fairslot.admin.v1.MaintenanceService/ListBackups", 0, true, false},
    {"/fairslot.admin.v1.MaintenanceService/VerifyAuditLog", 0, true, false},
    {"/fairslot.admin.v1.PoolAdminService/BatchCreateSlots", COMMAND_CREATE_SLOTS, true, false},
    {"/fairslot.admin.v1.PoolAdminService/BlockSlots", COMMAND_BLOCK_SLOTS, true, false},
    {"/fairslot.admin.v1.PoolAdminService/CreatePool", COMMAND_CREATE_POOL, true, false},
    {"/fairslot.admin.v1.PoolAdminService/RestockPool", COMMAND_RESTOCK, true, false},
    {"/fairslot.admin.v1.PoolAdminService/UnblockSlots", COMMAND_UNBLOCK_SLOTS, true, false},
    {"/fairslot.admin.v1.PoolAdminService/UpdatePool", COMMAND_UPDATE_POOL, true, false},
    {"/fairslot.admin.v1.ReleaseAdminService/AddReleasePart", COMMAND_ADD_PART, false, false},
    {"/fairslot.admin.v1.ReleaseAdminService/CancelRelease", COMMAND_CHANGE_RELEASE, true,
     false, RELEASE_ACTION_CANCEL},
    {"/fairslot.admin.v1.ReleaseAdminService/CloseRelease", COMMAND_CHANGE_RELEASE, true,
     false, RELEASE_ACTION_CLOSE},
    {"/fairslot.admin.v1.ReleaseAdminService/CreateRelease", COMMAND_CREATE_RELEASE, true, false},
    {"/fairslot.admin.v1.ReleaseAdminService/DrainRelease", COMMAND_CHANGE_RELEASE, true,
     false, RELEASE_ACTION_DRAIN},
    {"/fairslot.admin.v1.ReleaseAdminService/ExportRelease", COMMAND_EXPORT_RELEASE,
     false, false},
    {"/fairslot.admin.v1.ReleaseAdminService/ListReleaseSlots", COMMAND_LIST_OFFERED, false, false},
    {"/fairslot.admin.v1.ReleaseAdminService/ListReleaseTickets", COMMAND_LIST_TICKETS, false,
     false},
    {"/fairslot.admin.v1.ReleaseAdminService/OpenRelease", COMMAND_CHANGE_RELEASE, true,
     false, RELEASE_ACTION_OPEN},
    {"/fairslot.admin.v1.ReleaseAdminService/PauseRelease", COMMAND_CHANGE_RELEASE, true,
     false, RELEASE_ACTION_PAUSE},
    {"/fairslot.admin.v1.ReleaseAdminService/ResumeRelease", COMMAND_CHANGE_RELEASE, true,
     false, RELEASE_ACTION_RESUME},
    {"/fairslot.admin.v1.ReleaseAdminService/RevealSeed", COMMAND_REVEAL_SEED, true, false},
    {"/fairslot.v1.CatalogService/GetPool", COMMAND_GET_POOL, false, true},
    {"/fairslot.v1.CatalogService/GetRelease", COMMAND_GET_RELEASE, false, true},
    {"/fairslot.v1.CatalogService/GetReleaseReport", COMMAND_GET_REPORT, false, true},
    {"/fairslot.v1.CatalogService/GetReleaseResult", COMMAND_GET_RESULT, false, true},
    {"/fairslot.v1.CatalogService/ListPools", COMMAND_LIST_POOLS, false, true},
    {"/fairslot.v1.CatalogService/ListReleases", COMMAND_LIST_RELEASES, false, true},
    {"/fairslot.v1.CatalogService/ListSlots", COMMAND_LIST_SLOTS, false, true},
    {"/fairslot.v1.CatalogService/WatchSlots", COMMAND_WATCH_SLOTS, false, false},
    {"/fairslot.v1.EventService/ListEvents", COMMAND_LIST_EVENTS, false, false},
    {"/fairslot.v1.EventService/WatchEvents", COMMAND_WATCH_EVENTS, false, false},
    {"/fairslot.v1.ReservationService/CancelReservation", COMMAND_CANCEL_RESERVATION, false, false},
    {"/fairslot.v1.ReservationService/ConfirmHold", COMMAND_CONFIRM_HOLD, false, false},
    {"/fairslot.v1.ReservationService/CreateHold", COMMAND_CREATE_HOLD, false, false},
    {"/fairslot.v1.ReservationService/DropHold", COMMAND_DROP_HOLD, false, false},
    {"/fairslot.v1.ReservationService/GetHold", COMMAND_GET_HOLD, false, false},
    {"/fairslot.v1.ReservationService/GetReservation", COMMAND_GET_RESERVATION, false, false},
    {"/fairslot.v1.ReservationService/ListReservations", COMMAND_LIST_RESERVATIONS, false, false},
    {"/fairslot.v1.ReservationService/ReconfirmReservation", COMMAND_RECONFIRM, false, false},
    {"/fairslot.v1.ReservationService/RescheduleReservation", COMMAND_RESCHEDULE, false, false},
    {"/fairslot.v1.TicketService/CreateTicket", COMMAND_CREATE_TICKET, false, false},
    {"/fairslot.v1.TicketService/DeleteTicket", COMMAND_DELETE_TICKET, false, false},
    {"/fairslot.v1.TicketService/GetTicket", COMMAND_GET_TICKET, false, false},
    {"/fairslot.v1.TicketService/GetTicketProof", COMMAND_GET_PROOF, false, false},
    {"/fairslot.v1.TicketService/WatchTicket", COMMAND_WATCH_TICKET, false, false},
    {"/google.longrunning.Operations/CancelOperation", 0, false, false},
    {"/google.longrunning.Operations/GetOperation", COMMAND_GET_OPERATION, false, false},
    {"/google.longrunning.Operations/ListOperations", 0, false, false},
    {"/google.longrunning.Operations/WaitOperation", 0, false, false},
};

static int codec_method_compare(const void *key, const void *row)
{
    const struct span *path = key;
    const struct codec_method *method = row;
    size_t len = strlen(method->path);
    int order = memcmp(path->ptr, method->path, path->len < len ? path->len : len);
    return order ? order : (path->len > len) - (path->len < len);
}

const struct codec_method *codec_method_find(struct span path)
{
    if (path.len == 0) {
        return NULL;
    }
    return bsearch(&path, methods, ARRAY_COUNT(methods), sizeof methods[0], codec_method_compare);
}
