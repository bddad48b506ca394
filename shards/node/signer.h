/* SPDX-License-Identifier: MIT */
/* The operator's signing key, and what it signs as answers leave: manifests, roots, receipts.
 * Writer thread only. */
#ifndef FAIRSLOT_NODE_SIGNER_H
#define FAIRSLOT_NODE_SIGNER_H

#include "proto/words.h"

struct signer;

/* Reads a PEM file with an Ed25519 private key; NULL or "" as the path: *ret_signer stays, and
 * nothing is signed.  0, SIGNER_E_KEY with `ret_text` (256 bytes) saying
 * what is wrong and what to do, or < 0. */
enum { SIGNER_E_KEY = 1 };
int signer_open(const char *path, struct signer **ret_signer, char *ret_text);
/* Takes NULL; wipes the key. */
void signer_close(struct signer *s);

/* What tells its public key from others'; 0: there is none. */
uint64_t signer_mark(const struct signer *s);
/* Signs what the verdict wants signed, into *ret_signed, and lets *verdict borrow it.  Nothing to
 * sign: the verdict stays as it is. */
void signer_sign(struct signer *s, struct verdict *verdict, struct verdict_signed *ret_signed);

#endif
