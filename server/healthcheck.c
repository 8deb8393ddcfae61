#include "base/clock.h"
#include "server/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MILLISECONDS = 2000 };

/* The status line of HTTP/1 (RFC 9112, section 4): "HTTP/1.1 200". */
enum { STATUS_AT = 9, STATUS_END = 12 };

/* A connection that is being made, with its deadline. */
struct probe {
    int fd;
    uint64_t deadline; /* of clock_now */
};

/* Waits until the socket is ready for `events`; ERR_IO after the deadline. */
static enum err_code wait_for(const struct probe *probe, short events, struct err *err)
{
    struct pollfd entry = {.fd = probe->fd, .events = events};
    int n;
    do {
        uint64_t now = clock_now();
        double left =
            now < probe->deadline ? clock_milliseconds(probe->deadline - now) : 0;
        n = poll(&entry, 1, (int)left);
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        return err_set(err, ERR_IO, "no answer within %d ms", TIMEOUT_MILLISECONDS);
    return n > 0 ? ERR_OK : err_set(err, ERR_IO, "%s", strerror(errno));
}

static enum err_code
connect_to(struct probe *probe, const struct addrinfo *address, struct err *err)
{
    int problem = 0;
    socklen_t length = sizeof(problem);
    probe->fd = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
    if (probe->fd < 0 || fcntl(probe->fd, F_SETFL, O_NONBLOCK) != 0)
        return err_set(err, ERR_IO, "%s", strerror(errno));
    if (connect(probe->fd, address->ai_addr, address->ai_addrlen) == 0)
        return ERR_OK;
    if (errno != EINPROGRESS)
        return err_set(err, ERR_IO, "%s", strerror(errno));
    enum err_code code = wait_for(probe, POLLOUT, err);
    if (code != ERR_OK)
        return code;
    if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &problem, &length) != 0)
        problem = errno;
    return problem == 0 ? ERR_OK : err_set(err, ERR_IO, "%s", strerror(problem));
}

/* A request of this length fits into any new socket's buffer. */
static enum err_code ask(const struct probe *probe, const char *host, struct err *err)
{
    char request[512];
    int n = snprintf(request, sizeof(request),
                     "GET /readyz HTTP/1.0\r\nHost: %.255s\r\n\r\n", host);
    if (send(probe->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        return err_set(err, ERR_IO, "cannot send: %s", strerror(errno));
    return ERR_OK;
}

/* Reads up to the end of the status. */
static enum err_code read_status(const struct probe *probe, struct err *err)
{
    char line[STATUS_END + 1] = "";
    for (size_t at = 0; at < STATUS_END;) {
        enum err_code code = wait_for(probe, POLLIN, err);
        if (code != ERR_OK)
            return code;
        ssize_t n = recv(probe->fd, line + at, STATUS_END - at, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "%s", strerror(errno));
        if (n == 0)
            return err_set(err, ERR_IO, "the connection was closed without an answer");
        at += (size_t)n;
    }
    if (strncmp(line, "HTTP/1.", 7) != 0)
        return err_set(err, ERR_FORMAT, "the answer is not HTTP");
    if (strcmp(line + STATUS_AT, "200") != 0)
        return err_set(err, ERR_BUSY, "not ready: status %s", line + STATUS_AT);
    return ERR_OK;
}

static enum err_code
probe_address(const struct addrinfo *address, const char *host, struct err *err)
{
    struct probe probe = {
        .fd = -1,
        .deadline = clock_now() + TIMEOUT_MILLISECONDS * UINT64_C(1000000),
    };
    enum err_code code = connect_to(&probe, address, err);
    if (code == ERR_OK)
        code = ask(&probe, host, err);
    if (code == ERR_OK)
        code = read_status(&probe, err);
    if (probe.fd >= 0)
        (void)close(probe.fd);
    return code;
}

/* Whom to ask. A server that listens on every address is asked on this machine's own,
 * which getaddrinfo gives for no host. */
struct target {
    const char *host; /* NULL: this machine */
    int family;       /* of its addresses */
};

static struct target find_target(const char *host)
{
    static const struct target everywhere[] = {
        {"", AF_INET},
        {"0.0.0.0", AF_INET},
        {"::", AF_UNSPEC}, /* IPv4 is served there too */
        {"[::]", AF_UNSPEC},
    };
    for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++) {
        if (strcmp(host, everywhere[i].host) == 0)
            return (struct target){NULL, everywhere[i].family};
    }
    return (struct target){host, AF_UNSPEC};
}

/* Every address of the target in turn, until one is ready. */
static enum err_code
probe_target(const struct target *target, const char *port, struct err *err)
{
    struct addrinfo hints = {.ai_family = target->family,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    const char *host = target->host == NULL ? "localhost" : target->host;
    char header[300];
    int problem = getaddrinfo(target->host, port, &hints, &addresses);
    if (problem != 0)
        return err_set(err, ERR_NOT_FOUND, "%s", gai_strerror(problem));
    (void)snprintf(header, sizeof(header),
                   strchr(host, ':') != NULL ? "[%.250s]:%s" : "%.250s:%s", host, port);
    enum err_code code = ERR_NOT_FOUND;
    for (struct addrinfo *at = addresses; code != ERR_OK && at != NULL; at = at->ai_next)
        code = probe_address(at, header, err);
    freeaddrinfo(addresses);
    return code;
}

int healthcheck_run(const struct options *options)
{
    char port[24];
    struct err err;
    struct target target = find_target(options->host);
    (void)snprintf(port, sizeof(port), "%" PRIu64, options->admin_port);
    if (probe_target(&target, port, &err) == ERR_OK)
        return 0;
    (void)fprintf(stderr, "%s port %s: %s\n", options->host, port, err.message);
    return 1;
}
