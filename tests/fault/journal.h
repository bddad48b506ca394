/* SPDX-License-Identifier: MIT */
/* The journal of a recorded run: what reached the kernel, and what was promised to be on disk, in
 * one order.  Written by recorder.c in the driver's process, read by power_loss.c.  Host byte
 * order: both run on one machine. */
#ifndef FAIRSLOT_TESTS_JOURNAL_H
#define FAIRSLOT_TESTS_JOURNAL_H

#include <stdint.h>

enum journal_kind {
    JOURNAL_WRITE = 1,      /* before the call: from here on it may be on disk */
    JOURNAL_SYNC = 2,       /* after fsync or fdatasync returned: all writes of the file are */
    JOURNAL_SYNC_WRITE = 3, /* after a write through O_DSYNC returned: that one is */
    JOURNAL_TRUNCATE = 4,   /* to `offset` bytes */
    JOURNAL_ACK = 5,        /* `bytes` is a line of the driver */
    JOURNAL_FORBIDDEN = 6,  /* a call that this method cannot see through; `bytes` names it */
    /* Names.  `bytes` is a path below FAULT_DIR ("" is FAULT_DIR itself), each before its call. */
    JOURNAL_CREATE = 7,     /* a new file; `file` is its number from here on */
    JOURNAL_MKDIR = 8,
    JOURNAL_UNLINK = 9,
    JOURNAL_RMDIR = 10,
    JOURNAL_RENAME = 11,    /* two paths with a 0 between them */
    JOURNAL_SYNC_DIR = 12,  /* after it returned: the names in that directory are as they were */
};

struct journal_record {
    uint64_t kind;
    uint64_t file;   /* its inode; numbers are used again only after JOURNAL_CREATE */
    uint64_t offset; /* in the file */
    uint64_t len;    /* bytes that follow */
};

#endif
