/* SPDX-License-Identifier: MIT */
/* Certificates made on the spot, in a folder of their own: an authority, whom it vouches for, and
 * everything that may be wrong with one.  Tests only: no error is expected. */
#ifndef FAIRSLOT_TESTS_PAPERS_H
#define FAIRSLOT_TESTS_PAPERS_H

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct paper {
    EVP_PKEY *key;
    X509 *certificate;
    char certificate_path[128];
    char key_path[128];
};

static char papers_folder[64];

static void papers_open(void)
{
    strcpy(papers_folder, "/tmp/fairslot-papers-XXXXXX");
    if (!mkdtemp(papers_folder)) {
        abort();
    }
}

static void papers_close(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", papers_folder);
    if (system(command) != 0) {
        abort();
    }
}

static void paper_path(char *out, const char *name, const char *kind)
{
    snprintf(out, 128, "%s/%s.%s", papers_folder, name, kind);
}

static void paper_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (!e || !X509_add_ext(x, e, -1)) {
        abort();
    }
    X509_EXTENSION_free(e);
}

/* What is to be made; zeroed: a year from yesterday on. */
struct paper_plan {
    const char *name;        /* CN, and of the files */
    const char *alt;         /* subjectAltName, as "URI:x,DNS:y"; NULL: none */
    const struct paper *by;  /* NULL: itself */
    int days;                /* from now; 0: 365 */
    bool is_ca;
};

static void paper_make(const struct paper_plan *plan, struct paper *ret_paper)
{
    static long serial = 1;
    struct paper p = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    X509 *x = p.certificate;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400L * 30);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400L * (plan->days ? plan->days : 365));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)plan->name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(plan->by ? plan->by->certificate : x));
    X509_set_pubkey(x, p.key);
    paper_extension(x, NID_basic_constraints, plan->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (plan->alt) {
        paper_extension(x, NID_subject_alt_name, plan->alt);
    }
    if (!X509_sign(x, plan->by ? plan->by->key : p.key, EVP_sha256())) {
        abort();
    }
    paper_path(p.certificate_path, plan->name, "pem");
    paper_path(p.key_path, plan->name, "key");
    FILE *file = fopen(p.certificate_path, "w");
    PEM_write_X509(file, x);
    fclose(file);
    file = fopen(p.key_path, "w");
    PEM_write_PrivateKey(file, p.key, NULL, NULL, 0, NULL, NULL);
    fchmod(fileno(file), 0600);
    fclose(file);
    *ret_paper = p;
}

static void paper_drop(struct paper *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->certificate);
}

#endif
