/* Every allocation of an answer fails once: the client is told so with 500, or has the
 * whole. Only before anything is known of the request, its connection may be closed. */
#include "api/json_memory.h"
#include "server/http.h"
#include "tests/check.h"
#include "tests/lib/fault.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct metrics metrics;

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

/* The status of the one answer on a connection of its own; 0: closed without one. */
static int ask(uint16_t port)
{
    static const char request[] = "GET /sdapi/v1/samplers HTTP/1.1\r\nHost: a\r\n"
                                  "Connection: close\r\n\r\n";
    char answer[4096] = "";
    int fd = connect_to(port), status = 0;
    CHECK(send(fd, request, sizeof(request) - 1, 0) == (ssize_t)sizeof(request) - 1);
    size_t length = 0;
    ssize_t n;
    while ((n = recv(fd, answer + length, sizeof(answer) - 1 - length, 0)) > 0)
        length += (size_t)n;
    (void)close(fd);
    CHECK(length == 0 || sscanf(answer, "HTTP/1.1 %d", &status) == 1);
    return status;
}

/* By a server of its own, whose end waits for what follows an answer, its log line. */
static int ask_with_fault(long n)
{
    static const struct http_setting setting = {.host = "127.0.0.1",
                                                .connections = 8,
                                                .header_timeout = 60,
                                                .body_timeout = 60,
                                                .response_timeout = 60,
                                                .version = "1",
                                                .cors_origin = "",
                                                .public_url = "",
                                                .metrics = &metrics};
    struct http *http;
    struct err err = {0};
    CHECK_OK(http_create(&http, &setting, &err), err);
    fault_after(n);
    int status = ask(http_port(http, ROUTE_SERVICE));
    http_destroy(http);
    return status;
}

int main(void)
{
    long n = 0, closed = 0, failed = 0;
    json_memory_init();
    CHECK(ask_with_fault(-1) == 200);
    for (bool happened = true; happened; n++) {
        int status = ask_with_fault(n);
        happened = fault_happened();
        fault_after(-1);
        CHECK(status == 500 || status == 200 || (status == 0 && failed == 0));
        closed += status == 0;
        failed += status == 500;
    }
    (void)fprintf(stderr, "of %ld: %ld closed, then %ld failed\n", n, closed, failed);
    CHECK(closed == 1 && failed > 6);
    return 0;
}
