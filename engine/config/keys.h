/* SPDX-License-Identifier: MIT */
/* THE table of configuration keys.  One row a key makes: the field of struct config, the parser and
 * its range check, `fairslot config check|show|explain|default`, the default file and the man page.
 *
 * To add a key, add one row (and nothing else), build, read `config->SECTION_KEY`, and run
 * deploy/man/generate, whose pages the unit suite (pages) holds to the table:
 *   X(section, key, TYPE, "default", LIMIT, WHEN, "help")
 *   TYPE   TEXT      any text                          -> const char * (never NULL; "" when empty)
 *          WORD      one of WORDS("a b c")             -> const char *
 *          FILE      path of a file that must exist    -> const char * ("" when empty)
 *          SECRET    the same, of a secret: the value is never printed unless it names a file
 *          FOLDER    path of a folder                  -> const char *
 *          ADDRESS   IP:PORT or localhost:PORT         -> const char *
 *          URL       scheme://...                      -> const char *
 *          COUNT     whole number                      -> int64_t
 *          DURATION  10s, 500ms, 5m, 2h, 30d           -> int64_t, milliseconds
 *          SIZE      512B, 64KiB, 16MiB, 4GiB, 1TiB    -> int64_t, bytes
 *          BOOL      yes or no                         -> bool
 *          LIST      words by commas, may go on in indented lines -> struct config_list
 *   LIMIT  RANGE(min, max) in the field's unit (bytes of a TEXT, items of a LIST), WORDS("a b")
 *          for WORD and the items of a LIST, ANY
 *   WHEN   RELOAD: SIGHUP applies it (whoever reads it sees to that), RESTART: it does not
 * Paths are relative to the file that they stand in; %d is $CREDENTIALS_DIRECTORY (systemd).
 * A section that may stand several times, as [issuer munich], has a table of its own below, and its
 * items lie in config->issuers[0 .. issuers_count).
 * To add a section, add a row to CONFIG_SECTIONS too. */
#ifndef FAIRSLOT_CONFIG_KEYS_H
#define FAIRSLOT_CONFIG_KEYS_H

/* S(section, who reads it, "help") */
#define CONFIG_SECTIONS(S)                                                                        \
    S(data, GATEWAY | SHARD, "Where everything is kept.")                                         \
    S(gateway, GATEWAY, "The gateway: what clients meet.")                                        \
    S(tls, GATEWAY, "TLS for clients: with a certificate, any address may be listened on.")       \
    S(admin, GATEWAY, "The operators' own listener: client certificates, and roles by them.")     \
    S(network, GATEWAY,                                                                           \
      "What one network (IPv4 /24, IPv6 /48) may do before anybody has said who he is.")          \
    S(connection, GATEWAY, "How long a connection lives.")                                        \
    S(auth, GATEWAY, "Who people are; each issuer of tokens has its own [issuer NAME].")          \
    S(anonymous, GATEWAY, "Callers without a token: the catalogue and nothing else.")             \
    S(cors, GATEWAY, "Which web pages may call from a browser.")                                  \
    S(shard, SHARD, "The shard: what slots and holds are kept by.")                               \
    S(inside, GATEWAY | SHARD, "TLS between gateways and shards, and among replicas.")            \
    S(ops, GATEWAY | SHARD, "The operations listener: /metrics, /livez, /readyz.")                \
    S(log, GATEWAY | SHARD, "What is logged, and how.")

/* M(section, plural, most items, who reads it, "help"): sections that may stand several times */
#define CONFIG_MANY(M)                                                                            \
    M(issuer, issuers, 16, GATEWAY,                                                               \
      "An OIDC issuer whose tokens are believed.  NAME is yours to choose: a-z, 0-9 and -.")      \
    M(role, roles, 16, GATEWAY,                                                                   \
      "Who may use the admin services as what: viewer, clerk, operator or auditor is the NAME.")

