/* SPDX-License-Identifier: MIT */
/* Inside the page: what report_html.c (the page) and html_charts.c (its drawings) share. */
#ifndef FAIRSLOT_FLOOD_HTML_H
#define FAIRSLOT_FLOOD_HTML_H

#include "flood/report.h"

/* Text with &, <, > and quotes escaped. */
void html_text(FILE *out, const char *text);
/* 51240 as "51,240"; `out` takes 32 bytes; returns it. */
const char *html_number(uint64_t n, char *out);

/* Each is one <svg role="img"> with a title, 360 units wide. */
void html_shares(FILE *out, const struct report *r);
void html_deciles(FILE *out, const struct report *r);
void html_rtt(FILE *out, const struct report *r);
void html_latency(FILE *out, const struct report *r);
void html_timeline(FILE *out, const struct report *r);

#endif
