/* SPDX-License-Identifier: MIT */
/* Files and names of a disk, durable, pending, and as they are in one image.
 *
 *   journal -> live names (resolve paths) ; inode: synced bytes + pending writes ; pending names
 *   image   -> durable names + a first part of the pending ones; each file: synced + some writes
 *
 * For: power_loss.c.  Names become durable in the order in which they changed, as in a journaling
 * file system, and only for certain by a sync of their directory; a file's bytes only by its own.
 * Owns: all inodes, and the files of the image, which are kept between two images: only the pages
 * that differ are written again.
 * What makes it quick: equal images (a hash of all that is in them) are made once; nothing is
 * copied that was there in the image before.
 * Fails: CHECK. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/check.h"

#define SECTOR      512
#define PAGE        4096
#define INODES_MAX  4096
#define NAMES_MAX   64
#define NAME_MAX_   24
#define PENDING_MAX 4096
#define SEEN_SLOTS  (1u << 21)

struct pending {
    int inode;
    uint64_t offset, len;
    const uint8_t *bytes; /* in the journal */
};

struct inode {
    uint64_t number; /* the kernel's; 0: a directory of ours */
    bool is_dir;
    uint8_t *bytes;  /* synced */
    uint64_t len, cap;
};

struct name {
    int parent;
    char name[NAME_MAX_];
    int inode;
};

/* Who is called what. */
struct space {
    struct name names[NAMES_MAX];
    int count;
};

/* A change of names: away, and there; either may be missing (inode -1). */
struct change {
    struct name from, to;
};

/* A file of the image as it lies there. */
struct shown {
    char path[3 * NAME_MAX_];
    uint8_t *bytes;
    uint64_t *sums; /* of each page */
    uint64_t len, cap;
    int fd;
};

static struct inode inodes[INODES_MAX];
static int inodes_count;
static struct space live, durable;
static struct pending pendings[PENDING_MAX];
static unsigned pendings_count;
static struct change changes[PENDING_MAX];
static unsigned changes_count;

static uint64_t seen[SEEN_SLOTS];
static struct shown shown[NAMES_MAX];
static int shown_count;
static uint64_t shown_names; /* hash of the names that they were made for */
static uint8_t *work; /* a file of the image while it is put together */
static uint64_t work_len, work_cap;

/* -- names ------------------------------------------------------------------------------------- */

static struct name *find(struct space *s, int parent, const char *name)
{
    for (int i = 0; i < s->count; i++) {
        if (s->names[i].parent == parent && strcmp(s->names[i].name, name) == 0) {
            return &s->names[i];
        }
    }
    return NULL;
}

static void space_remove(struct space *s, int parent, const char *name)
{
    struct name *n = find(s, parent, name);
    if (n) {
        *n = s->names[--s->count];
    }
}

static void space_add(struct space *s, const struct name *n)
{
    space_remove(s, n->parent, n->name);
    CHECK(s->count < NAMES_MAX);
    s->names[s->count++] = *n;
}

static bool is_rmdir(const struct change *c)
{
    return c->from.inode >= 0 && c->to.inode < 0 && inodes[c->from.inode].is_dir;
}

static void space_change(struct space *s, const struct change *c)
{
    if (c->from.inode >= 0) {
        space_remove(s, c->from.parent, c->from.name);
    }
    for (int i = s->count - 1; i >= 0 && is_rmdir(c); i--) {
        if (s->names[i].parent == c->from.inode) {
            s->names[i] = s->names[--s->count]; /* its unlink was not synced, and never will be */
        }
    }
    if (c->to.inode >= 0) {
        space_add(s, &c->to);
    }
}

/* Where `path` is in the live names: its parent, its last name, and what it names (-1: nothing). */
static struct name resolve(const char *path)
{
    struct name at = {.parent = -1, .inode = 0};
    char copy[100];
    char *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        CHECK(at.inode >= 0);
        CHECK(strlen(part) < NAME_MAX_);
        at.parent = at.inode;
        strcpy(at.name, part);
        struct name *n = find(&live, at.parent, part);
        at.inode = n ? n->inode : -1;
    }
    return at;
}

static void change(struct name from, struct name to)
{
    struct change c = {from, to};
    CHECK(changes_count < PENDING_MAX);
    changes[changes_count++] = c;
    space_change(&live, &c);
}

static const struct name nobody = {.inode = -1};

/* What happened in a directory that is gone for certain matters no more. */
static void drop_changes(int dir)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < changes_count; i++) {
        const struct change *c = &changes[i];
        if (!(c->from.inode >= 0 && c->from.parent == dir) &&
            !(c->to.inode >= 0 && c->to.parent == dir)) {
            changes[kept++] = *c;
        }
    }
    changes_count = kept;
}