#define CONFIG_KEYS(X)                                                                            \
    /* -- [data] ------------------------------------------------------------------------------ */ \
    X(data, folder, FOLDER, "", RANGE(0, 4000), RESTART,                                          \
      "Data directory of the shard, made when missing.")                                          \
    /* -- [gateway] --------------------------------------------------------------------------- */ \
    X(gateway, listen, ADDRESS, "127.0.0.1:17700", ANY, RESTART,                                  \
      "Where clients connect.  Port 0 takes any free one.")                                       \
    X(gateway, loops, COUNT, "1", RANGE(1, 64), RESTART,                                          \
      "Threads that meet clients, each with a loop of its own; one per core is most.")            \
    X(gateway, frontends, LIST, "", RANGE(0, 32), RESTART,                                        \
      "Networks of web frontends that speak for many people, as 10.1.0.0/16.  People with weak "  \
      "proof of identity from one /24 or /48 share one place in the queue, but not from these.")  \
    X(gateway, insecure, BOOL, "no", ANY, RESTART,                                                \
      "Allow an address beyond loopback without TLS: tokens travel in the clear.")                \
    X(gateway, shard, LIST, "", RANGE(0, 16), RESTART,                                            \
      "The shard of a gateway alone: what the shard's ready line says, as tcp://IP:PORT; of a "   \
      "replicated one every replica, or some: the leader is found, and so are the others.")       \
    X(gateway, drain, DURATION, "5s", RANGE(100, 600000), RELOAD,                                 \
      "After SIGTERM: how long calls under way may take before they are refused.")                \
    X(gateway, hello, DURATION, "10s", RANGE(100, 600000), RELOAD,                                \
      "How long a client may take for its greeting or one block of headers.")                     \
    X(gateway, deadline, DURATION, "10s", RANGE(100, 60000), RELOAD,                              \
      "Time of a call whose client sets none.")                                                   \
    X(gateway, unread, DURATION, "10s", RANGE(100, 600000), RELOAD,                               \
      "How long a client may leave an answer unread before its call, or a connection that takes " \
      "nothing at all, is ended.")                                                                \
    X(gateway, connections, COUNT, "16000", RANGE(1, 16000), RESTART,                             \
      "Most connections at once; the next one gets a good-bye.")                                  \
    X(gateway, memory, SIZE, "1GiB", RANGE(INT64_C(8) << 20, INT64_C(1) << 40), RESTART,          \
      "Most that connections and calls may hold; near it the greediest connection is ended and "  \
      "new calls are refused (GATEWAY_FULL).")                                                    \
    /* -- [tls] ------------------------------------------------------------------------------- */ \
    X(tls, certificate, FILE, "", RANGE(0, 4000), RESTART,                                        \
      "PEM file: the server's certificate, then its chain.  Empty: no TLS.  SIGHUP reads it "     \
      "again.")                                                                                   \
    X(tls, key, SECRET, "", RANGE(0, 4000), RESTART,                                              \
      "PEM file of its private key, without a passphrase.  SIGHUP reads it again.")               \
    X(tls, ticket_keys, SECRET, "", RANGE(0, 4000), RESTART,                                      \
      "File of one to three keys for session tickets, 80 random bytes each, shared by gateways "  \
      "of one name; the first seals.  Empty: made here, a new one each hour.  SIGHUP reads it "   \
      "again.")                                                                                   \
    X(tls, tls12, BOOL, "no", ANY, RESTART,                                                       \
      "Allow TLS 1.2 for clients that are older than 2018.")                                      \
    X(tls, handshake, DURATION, "5s", RANGE(0, 600000), RELOAD,                                   \
      "How long a TLS handshake may take.  0: as long as gateway.hello.")                         \
    X(tls, handshakes, COUNT, "1024", RANGE(0, 100000), RELOAD,                                   \
      "Handshakes under way in one loop: with more, the oldest is closed.  0: any number.")       \
    /* -- [admin] ----------------------------------------------------------------------------- */ \
    X(admin, listen, ADDRESS, "", ANY, RESTART,                                                   \
      "Where operators connect, with client certificates.  Empty: they come with tokens, where "  \
      "everybody does.")                                                                          \
    X(admin, certificate, FILE, "", RANGE(0, 4000), RESTART,                                      \
      "PEM file of that listener's certificate.  Empty: tls.certificate.")                        \
    X(admin, key, SECRET, "", RANGE(0, 4000), RESTART,                                            \
      "PEM file of its private key.  Empty: tls.key.")                                            \
    X(admin, client_ca, FILE, "", RANGE(0, 4000), RESTART,                                        \
      "PEM file of the authority that signs operators' certificates; [role NAME] says what they " \
      "may do.  SIGHUP reads it again.")                                                          \
    /* -- [network] --------------------------------------------------------------------------- */ \
    X(network, rate, COUNT, "200", RANGE(0, 1000000), RELOAD,                                     \
      "Connections that one network may begin each second; more are reset before the TLS "        \
      "handshake.  0: any number.")                                                               \
    X(network, burst, COUNT, "2000", RANGE(0, 1000000), RELOAD,                                   \
      "Connections that it may begin at once after a pause.  0: as many as in a second.")         \
    X(network, connections, COUNT, "4000", RANGE(0, 1000000), RELOAD,                             \
      "Connections that it may have open.  0: any number.")                                       \
    X(network, exempt, LIST, "127.0.0.0/8, ::1", RANGE(0, 32), RELOAD,                            \
      "Networks without these limits: proxies that carry many people.")                           \
    /* -- [connection] ------------------------------------------------------------------------ */ \
    X(connection, keepalive, DURATION, "1m", RANGE(0, 86400000), RELOAD,                          \
      "Silence after which a client is pinged.  0: never.")                                       \
    X(connection, keepalive_timeout, DURATION, "20s", RANGE(100, 86400000), RELOAD,               \
      "How long its answer may take before the connection is closed.")                            \
    X(connection, client_ping, DURATION, "10s", RANGE(0, 86400000), RESTART,                      \
      "A client that pings more often is sent away (too_many_pings).  0: it may.")                \
    X(connection, max_age, DURATION, "10m", RANGE(0, 86400000), RELOAD,                           \
      "Age, give or take a tenth, at which a client is asked to connect anew.  0: never.")        \
    X(connection, age_grace, DURATION, "30s", RANGE(100, 86400000), RELOAD,                       \
      "How long calls under way may still take then.")                                            \
    /* -- [auth] ------------------------------------------------------------------------------ */ \
    X(auth, tenant_key, SECRET, "", RANGE(0, 4000), RESTART,                                      \
      "File of 32 bytes that key the pseudonyms.  Never change it: everybody would be a "         \
      "stranger.")                                                                                \
    /* -- [anonymous] ------------------------------------------------------------------------- */ \
    X(anonymous, catalogue, BOOL, "yes", ANY, RELOAD,                                             \
      "Serve the catalogue (pools, slots, releases and what came of them) to callers without a "  \
      "token; WatchSlots and slots of scarce pools need one.")                                    \
    X(anonymous, rate, COUNT, "1000", RANGE(1, 1000000), RELOAD,                                  \
      "Calls a second of all such callers together; above it: RATE_LIMITED and a time.")          \
    /* -- [cors] ------------------------------------------------------------------------------ */ \
    X(cors, origins, LIST, "", RANGE(0, 64), RELOAD,                                              \
      "Origins of pages that may call, as https://booking.example.org.")                          \
    /* -- [shard] ----------------------------------------------------------------------------- */ \
    X(shard, listen, URL, "tcp://127.0.0.1:17701", RANGE(1, 300), RESTART,                        \
      "Where gateways connect to a shard alone, as tcp://IP:PORT.")                               \
    X(shard, insecure, BOOL, "no", ANY, RESTART,                                                  \
      "Allow an address beyond loopback without TLS.")                                            \
    X(shard, id, COUNT, "0", RANGE(0, INT64_MAX), RESTART,                                        \
      "Which of its replicas this node is; an id is never used again for another disk.  0: the "  \
      "shard is alone.")                                                                          \
    X(shard, peers, LIST, "", RANGE(0, 15), RESTART,                                              \
      "The first members, our own too, as 1 = tcp://10.0.0.1:17703 without blanks; the same on "  \
      "all.  Later members are added with fairslot node add.")                                    \
    X(shard, join, TEXT, "", RANGE(0, 32), RESTART,                                               \
      "A new node's instead of peers: the cluster's id, as fairslot cluster status shows it.")    \
    X(shard, peers_listen, URL, "", RANGE(0, 120), RESTART,                                       \
      "Where peers connect, as tcp://IP:PORT.  Empty: what peers has for our own id.")            \
    X(shard, peers_address, URL, "", RANGE(0, 120), RESTART,                                      \
      "What peers dial, where that is another address than they reach us by.")                    \
    X(shard, address, URL, "", RANGE(0, 120), RESTART,                                            \
      "What gateways dial, where that is another address than shard.listen.")                     \
    X(shard, state_map, SIZE, "64GiB", RANGE(INT64_C(16) << 20, INT64_C(16) << 40), RESTART,      \
      "Most that slots, holds and people may take on disk; when it is nearly full, new holds "    \
      "are refused (STORAGE_FULL).")                                                              \
    X(shard, log_map, SIZE, "4GiB", RANGE(INT64_C(16) << 20, INT64_C(16) << 40), RESTART,         \
      "Most that the log may take on disk; what the state has goes from it.")                     \
    X(shard, warm_memory, SIZE, "0", RANGE(0, INT64_C(1) << 30), RESTART,                         \
      "Memory for what has changed since the last flush, cleared by the kernel before the shard " \
      "is ready and kept: before a big release 512MiB make its first seconds a tenth faster.")    \
    X(shard, log_keep, COUNT, "200000", RANGE(64, 100000000), RESTART,                            \
      "Entries that the log keeps for a replica that is away; one that comes back later than "    \
      "that gets the whole state.")                                                               \
    X(shard, lag_alarm, COUNT, "10000", RANGE(64, 100000000), RESTART,                            \
      "A replica that is more entries behind is told as a problem (NODE_LAGS).")                  \
    X(shard, election_timeout, DURATION, "300ms", RANGE(100, 60000), RESTART,                     \
      "So long a replica hears no leader before it wants to lead; the same on all.  Longer than " \
      "a slow disk's syncs and than twice the way between nodes, or leaders change needlessly.")  \
    X(shard, disk_reserve, SIZE, "256MiB", RANGE(0, INT64_C(1) << 40), RESTART,                   \
      "Room on disk that is kept for confirm, drop and cancel.")                                  \
    X(shard, slow_round, DURATION, "250ms", RANGE(0, 60000), RESTART,                             \
      "A commit that takes longer is logged with the traces that waited for it.  0: never.")      \
    X(shard, scrub_interval, DURATION, "24h", RANGE(0, INT64_C(31) * 86400000), RESTART,          \
      "How often every record on disk is read and checked, at 32 MiB a second.  0: never.")       \
    X(shard, scarce_reads, COUNT, "2", RANGE(0, 1000000), RESTART,                                \
      "How often a second one identity may list the slots of scarce pools, which change once a "  \
      "second; more is refused (READ_BUDGET) with a time.  0: any number.")                       \
    X(shard, scarce_burst, COUNT, "60", RANGE(1, 1000000), RESTART,                               \
      "How many such lists at once after a pause: pages of one list count each.")                 \
    X(shard, ticket_burst, COUNT, "5", RANGE(0, 1000000), RESTART,                                \
      "How many fresh answers one ticket's GetTicket gets at once after a pause; from then on "   \
      "one a second, and the last one again in between.  0: every answer is fresh.")              \
    X(shard, signing_key, SECRET, "", RANGE(0, 4000), RESTART,                                    \
      "PEM file of the operator's Ed25519 key (fairslot release key FILE): it signs manifests "    \
      "and receipts.  Replicas of a shard need the same.  Empty: release.key in the data "        \
      "folder, made when missing.")                                                               \
    /* -- [inside] ---------------------------------------------------------------------------- */ \
    X(inside, authority, FILE, "", RANGE(0, 4000), RESTART,                                       \
      "PEM file of the authority whose certificates belong to this house.  Empty: no TLS "        \
      "between gateways and shards; then keep them on loopback or a private network.")            \
    X(inside, certificate, FILE, "", RANGE(0, 4000), RESTART,                                     \
      "PEM file of this process's certificate, for the name below.")                              \
    X(inside, key, SECRET, "", RANGE(0, 4000), RESTART,                                           \
      "PEM file of its private key.")                                                             \
    X(inside, name, TEXT, "fairslot", RANGE(1, 200), RESTART,                                     \
      "DNS name that every certificate of the house carries, whatever its address.")              \
    /* -- [ops] ------------------------------------------------------------------------------- */ \
    X(ops, listen, ADDRESS, "", ANY, RESTART,                                                     \
      "Where /metrics, /livez and /readyz answer, as 127.0.0.1:17709.  Empty: nowhere.")          \
    /* -- [log] ------------------------------------------------------------------------------- */ \
    X(log, level, WORD, "info", WORDS("error warn info debug"), RELOAD,                           \
      "Lines above this level are not written.")                                                  \
    X(log, format, WORD, "auto", WORDS("auto text json journal"), RELOAD,                         \
      "auto: journal fields when stderr is the journal, text on a terminal, else JSON lines.")    \
    X(log, access, BOOL, "no", ANY, RELOAD,                                                       \
      "One line a call: method, status, reason, time and pseudonym; never a name or address.")

