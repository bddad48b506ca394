/* SPDX-License-Identifier: MIT */
/* THE table of metrics.  One row a metric makes its cells, its lines in /metrics and its line in
 * docs/metrics.md, which the unit suite (pages) holds to the table.
 *
 * To add one, add a row, run deploy/man/generate, and count where it happens, from any thread:
 *   M(name, KIND, label, label, label, "help")
 *     METRIC_ADD(name, 1)                        counter, or a gauge that goes up and down
 *     METRIC_ADD1(name, label, 1)                with one label: its index below
 *     METRIC_ADD2, METRIC_ADD3                   with two, three
 *     METRIC_SET(name, value)                    gauge: this thread's share; threads add up
 *     METRIC_TIME(name, microseconds)            HISTOGRAM of seconds
 *     METRIC_SIZE(name, number)                  HISTOGRAM_OF, buckets 1, 2, 4, ... 65,536
 *   KIND   COUNTER (name it ..._total)   COUNTER_US (counts microseconds, written as seconds)
 *          GAUGE   HISTOGRAM (name it ..._seconds)   HISTOGRAM_OF
 *   label  none, or a row of METRICS_LABELS.
 * A label has a fixed set of values: never an identity, an address, a pool or anything that a
 * caller chooses.  Values "" are named at the start by metrics_label_name().
 * Prometheus' names (fairslot_ stands before each): base units, _total, _seconds, _bytes. */
#ifndef FAIRSLOT_BASE_METRICS_TABLE_H
#define FAIRSLOT_BASE_METRICS_TABLE_H

/* L(label, how many values, "value value ..."): the order is the index */
#define METRICS_LABELS(L)                                                                         \
    L(none, 1, "")                                                                                \
    L(class, 5, "control reserve read search open")                                               \
    L(protocol, 6, "grpc grpc-web grpc-web-text connect connect-stream http1")                    \
    L(reason, 96, "")                                                                             \
    L(cache, 2, "hit miss")                                                                       \
    L(verdict, 2, "good refused")                                                                 \
    L(issuer, 16, "")                                                                             \
    L(map, 2, "state log")                                                                        \
    L(way, 2, "read write")                                                                       \
    L(outcome, 2, "answered lost")                                                                \
    L(level, 4, "error warn info debug")                                                          \
    L(end, 18,                                                                                    \
      "left garbage protocol frames resets cancels acks continuations pings hog memory rest "     \
      "hello stall silent aged handshakes other")                                                 \
    L(ops_end, 3, "full late long")                                                               \
    L(toll, 2, "rate open")                                                                       \
    L(handshake, 12, "ok resumed not_tls version cipher alpn certificate alert gone slow flood "   \
                     "protocol")