/* Those in the directory are durable; what depends on none of them keeps its order. */
static void sync_dir(const char *path)
{
    int dir = resolve(path).inode, gone[NAMES_MAX];
    unsigned kept = 0, gone_count = 0;
    for (unsigned i = 0; i < changes_count; i++) {
        const struct change *c = &changes[i];
        bool here = (c->from.inode >= 0 && c->from.parent == dir) ||
                    (c->to.inode >= 0 && c->to.parent == dir);
        if (here) {
            space_change(&durable, c);
        } else {
            changes[kept++] = *c;
        }
        if (here && is_rmdir(c) && gone_count < NAMES_MAX) {
            gone[gone_count++] = c->from.inode;
        }
    }
    changes_count = kept;
    while (gone_count > 0) {
        drop_changes(gone[--gone_count]);
    }
}

/* -- bytes ------------------------------------------------------------------------------------- */

static int inode_new(uint64_t number, bool is_dir)
{
    CHECK(inodes_count < INODES_MAX);
    inodes[inodes_count] = (struct inode){.number = number, .is_dir = is_dir};
    return inodes_count++;
}

/* The newest of that number: it may have been used before. */
static int inode_of(uint64_t number)
{
    for (int i = inodes_count - 1; i >= 0; i--) {
        if (!inodes[i].is_dir && inodes[i].number == number) {
            return i;
        }
    }
    CHECK(!"a write to a file that nobody made");
    return -1;
}

static void paste(uint8_t **to, uint64_t *len, uint64_t *cap, const struct pending *p)
{
    uint64_t end = p->offset + p->len;
    if (end > *cap) {
        *cap = (end + (64 << 10)) * 2;
        *to = realloc(*to, *cap);
        CHECK(*to);
    }
    if (p->offset > *len) {
        memset(*to + *len, 0, p->offset - *len);
    }
    memcpy(*to + p->offset, p->bytes, p->len);
    *len = end > *len ? end : *len;
}

static void settle(const struct pending *p)
{
    struct inode *n = &inodes[p->inode];
    paste(&n->bytes, &n->len, &n->cap, p);
}

static void sync_file(int inode)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < pendings_count; i++) {
        if (pendings[i].inode == inode) {
            settle(&pendings[i]);
        } else {
            pendings[kept++] = pendings[i];
        }
    }
    pendings_count = kept;
}

/* A write through O_DSYNC: the newest pending one at that place.  Older ones may not overlap it. */
static void sync_write(int inode, uint64_t offset)
{
    unsigned at = pendings_count;
    while (at > 0 && (pendings[at - 1].inode != inode || pendings[at - 1].offset != offset)) {
        at--;
    }
    CHECK(at > 0);
    struct pending done = pendings[--at];
    for (unsigned i = 0; i < at; i++) {
        const struct pending *a = &pendings[i];
        CHECK(a->inode != inode || a->offset + a->len <= done.offset ||
              done.offset + done.len <= a->offset);
    }
    settle(&done);
    memmove(&pendings[at], &pendings[at + 1], (--pendings_count - at) * sizeof pendings[0]);
}

/* -- the journal ------------------------------------------------------------------------------- */

void disk_reset(void)
{
    for (int i = 0; i < inodes_count; i++) {
        free(inodes[i].bytes);
    }
    inodes_count = 0;
    live.count = durable.count = 0;
    pendings_count = changes_count = 0;
    (void)inode_new(0, true); /* the directory itself */
}

static void take_write(const struct journal_record *r, const uint8_t *bytes)
{
    CHECK(pendings_count < PENDING_MAX);
    pendings[pendings_count++] = (struct pending){inode_of(r->file), r->offset, r->len, bytes};
}

static void take_rename(const char *from, const char *to)
{
    struct name old = resolve(from), new = resolve(to);
    CHECK(old.inode >= 0);
    new.inode = old.inode;
    change(old, new);
}

static void take_new(const char *path, uint64_t number, bool is_dir)
{
    struct name n = resolve(path);
    n.inode = inode_new(number, is_dir);
    change(nobody, n);
}

