/* SPDX-License-Identifier: MIT */
/* THE catalogue of events.  One row an event; its number never changes and is never used again, so
 * that alerts may be built on it.
 *
 * To add one, add a row at its place by number, run deploy/man/generate, and log it from a shell:
 *   log_event(LOG_NAME, NULL, "gateway: %zu things", count);
 *   log_event(LOG_NAME, LOG_FIELDS(LOG_TEXT("path", path), LOG_NUMBER("free_bytes", n)), "...");
 *   E(NAME, number, LEVEL, burst, "what it means, and what to do")
 *   burst: lines in LOG_INTERVAL_S seconds, more are counted and told with the next one; 0: all.
 * Never a token, a key, a name, an address or a subject: pseudonyms only. */
#ifndef FAIRSLOT_BASE_LOG_EVENTS_H
#define FAIRSLOT_BASE_LOG_EVENTS_H

#define LOG_EVENTS(E)                                                                             \
    /* -- 1000: a process --------------------------------------------------------------------- */ \
    E(OTHER_ERROR, 1000, ERROR, 100, "Something that has no event of its own.")                   \
    E(OTHER_WARN, 1001, WARN, 100, "Something that has no event of its own.")                     \
    E(OTHER_INFO, 1002, INFO, 100, "Something that has no event of its own.")                     \
    E(OTHER_DEBUG, 1003, DEBUG, 100, "Something that has no event of its own.")                   \
    E(FILE_OPEN_TO_OTHERS, 1100, WARN, 20, "A file with a secret can be read by others: chmod "   \
      "600.")                                                                                     \
    E(PID_NOT_WRITTEN, 1101, WARN, 1, "The lock has no pid in it; the lock itself holds.")        \
    E(DISK_LOW, 1102, WARN, 1, "Little room on the disk: make room before STORAGE_FULL.")         \
    E(CONFIG_READ, 1200, INFO, 10, "SIGHUP: the configuration was read again and holds.")         \
    E(CONFIG_WRONG, 1201, ERROR, 200, "SIGHUP: the configuration is wrong, the old one holds: "   \
      "fairslot config check.")                                                                   \
    E(CONFIG_NEEDS_RESTART, 1202, WARN, 200, "A key changed that only a restart applies.")        \
    /* -- 2000: the gateway ------------------------------------------------------------------- */ \
    E(GATEWAY_STOPPING, 2000, INFO, 10, "SIGTERM: calls under way are answered, then it ends.")   \
    E(GATEWAY_CUT, 2001, WARN, 10, "The drain's time is over: connections were cut.")             \
    E(GATEWAY_FEWER_LOOPS, 2002, WARN, 10, "A thread could not be started.")                      \
    E(DESCRIPTORS_LOW, 2010, WARN, 1, "File descriptors run out: raise LimitNOFILE.")             \
    E(ACCEPT_FAILED, 2011, WARN, 1, "A connection could not be accepted.")                        \
    E(CONNECTIONS_FULL, 2012, WARN, 1, "As many connections as allowed: new ones get a "          \
      "good-bye.")                                                                                \
    E(SHARD_CONNECTED, 2100, INFO, 5, "The shard is back.")                                       \
    E(SHARD_AWAY, 2101, WARN, 5, "The shard is not connected: calls are refused (NO_LEADER).")    \
    E(SHARD_REPLY_DAMAGED, 2102, WARN, 1, "A reply of the shard cannot be read: its calls are "   \
      "sent again.")                                                                              \
    E(SHARD_REPLY_SHORT, 2103, ERROR, 1, "A reply of the shard left out a call.")                 \
    E(SHARD_REPLY_MISSING, 2104, WARN, 1, "A batch has no reply while others have theirs: its "   \
      "calls are sent again.")                                                                    \
    E(SHARD_STRANGE, 2105, ERROR, 1, "A --shard is another cluster's: it is not asked.")          \
    E(KEYS_ODD, 2200, WARN, 20, "Keys of an issuer that are not used, and why.")                  \
    E(TOKEN_FAILED, 2201, ERROR, 1, "A token could not be handled: an error of ours.")            \
    E(KEYS_READ, 2202, INFO, 20, "An issuer's keys are new: those are in use now.")               \
    E(KEYS_STALE, 2203, WARN, 20, "An issuer's keys cannot be read: those known before are "      \
      "used, for issuer.stale.  See to the issuer, or the way to it.")                            \
    E(KEYS_BACK, 2204, INFO, 20, "An issuer's keys can be read again.")                           \
    E(KEYS_GIVEN_UP, 2205, ERROR, 20, "An issuer's keys could not be read for issuer.stale: "     \
      "its tokens are refused (KEYS_UNAVAILABLE).")                                               \
    E(ISSUERS_READ, 2210, INFO, 50, "SIGHUP: the issuers changed; tokens are judged by the new "   \
      "ones.")                                                                                    \
    E(ISSUERS_WRONG, 2211, ERROR, 50, "SIGHUP: the new issuers' keys cannot be read, the old "    \
      "issuers hold.")                                                                            \
    E(CERTIFICATE, 2300, WARN, 20, "The server's certificate ends soon, or is not valid.")        \
    E(CERTIFICATE_READ, 2301, INFO, 10, "SIGHUP: the certificate was read again and holds.")      \
    E(CERTIFICATE_WRONG, 2302, ERROR, 10, "SIGHUP: the new certificate or key is wrong, the old " \
      "one holds.")                                                                               \
    E(ACCESS, 2900, INFO, 0, "A call (log.access): method, protocol, status, reason, time.")      \
    /* -- 3000: the shard --------------------------------------------------------------------- */ \
    E(SHARD_REPLAYED, 3000, INFO, 1, "The log was replayed at the start.")                        \
    E(RELEASE_ALARM, 3010, WARN, 0, "Being fast bought slots in a release: its report says how "  \
      "much, and by which rule somebody counts as suspected.")                                    \
    E(SHARD_ENDS, 3001, ERROR, 0, "The shard cannot go on and ends; the log will be replayed.")   \
    E(SHARD_DAMAGED, 3004, ERROR, 0, "The data files are damaged: nothing is served from them.") \
    E(LOG_REPAIRED, 3005, ERROR, 0, "The log was damaged where the durable state has all of it, "\
      "or its tail where nothing was, and was made anew: nothing is lost.  Look at the disk.")    \
    E(BATCH_DAMAGED, 3002, WARN, 1, "Bytes that are no batch came from a gateway.")               \
    E(ROUND_SLOW, 3003, WARN, 2, "A round took longer than shard.slow_round: the disk is slow.") \
    E(SHARD_LEADS, 3020, INFO, 5, "This replica leads its shard.")                                \
    E(SHARD_FOLLOWS, 3021, INFO, 5, "This replica leads no more.")                                \
    E(PEER_DISK, 3022, ERROR, 2, "A replica came back with another disk, or two have one id: it "  \
      "is not heard.")                                                                            \
    E(PEER_MESSAGE, 3023, WARN, 2, "A message of another replica broke the protocol.")            \
    E(STATE_DIFFERS, 3024, ERROR, 2, "Replicas do not have the same state at the same index.")    \
    E(SNAPSHOT_WANTED, 3025, INFO, 2, "This replica is too far behind: it fetches a state.")      \
    E(SNAPSHOT_INSTALLED, 3026, INFO, 2, "A state of another replica was installed.")             \
    E(SNAPSHOT_FAILED, 3027, WARN, 2, "A state could not be made or fetched; tried again.") \
    E(SHARD_YIELDS, 3028, WARN, 5, "This leader's disk is full: another replica shall lead.")     \
    E(PEERS_SILENT, 3029, WARN, 0, "No other node was heard for a while, or since the start.")

#endif