#define METRICS(M)                                                                                \
    /* -- what clients asked ------------------------------------------------------------------ */ \
    M(rpc_requests_total, COUNTER, class, protocol, reason,                                       \
      "Calls answered, by class of method, protocol and reason (OK: done).")                      \
    M(rpc_duration_seconds, HISTOGRAM, class, none, none,                                         \
      "Time from a call's headers to its answer.")                                                \
    M(rpc_inflight, GAUGE, none, none, none, "Calls that have no answer yet.")                    \
    M(refusals_total, COUNTER, reason, none, none, "Calls refused, by reason.")                   \
    /* -- connections ------------------------------------------------------------------------- */ \
    M(connections, GAUGE, none, none, none, "Connections of clients.")                            \
    M(connections_accepted_total, COUNTER, none, none, none, "Connections accepted.")             \
    M(connections_refused_total, COUNTER, none, none, none,                                       \
      "Connections that got a good-bye at once, because there were too many.")                    \
    M(connections_ended_total, COUNTER, end, none, none,                                          \
      "Connections ended, by the limit that did it (left: the client went, or we drained).")      \
    M(ops_connections_ended_total, COUNTER, ops_end, none, none,                                  \
      "Connections of the operations listener ended: too many, too slow, too long a request.")    \
    M(calls_cut_total, COUNTER, none, none, none,                                                 \
      "Calls reset because their client did not take the answer.")                                \
    M(memory_held_bytes, GAUGE, none, none, none,                                                 \
      "What connections and calls hold, of gateway.memory.")                                      \
    M(connections_rejected_total, COUNTER, toll, none, none,                                      \
      "Connections reset before a byte was read: their network began too many (rate) or has too " \
      "many (open).")                                                                             \
    M(connections_silent_total, COUNTER, none, none, none,                                        \
      "Connections closed because a ping of ours was not answered.")                              \
    M(connections_aged_total, COUNTER, none, none, none,                                          \
      "Connections that were told to come anew because of their age.")                            \
    M(tls_handshakes_total, COUNTER, handshake, none, none,                                       \
      "TLS handshakes by how they ended; ok: full ones; flood and protocol: later, too.")         \
    M(tls_handshakes, GAUGE, none, none, none, "TLS handshakes under way.")                       \
    M(tls_certificate_expires_seconds, GAUGE, none, none, none,                                   \
      "When the clients' certificate ends, in seconds since the epoch.")                          \
    M(connections_held_total, COUNTER, none, none, none,                                          \
      "Times that a connection was left unread, because an identity went on with a full queue.")  \
    /* -- identity ---------------------------------------------------------------------------- */ \
    M(token_cache_lookups_total, COUNTER, cache, none, none,                                      \
      "Tokens looked up among the verified ones.")                                                \
    M(token_verifications_total, COUNTER, verdict, none, none, "Signatures checked.")             \
    M(token_verifications_pending, GAUGE, none, none, none, "Tokens being verified.")             \
    M(issuer_keys, GAUGE, issuer, none, none,                                                     \
      "Keys in use of an issuer; 0: its tokens are refused.")                                     \
    M(issuer_keys_stale, GAUGE, issuer, none, none,                                               \
      "1 while an issuer's keys cannot be read: those known before are used.  An alarm.")         \
    M(issuer_keys_age_seconds, GAUGE, issuer, none, none,                                         \
      "Time since an issuer's keys were last confirmed.")                                         \
    M(issuer_key_reads_total, COUNTER, issuer, verdict, none,                                     \
      "Looks at an issuer's keys that found a good key set, or none.")                            \
    /* -- the fair queue ---------------------------------------------------------------------- */ \
    M(queue_calls, GAUGE, none, none, none, "Calls waiting in the fair queue.")                   \
    M(queue_identities, GAUGE, none, none, none, "Identities with calls in the fair queue.")      \
    M(queue_wait_seconds, HISTOGRAM, class, none, none,                                           \
      "Time of a call in the fair queue until it left for the shard.")                            \
    /* -- to the shard ------------------------------------------------------------------------ */ \
    M(hop_credit, GAUGE, none, none, none, "Calls that the shard takes now, as it said last.")    \
    M(hop_connected, GAUGE, none, none, none, "1 while the shard is connected.")                  \
    M(hop_batches_total, COUNTER, outcome, none, none, "Batches that came back from the shard.")  \
    M(hop_turned_away_total, COUNTER, none, none, none,                                           \
      "Batches that a replica turned away because it does not lead.")                             \
    M(hop_batch_calls, HISTOGRAM_OF, none, none, none, "Calls in a batch to the shard.")          \
    M(hop_round_trip_seconds, HISTOGRAM, none, none, none,                                        \
      "Time of a batch to the shard and back.")                                                   \
    /* -- who watches slots ------------------------------------------------------------------- */ \
    M(ticket_streams, GAUGE, none, none, none, "WatchTicket streams.")                            \
    M(event_streams, GAUGE, none, none, none, "WatchEvents streams.")                             \
    M(watch_streams, GAUGE, none, none, none, "WatchSlots streams.")                              \
    M(watch_pools, GAUGE, none, none, none, "Pools that are read once a second for watchers.")    \
    M(watch_snapshots_total, COUNTER, outcome, none, none,                                        \
      "Snapshots of watched pools that the shard answered, or that were lost.")                   \
    M(watch_snapshot_seconds, HISTOGRAM, none, none, none, "Time to read a snapshot.")            \
    /* -- the shard --------------------------------------------------------------------------- */ \
    M(shard_rounds_total, COUNTER, way, none, none,                                               \
      "Rounds of the writer: of reads alone, or with an entry in the log.")                       \
    M(shard_round_commands, HISTOGRAM_OF, none, none, none, "Commands in a round's entry.")       \
    M(shard_commit_duration_seconds, HISTOGRAM, none, none, none,                                 \
      "Time to make a round's entry durable: a write of the log's tail, or a commit of LMDB.")     \
    M(shard_batch_duration_seconds, HISTOGRAM, none, none, none,                                  \
      "Time from a batch's arrival at the shard to its answer.")                                  \
    M(shard_flushes_hurried_total, COUNTER, none, none, none,                                     \
      "Flushes of the state that did not stand back to their end: late, or waited for.")          \
    M(scarce_reads_refused_total, COUNTER, none, none, none,                                      \
      "Lists of scarce pools' slots that were over an identity's budget.")                        \
    M(ticket_polls_repeated_total, COUNTER, none, none, none,                                     \
      "GetTicket asked too often and answered as the time before.")                               \
    M(release_reports_total, COUNTER, none, none, none, "Releases that were closed and counted.") \
    M(release_alarms_total, COUNTER, none, none, none,                                            \
      "Of them, those with a bot advantage whose 95 % interval begins above 1.2.")                \
    M(release_bot_advantage_percent, GAUGE, none, none, none,                                     \
      "Bot advantage of the release closed last: 100 means that speed bought nothing.")           \
    M(shard_log_index, GAUGE, none, none, none, "Index of the last entry that was applied.")      \
    M(shard_leader, GAUGE, none, none, none, "1: this replica leads its shard.")                  \
    M(shard_term, GAUGE, none, none, none, "Raft's term.")                                        \
    M(shard_committed_index, GAUGE, none, none, none,                                             \
      "Index of the last entry that may be applied.")                                             \
    M(shard_leaders_lost_total, COUNTER, none, none, none,                                        \
      "Times that this replica stopped leading.")                                                 \
    M(shard_rounds_unknown_total, COUNTER, none, none, none,                                      \
      "Rounds whose verdict was unknown when leadership was lost: clients ask again.")            \
    M(shard_peer_dropped_total, COUNTER, none, none, none,                                        \
      "Messages to other replicas that were dropped: not connected, or too many wait.")           \
    M(shard_peer_strays_total, COUNTER, none, none, none,                                         \
      "Messages that came and were not for us: another cluster, node, or an older stream.")       \
    M(shard_peer_refused_total, COUNTER, none, none, none,                                        \
      "Messages of other replicas that broke the protocol, or came from another disk.")           \
    M(shard_scrubs_total, COUNTER, none, none, none,                                              \
      "Times that every record was read and found as it was written.")                            \
    M(shard_scrub_bytes_total, COUNTER, none, none, none, "Bytes of records read so.")            \
    M(shard_damage_found_total, COUNTER, none, none, none,                                        \
      "Damage found in the data files: nothing is served from then on.")                          \
    M(shard_storage_room, GAUGE, none, none, none,                                                \
      "2: plenty; 1: new pools, slots and holds are refused; 0: every write is.")                 \
    M(shard_map_used_bytes, GAUGE, map, none, none, "Used of each LMDB map.")                     \
    M(shard_map_bytes, GAUGE, map, none, none, "Size of each LMDB map.")                          \
    M(shard_storage_free_bytes, GAUGE, none, none, none, "Free on the disk of the data.")         \
    /* -- operations -------------------------------------------------------------------------- */ \
    M(log_lines_total, COUNTER, level, none, none, "Lines logged.")                               \
    M(log_lines_dropped_total, COUNTER, level, none, none,                                        \
      "Lines not logged: one of their kind came a moment before, or nobody read them.")           \
    M(config_reloads_total, COUNTER, verdict, none, none,                                         \
      "Times that SIGHUP had the configuration read again.")

#endif
