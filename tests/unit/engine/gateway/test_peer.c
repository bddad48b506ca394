/* SPDX-License-Identifier: MIT */
/* Which certificate is whom, and what may it do? */
#include "gateway/peer.h"

#include <openssl/err.h>

#include "gateway/gateway.h"
#include "gateway/verify.h"
#include "tests/lib/tap.h"
#include "tests/unit/engine/gateway/papers.h"

static const uint8_t key[32] = "0123456789abcdef0123456789abcde";
static const struct gateway_role roles[] = {
    {"URI:urn:city:operator", ROLE_OPERATOR},
    {"auditor.city.example", ROLE_AUDITOR}, /* bare: any kind of name */
    {"CN:Dora Duty", ROLE_CLERK},
    {"email:eva@city.example", ROLE_VIEWER},
    {"admin", ROLE_OPERATOR},
};
static const struct gateway_options options = {.tenant_key = key, .admin_roles = roles,
                                               .admin_roles_count = sizeof roles / sizeof *roles};

static struct verified judged(const char *name, const char *alt)
{
    struct paper p;
    struct verified v = {.roles = 99};
    paper_make(&(struct paper_plan){.name = name, .alt = alt}, &p);
    EQ(peer_judge(p.certificate, &options, &v), 0);
    EQ(v.assurance, ASSURANCE_NONE);
    paper_drop(&p);
    return v;
}

static void test_names(void)
{
    EQ(judged("a", "URI:urn:city:operator").roles, ROLE_OPERATOR);
    EQ(judged("a", "URI:urn:city:operator/2").roles, 0);
    EQ(judged("a", "DNS:auditor.city.example").roles, ROLE_AUDITOR);
    EQ(judged("a", "URI:auditor.city.example").roles, ROLE_AUDITOR);
    EQ(judged("auditor.city.example", NULL).roles, ROLE_AUDITOR);
    EQ(judged("Dora Duty", NULL).roles, ROLE_CLERK);
    EQ(judged("x", "URI:Dora Duty").roles, 0); /* CN: means the CN */
    EQ(judged("x", "email:eva@city.example").roles, ROLE_VIEWER);
    EQ(judged("x", "DNS:eva@city.example").roles, 0);
    EQ(judged("Dora Duty", "URI:urn:city:operator,DNS:auditor.city.example").roles,
       ROLE_OPERATOR | ROLE_AUDITOR | ROLE_CLERK);
    EQ(judged("nobody", NULL).roles, 0);
}

/* A name with a 0 inside is not what stands before it. */
static void test_a_zero_inside(void)
{
    struct paper p;
    struct verified v;
    paper_make(&(struct paper_plan){.name = "x"}, &p);
    X509_NAME *name = X509_NAME_new();
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"admin\0.evil", 11,
                               -1, 0);
    X509_set_subject_name(p.certificate, name);
    EQ(peer_judge(p.certificate, &options, &v), 0);
    EQ(v.roles, 0);
    X509_NAME_free(name);
    paper_drop(&p);
    EQ(judged("admin", NULL).roles, ROLE_OPERATOR);
}

static void test_identity(void)
{
    struct identity ada = judged("ada", NULL).identity;
    struct identity again = judged("ada", "URI:urn:city:operator").identity; /* renewed */
    struct identity bob = judged("bob", NULL).identity;
    OK(memcmp(&ada, &again, sizeof ada) == 0);
    OK(memcmp(&ada, &bob, sizeof ada) != 0);
    struct identity none = {{0}};
    OK(memcmp(&ada, &none, sizeof ada) != 0);
    struct gateway_options other = options;
    struct verified v;
    struct paper p;
    other.tenant_key = (const uint8_t *)"another key of thirty-two bytes";
    paper_make(&(struct paper_plan){.name = "ada"}, &p);
    EQ(peer_judge(p.certificate, &other, &v), 0);
    OK(memcmp(&ada, &v.identity, sizeof ada) != 0); /* keyed */
    paper_drop(&p);
}

int main(void)
{
    papers_open();
    TAP_RUN(test_names);
    TAP_RUN(test_a_zero_inside);
    TAP_RUN(test_identity);
    papers_close();
    return tap_done();
}
