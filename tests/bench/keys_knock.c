/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers cost: `keys_knock [N]` lets N different addresses (10 million) knock, each with a
 * different key that is none, and prints how much memory that takes and how long each one. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "relay/front/peers.h"
#include "relay/store/credential.h"
#include "relay/store/directory.h"
#include "relay/store/directory_write.h"

#define KNOCKS_DEFAULT  10000000
#define CONNECTIONS_MAX 10000

static const struct bucket_rate RATE = {1, 30};

static size_t rss_kb(void)
{
    char line[128] = "";
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL) {
        return 0;
    }
    char *resident = fgets(line, sizeof(line), f) == NULL ? NULL : strchr(line, ' ');
    (void)fclose(f); /* only read from */
    return resident == NULL ? 0
                            : strtoul(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* Half of them IPv4, half in an IPv6 network of their own. */
static struct peer_address address_of(uint32_t i)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (i % 2 == 0) {
        v4.sin_addr.s_addr = htonl(0x0b000000 + i);
        return peers_address((const struct sockaddr *)&v4);
    }
    memcpy(v6.sin6_addr.s6_addr, "\x20\x01\x0d\xb8", 4);
    memcpy(v6.sin6_addr.s6_addr + 4, &i, sizeof(i));
    return peers_address((const struct sockaddr *)&v6);
}

/* One connection with one request. Returns 1 if it was refused, 0 if even that was too much. */
static size_t knock(struct peers *p, struct directory_reader *r, uint32_t i)
{
    const struct directory_server *server = NULL;
    struct peer_address a = address_of(i);
    char key[CREDENTIAL_BYTES];
    size_t refused = 0;

    (void)snprintf(key, sizeof(key), "%032" PRIu32, i);
    if (!peers_connect(p, &a, 1)) {
        (void)fprintf(stderr, "keys_knock: a first connection was not let in\n");
        exit(1);
    }
    if (directory_find_key(r, span_of(key), 1, &server) == NULL) {
        refused = peers_refuse(p, &a, RATE, clock_now_us(), NULL) ? 1 : 0;
    }
    directory_leave(r);
    peers_disconnect(p, &a);
    return refused;
}

int main(int argc, char **argv)
{
    struct peers *p = peers_new(CONNECTIONS_MAX);
    struct directory *d = directory_new();
    struct directory_reader *r = d == NULL ? NULL : directory_join(d);
    uint64_t n = KNOCKS_DEFAULT;
    size_t n_refused = 0;

    if (argc > 1 && span_parse_u64(span_of(argv[1]), UINT32_MAX, &n) != 0) {
        (void)fprintf(stderr, "usage: keys_knock [N]\n");
        return 2;
    }
    if (p == NULL || r == NULL) {
        return 1;
    }
    size_t before_kb = rss_kb();
    uint64_t start_us = clock_now_us();
    for (uint32_t i = 0; i < n; i++) {
        n_refused += knock(p, r, i);
    }
    uint64_t took_us = clock_now_us() - start_us;
    (void)printf("addresses %" PRIu64 "\nrss_growth_kb %zu\nknock_ns %" PRIu64
                 "\nanswered_403 %zu\nanswered_429 %" PRIu64 "\n",
                 n, rss_kb() - before_kb, took_us * 1000 / (n == 0 ? 1 : n), n_refused,
                 n - n_refused);
    directory_part(r);
    directory_free(d);
    peers_free(p);
    return 0;
}