/* A record that changes names. */
static bool take_name(const struct journal_record *r, const uint8_t *bytes)
{
    char path[200];
    CHECK(r->len < sizeof path);
    memcpy(path, bytes, r->len);
    path[r->len] = 0;
    switch (r->kind) {
    case JOURNAL_CREATE:
    case JOURNAL_MKDIR:
        if (path[0]) { /* the directory itself is there */
            take_new(path, r->file, r->kind == JOURNAL_MKDIR);
        }
        return true;
    case JOURNAL_UNLINK:
    case JOURNAL_RMDIR:
        change(resolve(path), nobody);
        return true;
    case JOURNAL_RENAME:
        take_rename(path, path + strlen(path) + 1);
        return true;
    case JOURNAL_SYNC_DIR:
        sync_dir(path);
        return true;
    default:
        return false;
    }
}

bool disk_take(const struct journal_record *r, const uint8_t *bytes)
{
    switch (r->kind) {
    case JOURNAL_WRITE:
        take_write(r, bytes);
        return true;
    case JOURNAL_SYNC:
        sync_file(inode_of(r->file));
        return true;
    case JOURNAL_SYNC_WRITE:
        sync_write(inode_of(r->file), r->offset);
        return true;
    case JOURNAL_ACK:
        return true;
    case JOURNAL_TRUNCATE: /* of a new name's file only, before anything is in it */
        return r->offset == 0 && inodes[inode_of(r->file)].len == 0;
    default:
        return take_name(r, bytes);
    }
}

unsigned disk_pending_count(void)
{
    return pendings_count + changes_count;
}

/* -- an image ---------------------------------------------------------------------------------- */

/* Any set of sectors of one write, often a prefix or nothing, as disks do it. */
static void paste_torn(const struct pending *p, struct prng *random)
{
    uint64_t how = prng_below(random, 4);
    uint64_t sectors = (p->len + SECTOR - 1) / SECTOR;
    uint64_t prefix = prng_below(random, sectors + 1);
    for (uint64_t i = 0; i < sectors; i++) {
        bool here = how == 0 ? true : how == 1 ? false : how == 2 ? i < prefix
                                                                : prng_below(random, 2);
        uint64_t left = p->len - i * SECTOR;
        struct pending piece = {.offset = p->offset + i * SECTOR, .bytes = p->bytes + i * SECTOR,
                                .len = left < SECTOR ? left : SECTOR};
        if (here) {
            paste(&work, &work_len, &work_cap, &piece);
        }
    }
}

static void build(int inode, enum disk_mode mode, uint64_t subset, struct prng *random)
{
    const struct inode *n = &inodes[inode];
    struct pending all = {.bytes = n->bytes, .len = n->len};
    work_len = 0;
    if (n->len) {
        paste(&work, &work_len, &work_cap, &all);
    }
    for (unsigned i = 0; i < pendings_count && mode != DISK_NONE; i++) {
        const struct pending *p = &pendings[i];
        if (p->inode != inode) {
            continue;
        }
        if (mode == DISK_ANY) {
            paste_torn(p, random);
        } else if (mode == DISK_ALL || (subset >> i & 1)) {
            paste(&work, &work_len, &work_cap, p);
        }
    }
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return ftw->level ? remove(path) : 0;
}

