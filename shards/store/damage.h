/* SPDX-License-Identifier: MIT */
/* The word that our own files are damaged, from whoever found it.  Any thread. */
#ifndef FAIRSLOT_STORE_DAMAGE_H
#define FAIRSLOT_STORE_DAMAGE_H

#include <pthread.h>
#include <stdbool.h>

#define DAMAGE_TEXT_MAX 256 /* bytes with the closing 0 */

/* Embedded in the store. */
struct damage {
    pthread_mutex_t mutex;       /* guards what follows */
    char text[DAMAGE_TEXT_MAX];  /* "": none; the first word stays */
    bool is_log;                 /* found in the log: what was promised is damaged, too */
    void (*told)(void *user);    /* once, on the thread that found it; NULL */
    void *user;
};

void damage_init(struct damage *d, void (*told)(void *user), void *user);
void damage_fini(struct damage *d);
/* `where`: the directory or file.  Adds the next step.  Counts in the metrics. */
void damage_note(struct damage *d, const char *where, const char *what, bool is_log);
/* What was damaged is used no more; nobody has the text any longer. */
void damage_forget(struct damage *d);
/* It was told, and of the state alone. */
bool damage_spares_log(struct damage *d);
/* NULL: none.  The text stays as it is until damage_forget(). */
const char *damage_text(struct damage *d);

#endif