#define CONFIG_ISSUER_KEYS(X)                                                                     \
    X(issuer, url, URL, "", RANGE(1, 255), RELOAD,                                                \
      "Exact 'iss' of its tokens.  Needed.")                                                      \
    X(issuer, audience, LIST, "fairslot", RANGE(1, 32), RELOAD,                                   \
      "One of these must be in 'aud'.")                                                           \
    X(issuer, authorized_party, LIST, "", RANGE(0, 32), RELOAD,                                   \
      "One of these must be 'azp' (or 'client_id').  Empty: not looked at.")                      \
    X(issuer, jwks_file, FILE, "", RANGE(0, 4000), RELOAD,                                        \
      "Its key set as a file; read again when it changes.  This, jwks_url or discovery.")         \
    X(issuer, jwks_url, URL, "", RANGE(0, 1000), RELOAD,                                          \
      "Its key set over https (http from this machine only); fetched again and again.")           \
    X(issuer, discovery, BOOL, "no", ANY, RELOAD,                                                 \
      "Ask url/.well-known/openid-configuration where the key set is.")                           \
    X(issuer, ca_file, FILE, "", RANGE(0, 255), RELOAD,                                           \
      "PEM of who may certify the issuer's server.  Empty: the system's.")                        \
    X(issuer, algorithms, LIST, "ES256, RS256", WORDS("ES256 ES384 RS256 PS256"), RELOAD,         \
      "What it may sign with.  Each key is used with one of them only.")                          \
    X(issuer, typ, WORD, "any", WORDS("any JWT at+jwt"), RELOAD,                                  \
      "The header's typ.  any: none, JWT or at+jwt, but no other purpose.")                       \
    X(issuer, subject_claim, TEXT, "sub", RANGE(1, 255), RELOAD,                                  \
      "Who it is.  A claim's name, or a path as person.id.  Changing it makes new people.")       \
    X(issuer, assurance_claim, TEXT, "assurance", RANGE(1, 255), RELOAD,                          \
      "How well the person is known, as acr.  Absent: low.")                                      \
    X(issuer, assurance, LIST, "", RANGE(0, 32), RELOAD,                                          \
      "What its values mean, as gold = high, silver = substantial; all others are low.  Empty: "  \
      "low, substantial and high mean themselves, and others are refused.")                       \
    X(issuer, role_claim, TEXT, "roles", RANGE(1, 255), RELOAD,                                   \
      "A word or a list of them; a name, or a path as realm_access.roles.")                       \
    X(issuer, roles, LIST, "operator = operator", RANGE(1, 32), RELOAD,                           \
      "What its values mean, as slot-admin = operator; all others mean nothing.")                 \
    X(issuer, leeway, DURATION, "60s", RANGE(1000, 300000), RELOAD,                               \
      "How far its clock may be ahead of ours (nbf, iat).  No token lives longer for it.")        \
    X(issuer, refresh, DURATION, "5m", RANGE(5000, 86400000), RELOAD,                             \
      "Longest time between two looks at its keys; its Cache-Control may shorten it to 30s.")     \
    X(issuer, refetch, DURATION, "30s", RANGE(1000, 3600000), RELOAD,                             \
      "Shortest time between two looks that tokens with an unknown kid cause.")                   \
    X(issuer, stale, DURATION, "24h", RANGE(1000, INT64_C(2592000000)), RELOAD,                   \
      "How long its keys are used after they could last be read.")

#define CONFIG_ROLE_KEYS(X)                                                                       \
    X(role, certificates, LIST, "", RANGE(0, 64), RELOAD,                                         \
      "Names of the client certificates that have this role: URI:..., DNS:..., email:..., "       \
      "CN:..., or a bare name that may stand in any of them.")

#endif