static void forget_shown(const char *dir)
{
    for (int i = 0; i < shown_count; i++) {
        close(shown[i].fd);
    }
    shown_count = 0;
    CHECK(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

/* The file of that path; made when it was not in the image before. */
static struct shown *show(const char *dir, const char *path)
{
    char full[400];
    for (int i = 0; i < shown_count; i++) {
        if (strcmp(shown[i].path, path) == 0) {
            return &shown[i];
        }
    }
    CHECK(shown_count < NAMES_MAX);
    struct shown *s = &shown[shown_count++];
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(full, sizeof full, "%s/%s", dir, path);
    s->fd = open(full, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(s->fd >= 0);
    s->len = 0;
    return s;
}

/* `work` into it, page by page where they differ. */
static void show_work(struct shown *s)
{
    if (work_len > s->cap) {
        s->cap = work_len * 2;
        s->bytes = realloc(s->bytes, s->cap);
        s->sums = realloc(s->sums, (s->cap / PAGE + 1) * sizeof *s->sums);
        CHECK(s->bytes && s->sums);
    }
    if (work_len < s->len) {
        CHECK(ftruncate(s->fd, (off_t)work_len) == 0);
        s->len = work_len;
    }
    for (uint64_t at = 0; at < work_len; at += PAGE) {
        uint64_t n = work_len - at < PAGE ? work_len - at : PAGE;
        if (at + n <= s->len && memcmp(s->bytes + at, work + at, n) == 0) {
            continue;
        }
        CHECK(pwrite(s->fd, work + at, n, (off_t)at) == (ssize_t)n);
        memcpy(s->bytes + at, work + at, n);
        s->sums[at / PAGE] = XXH3_64bits(work + at, n);
    }
    s->len = work_len;
}

static bool is_new_image(uint64_t hash)
{
    uint64_t at = hash % SEEN_SLOTS;
    hash += hash == 0;
    while (seen[at] && seen[at] != hash) {
        at = (at + 1) % SEEN_SLOTS;
    }
    bool is_new = seen[at] == 0;
    seen[at] = hash;
    return is_new;
}

struct image {
    const char *dir;
    enum disk_mode mode;
    uint64_t subset;
    struct prng *random;
    XXH3_state_t *hash;
};

static void show_below(const struct image *m, const struct space *s, int parent, const char *path)
{
    char sub[3 * NAME_MAX_], full[400];
    for (int i = 0; i < s->count; i++) {
        const struct name *n = &s->names[i];
        if (n->parent != parent) {
            continue;
        }
        CHECK(snprintf(sub, sizeof sub, "%s%s%s", path, path[0] ? "/" : "", n->name) <
              (int)sizeof sub);
        XXH3_64bits_update(m->hash, sub, strlen(sub) + 1);
        if (inodes[n->inode].is_dir) {
            snprintf(full, sizeof full, "%s/%s", m->dir, sub);
            CHECK(mkdir(full, 0700) == 0 || errno == EEXIST);
            show_below(m, s, n->inode, sub);
            continue;
        }
        build(n->inode, m->mode, m->subset, m->random);
        struct shown *file = show(m->dir, sub);
        show_work(file);
        XXH3_64bits_update(m->hash, &file->len, sizeof file->len);
        XXH3_64bits_update(m->hash, file->sums, (file->len + PAGE - 1) / PAGE * 8);
    }
}

/* Opening may have written: a flush that was cut is undone.  LMDB's commit changes a meta page. */
static void reread(struct shown *f)
{
    uint8_t metas[2 * PAGE];
    struct stat st;
    if (f->len < sizeof metas || pread(f->fd, metas, sizeof metas, 0) != sizeof metas ||
        memcmp(metas, f->bytes, sizeof metas) == 0) {
        return;
    }
    CHECK(fstat(f->fd, &st) == 0);
    uint64_t len = (uint64_t)st.st_size < f->cap ? (uint64_t)st.st_size : f->cap;
    CHECK(ftruncate(f->fd, (off_t)len) == 0);
    CHECK(pread(f->fd, f->bytes, len, 0) == (ssize_t)len);
    for (uint64_t at = 0; at < len; at += PAGE) {
        f->sums[at / PAGE] = XXH3_64bits(f->bytes + at, len - at < PAGE ? len - at : PAGE);
    }
    f->len = len;
}

/* All that the image before left is still there: opening may have cleared something away. */
static bool still_there(void)
{
    struct stat st;
    for (int i = 0; i < shown_count; i++) {
        if (fstat(shown[i].fd, &st) < 0 || st.st_nlink == 0) {
            return false;
        }
        reread(&shown[i]);
    }
    return true;
}

static uint64_t space_hash(const struct space *s)
{
    uint64_t hash = 0;
    for (int i = 0; i < s->count; i++) {
        const struct name *n = &s->names[i];
        uint64_t place = (uint64_t)n->parent << 32 | (uint64_t)n->inode;
        hash += XXH3_64bits_withSeed(n->name, strlen(n->name), place);
    }
    return hash;
}

/* Names of long ago may wait for ever: other ones than in the image before are seldom taken then,
 * because they make all files anew. */
static unsigned some_changes(struct prng *random)
{
    static unsigned before, before_count;
    if (changes_count != before_count || prng_below(random, 32) == 0) {
        before = (unsigned)prng_below(random, changes_count + 1);
        before_count = changes_count;
    }
    return before;
}

bool disk_image(const char *dir, enum disk_mode mode, uint64_t subset, uint64_t promises,
                struct prng *random)
{
    static XXH3_state_t *hash;
    struct space s = durable;
    hash = hash ? hash : XXH3_createState();
    unsigned some = mode == DISK_NONE ? 0 : mode == DISK_ANY ? some_changes(random)
                                                             : changes_count;
    for (unsigned i = 0; i < some; i++) {
        space_change(&s, &changes[i]);
    }
    if (space_hash(&s) != shown_names || !still_there()) {
        forget_shown(dir);
    }
    shown_names = space_hash(&s);
    struct image m = {dir, mode, subset, random, hash};
    XXH3_64bits_reset(hash);
    XXH3_64bits_update(hash, &promises, sizeof promises);
    show_below(&m, &s, 0, "");
    return is_new_image(XXH3_64bits_digest(hash));
}
