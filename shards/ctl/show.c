/* SPDX-License-Identifier: MIT */
/* Resources on stdout.  Tables are for people: short names, times in the office's zone where it is
 * known.  JSON is for programs: the resource as the API has it, nothing renamed, nothing left out.
 * Owns the list under way.  Memory errors are told once, by show_end(). */
#include "ctl/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/names.h"
#include "ctl/render.h"
#include "ctl/value.h"
#include "ctl/zone.h"

#define SHOW_TEXT 48

static void show_begin(struct show *s, const struct options_call *call, const char *name,
                       size_t columns, const char *const *titles)
{
    *s = (struct show){.name = name};
    if (options_json(call)) {
        s->array = json_array();
    } else {
        s->grid = grid_new(columns, titles);
    }
}

static void show_add(struct show *s, const ProtobufCMessage *resource, const char *const *cells)
{
    s->count++;
    if (s->array) {
        json_array_append_new(s->array, render_json(resource));
    } else {
        grid_row(s->grid, cells);
    }
}

int show_end(struct show *s)
{
    return s->array ? render_print_json(json_pack("{s:o}", s->name, s->array))
                    : grid_print(s->grid);
}

void show_drop(struct show *s)
{
    json_decref(s->array);
    grid_free(s->grid);
}

/* "STATE_FREE" -> "free". */
static const char *show_enum(const ProtobufCEnumDescriptor *type, int value, const char *prefix,
                             char *out)
{
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);
    const char *name = found ? found->name : "unknown";
    size_t skip = strncmp(name, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
    snprintf(out, SHOW_TEXT, "%s", name + skip);
    for (char *c = out; *c; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    return out;
}

static const char *show_duration(const Google__Protobuf__Duration *d, char *out)
{
    long long s = d ? d->seconds : 0;
    if (s % 60 == 0) {
        snprintf(out, SHOW_TEXT, "%lld min", s / 60);
    } else {
        snprintf(out, SHOW_TEXT, "%lld s", s);
    }
    return out;
}

/* In the office's zone with its offset, else in UTC. */
static const char *show_time(const Google__Protobuf__Timestamp *t, const char *zone, char *out)
{
    struct zone_local l;
    long offset_s;
    if (!t) {
        return "";
    }
    if (zone && zone_from_utc(zone, t->seconds, &l, &offset_s) == 0) {
        snprintf(out, SHOW_TEXT, "%04d-%02d-%02d %02d:%02d%c%02ld:%02ld", l.year, l.month, l.day,
                 l.hour, l.minute, offset_s < 0 ? '-' : '+', labs(offset_s) / 3600,
                 labs(offset_s) / 60 % 60);
        return out;
    }
    value_rfc3339(t->seconds, 0, out);
    return out;
}

void show_pools_begin(struct show *s, const struct options_call *call)
{
    static const char *const titles[] = {"POOL", "DISPLAY NAME", "CLASS", "ASSURANCE", "HOLD",
                                         "MAX LIVE", "SCARCE"};
    show_begin(s, call, "pools", 7, titles);
}

void show_pool_add(struct show *s, const Fairslot__V1__Pool *pool)
{
    char assurance[SHOW_TEXT], hold[SHOW_TEXT], live[SHOW_TEXT];
    snprintf(live, sizeof(live), "%d", pool->max_live_per_identity);
    const char *cells[] = {
        render_last(pool->name), pool->display_name, pool->service_class,
        show_enum(&fairslot__v1__assurance__descriptor, (int)pool->min_assurance, "ASSURANCE_",
                  assurance),
        show_duration(pool->hold_ttl, hold), live, pool->scarce ? "yes" : "no"};
    show_add(s, &pool->base, cells);
}

void show_slots_begin(struct show *s, const struct options_call *call, const char *zone)
{
    static const char *const titles[] = {"SLOT", "START", "DURATION", "DESK", "STATE"};
    show_begin(s, call, "slots", 5, titles);
    s->zone = zone;
}

void show_slot_add(struct show *s, const Fairslot__V1__Slot *slot)
{
    char start[SHOW_TEXT], duration[SHOW_TEXT], state[SHOW_TEXT];
    const char *cells[] = {
        render_last(slot->name), show_time(slot->start_time, s->zone, start),
        show_duration(slot->duration, duration), slot->desk,
        show_enum(&fairslot__v1__slot__state__descriptor, (int)slot->state, "STATE_", state)};
    show_add(s, &slot->base, cells);
}

void show_slot_line(const Fairslot__V1__Slot *slot)
{
    char state[SHOW_TEXT];
    show_enum(&fairslot__v1__slot__state__descriptor, (int)slot->state, "STATE_", state);
    printf("%-32s %-9s %s\n", render_last(slot->name), state, slot->desk);
}

void show_reservations_begin(struct show *s, const struct options_call *call)
{
    static const char *const titles[] = {"RESERVATION", "START", "DESK", "STATE", "CODE"};
    show_begin(s, call, "reservations", 5, titles);
}

void show_reservation_add(struct show *s, const Fairslot__V1__Reservation *r)
{
    char start[SHOW_TEXT], state[SHOW_TEXT];
    const Fairslot__V1__Slot *slot = r->n_slots ? r->slots[0] : NULL;
    const char *cells[] = {
        r->name, show_time(slot ? slot->start_time : NULL, s->zone, start), slot ? slot->desk : "",
        show_enum(&fairslot__v1__reservation__state__descriptor, (int)r->state, "STATE_", state),
        r->display_code};
    show_add(s, &r->base, cells);
}

/* A line a field; rows end with a NULL name, and empty values are left out. */
static int show_fields(const char *const (*rows)[2])
{
    struct grid *g = grid_new(2, NULL);
    for (; (*rows)[0]; rows++) {
        if ((*rows)[1] && (*rows)[1][0]) {
            grid_row(g, *rows);
        }
    }
    return grid_print(g);
}

/* Empty for none: such a line is left out. */
static const char *show_span(const Google__Protobuf__Duration *d, char *out)
{
    return d ? show_duration(d, out) : "";
}

/* "s20310303t0800-desk-1" and how many follow it. */
static const char *show_run(Fairslot__V1__Slot *const *slots, size_t count, char *out, size_t size)
{
    if (count == 0) {
        return "";
    }
    snprintf(out, size, "%s", slots[0]->name);
    if (count > 1) {
        size_t n = strlen(out);
        snprintf(out + n, size - n, " and %zu more", count - 1);
    }
    return out;
}

int show_pool(const struct options_call *call, const Fairslot__V1__Pool *pool)
{
    char assurance[SHOW_TEXT], hold[SHOW_TEXT], live[SHOW_TEXT], slots[SHOW_TEXT];
    char changes[SHOW_TEXT], cool[SHOW_TEXT], open[SHOW_TEXT], by[SHOW_TEXT];
    char appeal[SHOW_TEXT], way[SHOW_TEXT], wait[SHOW_TEXT];
    if (options_json(call)) {
        return render_print_json(render_json(&pool->base));
    }
    snprintf(live, sizeof(live), "%d", pool->max_live_per_identity);
    snprintf(slots, sizeof(slots), "%d", pool->max_slots_per_hold);
    snprintf(changes, sizeof(changes), "%d", pool->max_changes < 0 ? 0 : pool->max_changes);
    const char *const rows[][2] = {
        {"name", pool->name},
        {"display name", pool->display_name},
        {"office", pool->office},
        {"service", pool->service},
        {"service class", pool->service_class},
        {"time zone", pool->time_zone},
        {"minimum assurance", show_enum(&fairslot__v1__assurance__descriptor,
                                        (int)pool->min_assurance, "ASSURANCE_", assurance)},
        {"hold time", show_duration(pool->hold_ttl, hold)},
        {"live per identity", live},
        {"slots per hold", slots},
        {"changes", changes},
        {"cool-down", show_span(pool->cancel_cool_down, cool)},
        {"reconfirm from", show_span(pool->reconfirm_open, open)},
        {"reconfirm by", show_span(pool->reconfirm_by, by)},
        {"appeal period", show_span(pool->appeal_period, appeal)},
        {"slots return", show_enum(&fairslot__v1__pool__return_policy__descriptor,
                                   (int)pool->return_policy, "RETURN_POLICY_", way)},
        {"return wait", pool->return_wait ? show_span(pool->return_wait, wait) : ""},
        {"return release", pool->return_release},
        {"scarce", pool->scarce ? "yes, leaves only through releases" : "no"},
        {"etag", pool->etag},
        {NULL, NULL},
    };
    return show_fields(rows);
}

int show_hold(const struct options_call *call, const Fairslot__V1__Hold *hold)
{
    char start[SHOW_TEXT], state[SHOW_TEXT], expire[SHOW_TEXT], run[NAMES_MAX];
    if (options_json(call)) {
        return render_print_json(render_json(&hold->base));
    }
    const Fairslot__V1__Slot *slot = hold->n_slots ? hold->slots[0] : NULL;
    const char *const rows[][2] = {
        {"name", hold->name},
        {"state", show_enum(&fairslot__v1__hold__state__descriptor, (int)hold->state, "STATE_",
                            state)},
        {"slot", show_run(hold->slots, hold->n_slots, run, sizeof(run))},
        {"start", show_time(slot ? slot->start_time : NULL, NULL, start)},
        {"desk", slot ? slot->desk : NULL},
        {"confirm before", show_time(hold->expire_time, NULL, expire)},
        {"reservation", hold->reservation},
        {"etag", hold->etag},
        {NULL, NULL},
    };
    return show_fields(rows);
}

int show_reservation(const struct options_call *call, const Fairslot__V1__Reservation *r)
{
    char start[SHOW_TEXT], state[SHOW_TEXT], create[SHOW_TEXT], run[NAMES_MAX];
    char changes[SHOW_TEXT], by[SHOW_TEXT];
    if (options_json(call)) {
        return render_print_json(render_json(&r->base));
    }
    const Fairslot__V1__Slot *slot = r->n_slots ? r->slots[0] : NULL;
    snprintf(changes, sizeof(changes), "%d", r->changes_left);
    const char *const rows[][2] = {
        {"name", r->name},
        {"state", show_enum(&fairslot__v1__reservation__state__descriptor, (int)r->state, "STATE_",
                            state)},
        {"slot", show_run(r->slots, r->n_slots, run, sizeof(run))},
        {"start", show_time(slot ? slot->start_time : NULL, NULL, start)},
        {"desk", slot ? slot->desk : NULL},
        {"code", r->display_code},
        {"made", show_time(r->create_time, NULL, create)},
        {"changes left", changes},
        {"reconfirm before", show_time(r->reconfirm_by_time, NULL, by)},
        {"etag", r->etag},
        {NULL, NULL},
    };
    return show_fields(rows);
}
