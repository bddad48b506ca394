/* SPDX-License-Identifier: MIT */
/* A server of our own for a while: `serve --dev` in a temporary folder, gone afterwards. */
#ifndef FAIRSLOT_FLOOD_HOUSE_H
#define FAIRSLOT_FLOOD_HOUSE_H

#include <sys/types.h>

struct house {
    char folder[256];    /* temporary; removed by house_close() */
    char data[288];      /* the server's data directory in it */
    char operator_token[320]; /* file */
    char target[64];     /* HOST:PORT */
    pid_t pid;           /* 0: none */
    double ready_s;      /* it took that long */
};

/* 0 or an exit code, told; house_close() is due either way. */
int house_open(struct house *h);
/* Ends the server, removes the folder. */
void house_close(struct house *h);

#endif
