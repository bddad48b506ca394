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

#endif
