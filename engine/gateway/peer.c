/* SPDX-License-Identifier: MIT */
/* Certificates of operators -> identity and roles.
 *   subject -> HMAC(tenant key, "x509", subject as RFC 2253 writes it) -> identity
 *   each subjectAltName and the CN -> looked up in the table of roles -> roles, added up
 * Owns nothing.
 * Fails: a certificate without a name that the table knows has no role, and says nothing more here;
 * the methods refuse it.
 * Invariants: names are compared byte by byte, whole, and one with a 0 inside is no name ("admin\0"
 * must not be "admin"); a certificate never counts as a person: assurance is none.
 * Not the certificate's fingerprint: it changes with each renewal, and so would who asked. */
#include "gateway/peer.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/err.h"
#include "gateway/gateway.h"
#include "gateway/keyring.h"
#include "gateway/verify.h"

#define PEER_ISSUER "x509" /* no token's: an `iss` is a URL */

/* Roles of one name; `kind` with its colon. */
static uint32_t peer_roles_of(const struct gateway_options *o, const char *kind, struct span name)
{
    uint32_t roles = 0;
    size_t kind_len = strlen(kind);
    if (name.len == 0 || memchr(name.ptr, 0, name.len)) {
        return 0;
    }
    for (size_t i = 0; i < o->admin_roles_count; i++) {
        const char *known = o->admin_roles[i].name;
        if (strncmp(known, kind, kind_len) == 0) {
            known += kind_len;
        }
        if (strlen(known) == name.len && memcmp(known, name.ptr, name.len) == 0) {
            roles |= o->admin_roles[i].roles;
        }
    }
    return roles;
}

static struct span peer_text(const ASN1_STRING *text)
{
    return (struct span){ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)};
}

static uint32_t peer_roles(X509 *certificate, const struct gateway_options *o)
{
    uint32_t roles = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI) {
            roles |= peer_roles_of(o, "URI:", peer_text(name->d.uniformResourceIdentifier));
        } else if (name->type == GEN_DNS) {
            roles |= peer_roles_of(o, "DNS:", peer_text(name->d.dNSName));
        } else if (name->type == GEN_EMAIL) {
            roles |= peer_roles_of(o, "email:", peer_text(name->d.rfc822Name));
        }
    }
    GENERAL_NAMES_free(names);
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *cn = NULL;
    if (at >= 0) {
        int len = ASN1_STRING_to_UTF8(&cn, X509_NAME_ENTRY_get_data(
                                               X509_NAME_get_entry(subject, at)));
        roles |= peer_roles_of(o, "CN:", (struct span){cn, len > 0 ? (size_t)len : 0});
        OPENSSL_free(cn);
    }
    return roles;
}

/* The identity, as verify.c makes one of a token: u16 length of issuer, issuer, u16 length of
 * subject, subject. */
static int peer_identity(X509 *certificate, const uint8_t *tenant_key,
                         struct identity *ret_identity)
{
    static const uint8_t head[] = {0, sizeof PEER_ISSUER - 1, 'x', '5', '0', '9'};
    uint8_t mac[EVP_MAX_MD_SIZE];
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    int r = err_origin(-ENOMEM);
    if (bio == NULL || BIO_write(bio, head, sizeof head) != sizeof head ||
        BIO_write(bio, "\0\0", 2) != 2 ||
        X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) {
        goto free_bio;
    }
    size_t len = (size_t)BIO_get_mem_data(bio, &text);
    size_t subject_len = len - sizeof head - 2;
    text[sizeof head] = (char)(subject_len >> 8);
    text[sizeof head + 1] = (char)subject_len;
    if (HMAC(EVP_sha256(), tenant_key, KEYRING_TENANT_KEY, (unsigned char *)text, len, mac, NULL)) {
        memcpy(ret_identity->bytes, mac, sizeof ret_identity->bytes);
        r = 0;
    }
free_bio:
    BIO_free(bio);
    ERR_clear_error();
    return r;
}

int peer_judge(X509 *certificate, const struct gateway_options *o, struct verified *ret_verified)
{
    struct verified v = {.assurance = ASSURANCE_NONE, .roles = peer_roles(certificate, o)};
    int r = peer_identity(certificate, o->tenant_key, &v.identity);
    if (r < 0) {
        return err_trace(r);
    }
    *ret_verified = v;
    return 0;
}
