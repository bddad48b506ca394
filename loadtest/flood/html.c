/* SPDX-License-Identifier: MIT */
/* Words and numbers as a page takes them: escaped, with thousands apart.
 * Owns: nothing.
 * Fails never; the stream remembers its own errors. */
#include "flood/html.h"

#include "ctl/talk.h"

void html_text(FILE *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        switch (*at) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*at, out);
        }
    }
}

const char *html_number(uint64_t n, char *out)
{
    return talk_number(n, out);
}
