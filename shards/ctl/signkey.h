/* SPDX-License-Identifier: MIT */
/* The operator's signing key as a file: Ed25519, PEM (PKCS 8), mode 0600. */
#ifndef FAIRSLOT_CTL_SIGNKEY_H
#define FAIRSLOT_CTL_SIGNKEY_H

#include "draw/sign.h"

/* Makes the file; one that exists is kept.  0, KEYFILE_E_EXISTS (ctl/keyfile.h), or < 0. */
int signkey_create(const char *path);
/* As signkey_create(), but one that exists is what was wanted. */
int signkey_ensure(const char *path);
/* The public half of a PEM file with either half.  False: it holds no Ed25519 key. */
bool signkey_public(const char *path, struct draw_key *ret_key);

/* The certificate in one PEM file has the private key in the other. */
bool signkey_matches(const char *certificate, const char *key);

/* The certificate is of the authority in `authority`, and carries the DNS name: who has those three
 * files would believe it, as a server and as a client.  False: ret_text (256 bytes) says why. */
bool signkey_belongs(const char *certificate, const char *authority, const char *name,
                     char *ret_text);

#endif
