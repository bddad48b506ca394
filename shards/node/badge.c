/* SPDX-License-Identifier: MIT */
/* The file `badge` of a shard's directory.
 * Owns the file; the struct is the caller's.
 *
 *   version u8, flags u8, id u64, disk u64, cluster 16, count u16, (id u64, disk u64) each,
 *   XXH3-64 of all before
 *
 * happy path: read at the start; written anew when a peer is heard for the first time, before its
 * message is looked at, because a promise may stand in that message.
 * A directory of before there were peers has neither it nor `members`: a voter alone with id 1.
 * Fails: a file that does not check, or is gone from a directory in use, or has another id than the
 * one asked for; < 0 from the disk. */
#include "node/badge.h"

#include <stdio.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/folder.h"

#define BADGE_FILE    "badge"
#define BADGE_VERSION 1
#define BADGE_BYTES   (1 + 1 + 8 + 8 + 16 + 2 + BADGE_PEERS_MAX * 16 + 8)
#define FLAG_JOINS       1
#define FLAG_ALONE       2

static int badge_write(const struct badge *own, const char *dir)
{
    uint8_t bytes[BADGE_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u8(&w, BADGE_VERSION);
    scribe_u8(&w, (uint8_t)((own->joins ? FLAG_JOINS : 0) | (own->is_alone ? FLAG_ALONE : 0)));
    scribe_u64(&w, own->id);
    scribe_u64(&w, own->disk);
    scribe_bytes(&w, own->cluster_id, sizeof own->cluster_id);
    scribe_u16(&w, (uint16_t)own->peers_count);
    for (size_t i = 0; i < own->peers_count; i++) {
        scribe_u64(&w, own->peers[i].id);
        scribe_u64(&w, own->peers[i].disk);
    }
    scribe_u64(&w, XXH3_64bits(bytes, scribe_len(&w)));
    CHECK(!w.bad);
    return err_trace(folder_write(dir, BADGE_FILE, bytes, scribe_len(&w)));
}

static bool badge_read(struct span file, struct badge *ret_badge)
{
    if (file.len < 8) {
        return false;
    }
    struct reader sum = reader_of(file.ptr + file.len - 8, 8);
    struct reader in = reader_of(file.ptr, file.len - 8);
    uint8_t version = reader_u8(&in), flags = reader_u8(&in);
    *ret_badge = (struct badge){.joins = flags & FLAG_JOINS, .is_alone = flags & FLAG_ALONE};
    ret_badge->id = reader_u64(&in);
    ret_badge->disk = reader_u64(&in);
    reader_bytes(&in, ret_badge->cluster_id, sizeof ret_badge->cluster_id);
    ret_badge->peers_count = reader_u16(&in);
    bool good = version == BADGE_VERSION && ret_badge->peers_count <= BADGE_PEERS_MAX &&
                reader_u64(&sum) == XXH3_64bits(file.ptr, file.len - 8);
    for (size_t i = 0; i < ret_badge->peers_count && good; i++) {
        ret_badge->peers[i].id = reader_u64(&in);
        ret_badge->peers[i].disk = reader_u64(&in);
    }
    return good && !in.bad && in.at == in.end && ret_badge->id > 0;
}

static bool badge_is_beside(const char *dir, const char *name)
{
    char path[FOLDER_PATH_MAX];
    return folder_join(path, dir, name) == 0 && folder_exists(path);
}

/* The file is made before all others and written whole: where they are, it was lost, and with it
 * whose directory this is. */
static bool badge_is_lost(const char *dir, const struct badge *wanted)
{
    return badge_is_beside(dir, "/" BADGE_FILE) || badge_is_beside(dir, "/members") ||
           (!wanted->is_alone && badge_is_beside(dir, "/log"));
}

int badge_open(const char *dir, const struct badge *wanted, struct badge *ret_badge,
                  char *ret_text)
{
    uint8_t bytes[BADGE_BYTES];
    size_t len;
    int r = folder_make(dir);
    r = r ? r : folder_read(dir, BADGE_FILE, bytes, sizeof bytes, &len);
    if (r) {
        return err_trace(r);
    }
    if (len == 0 && !badge_is_lost(dir, wanted)) {
        *ret_badge = *wanted;
        clock_random(&ret_badge->disk, sizeof ret_badge->disk);
        return err_trace(badge_write(ret_badge, dir));
    }
    if (!badge_read((struct span){bytes, len}, ret_badge)) {
        snprintf(ret_text, 256, "%s/" BADGE_FILE " is %s; restore it from a backup, or remove this "
                 "node from its cluster, and add a new number with an empty directory", dir,
                 badge_is_beside(dir, "/" BADGE_FILE) ? "damaged" : "missing");
        return BADGE_E_DAMAGED;
    }
    if (ret_badge->is_alone != wanted->is_alone) {
        snprintf(ret_text, 256, "%s is the directory of %s", dir,
                 wanted->is_alone ? "a node with peers: name it with --id and its own --peer"
                                  : "a node alone: begin a cluster with an empty directory");
        return BADGE_E_OTHER;
    }
    if (ret_badge->id != wanted->id) {
        snprintf(ret_text, 256, "%s is the directory of node %llu, not of node %llu: use --id "
                 "%llu, or another directory", dir, (unsigned long long)ret_badge->id,
                 (unsigned long long)wanted->id, (unsigned long long)ret_badge->id);
        return BADGE_E_OTHER;
    }
    return 0;
}

int badge_meet(struct badge *own, const char *dir, uint64_t id, uint64_t disk,
                  enum badge_view *ret_view)
{
    *ret_view = BADGE_OTHER;
#ifdef PLANT_ANY_DISK /* never defined but by tests/e2e, which must catch it */
    *ret_view = BADGE_KNOWN;
    return 0;
#endif
    for (size_t i = 0; i < own->peers_count; i++) {
        if (own->peers[i].id == id) {
            *ret_view = own->peers[i].disk == disk ? BADGE_KNOWN : BADGE_OTHER;
            return 0;
        }
    }
    if (own->peers_count == BADGE_PEERS_MAX) {
        return 0; /* as somebody else: 64 ids were used up */
    }
    own->peers[own->peers_count++] = (struct badge_peer){id, disk};
    *ret_view = BADGE_NEW;
    return err_trace(badge_write(own, dir));
}
