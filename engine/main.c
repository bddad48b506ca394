/* SPDX-License-Identifier: MIT */
/* The front door: one binary, a table of verbs. */
int main(void)
{
    return 2;
}
