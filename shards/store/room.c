/* SPDX-License-Identifier: MIT */
/* Room is judged at intake, because behind the log it is too late: a full map or disk may never be
 * a verdict of apply, as one replica's disk is not the others'.
 *
 *   state map: pages in use + what a flush of the overlays may need    over 90 %: reserve only
 *   log map:   pages in use                                            over 97 %: nothing
 *   disk:      free bytes                             under the reserve, under a quarter of it
 *
 * For: store_room().  Owns nothing; the judging is pure.
 * Free pages inside the file count as room, so what was refused is taken again once records went.
 * LMDB never writes a page in place: a flush needs a new page for each leaf it touches, and what
 * the newest transaction freed cannot be had yet.  So besides being nearly full there is a second
 * reason to refuse: the next flush might not fit.  That one ends with a flush (store.c sees to it
 * that one comes, be it empty).  The last percents are for what is taken between two judgings.
 * Fails: only where it measures. */
#include "store/room.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "base/err.h"
#include "base/metrics.h"
#include "base/check.h"

#define RESERVE_PERCENT 90
#define NONE_PERCENT    97
#define TIGHT_PERCENT   95   /* counting pages that come back with the next flush but one */
#define PAGE_FILL_BYTES 2048 /* of 4,096: a page that was just split */
#define BRANCH_PAGES    12   /* the path down, both trees, the free list */

uint64_t room_flush_pages(uint64_t records, uint64_t bytes, uint64_t leaf_pages)
{
    if (records == 0) {
        return 0;
    }
    uint64_t touched = records < leaf_pages ? records : leaf_pages;
    return touched + touched / 16 + bytes / PAGE_FILL_BYTES + BRANCH_PAGES;
}

uint64_t room_pending_pages(const struct overlay *o, uint64_t leaf_pages)
{
    return o ? room_flush_pages(overlay_count(o) * 2, overlay_bytes(o) * 2, leaf_pages) : 0;
}

static enum store_room judge_map(const struct env_usage *u, uint64_t pending_pages)
{
    uint64_t pages = u->used_pages + pending_pages;
    uint64_t tight = pages + u->late_pages;
    if (tight * 100 > u->map_pages * NONE_PERCENT) {
        return STORE_ROOM_NONE;
    }
    bool reserve = pages * 100 > u->map_pages * RESERVE_PERCENT ||
                   tight * 100 > u->map_pages * TIGHT_PERCENT;
    return reserve ? STORE_ROOM_RESERVE : STORE_ROOM_OK;
}

static enum store_room judge_disk(uint64_t free_bytes, uint64_t reserve_bytes)
{
    if (free_bytes < reserve_bytes / 4) {
        return STORE_ROOM_NONE;
    }
    return free_bytes < reserve_bytes ? STORE_ROOM_RESERVE : STORE_ROOM_OK;
}

enum store_room room_judge(const struct room_figures *f)
{
    enum store_room room = judge_disk(f->disk_free_bytes, f->disk_reserve_bytes);
    enum store_room log = judge_map(&f->log, 0);
    enum store_room state = judge_map(&f->state, f->live_pages + f->frozen_pages);
    room = log > room ? log : room;
    return state > room ? state : room;
}

int room_disk_free(const char *path, uint64_t *ret_bytes)
{
    struct statvfs vfs;
    if (statvfs(path, &vfs) < 0) {
        return err_origin(-errno);
    }
    *ret_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return 0;
}

int room_measure(struct stateenv *state, struct logenv *log, const char *dir,
                 struct room_figures *f)
{
    int r = stateenv_usage(state, &f->state);
    if (r == 0) {
        r = logenv_usage(log, &f->log);
    }
    if (r == 0) {
        r = room_disk_free(dir, &f->disk_free_bytes);
    }
    const struct env_usage *usage[] = {&f->state, &f->log};
    for (size_t i = 0; r == 0 && i < ARRAY_COUNT(usage); i++) {
        METRIC_SET1(shard_map_used_bytes, map, i, usage[i]->used_pages * usage[i]->page_bytes);
        METRIC_SET1(shard_map_bytes, map, i, usage[i]->map_pages * usage[i]->page_bytes);
    }
    METRIC_SET(shard_storage_free_bytes, f->disk_free_bytes);
    return err_trace(r);
}
