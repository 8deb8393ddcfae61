#include "server/http.h"

#include "server/http_exchange.h"
#include "server/http_report.h"
#include "server/log.h"

#include <microhttpd.h>

#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ADMIN_CONNECTIONS = 64,
    IDLE_SECONDS = 15,
    CONNECTION_MEMORY = 32 * 1024, /* request line and headers; beyond: 414 or 431 */
    /* The parser of JSON goes as deep as a body nests, 2048 levels at most; a sanitizer
     * takes another megabyte. */
    STACK_BYTES = 2 * 1024 * 1024
};

struct listener {
    struct http *http;
    enum route_port port;
    struct MHD_Daemon *daemon;
    uint16_t bound;
};

struct http {
    struct http_shared shared;
    struct listener service, admin;
    MHD_socket refused; /* the service's socket after http_refuse */
};

/* NOLINTNEXTLINE(readability-function-size): the signature is the library's. */
static enum MHD_Result handle(void *context,
                              struct MHD_Connection *connection,
                              const char *url,
                              const char *method,
                              const char *version,
                              const char *data,
                              size_t *length,
                              void **request)
{
    const struct listener *listener = context;
    struct http_exchange *exchange = *request;
    (void)version;
    if (exchange == NULL) {
        exchange = http_exchange_create(&listener->http->shared, connection,
                                        listener->port, method);
        *request = exchange;
        return exchange == NULL ? MHD_NO : http_exchange_begin(exchange, url);
    }
    if (*length > 0)
        return http_exchange_body(exchange, data, length);
    return http_exchange_proceed(exchange);
}

static void completed(void *context,
                      struct MHD_Connection *connection,
                      void **request,
                      enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    if (*request == NULL)
        return;
    http_report(*request);
    http_exchange_destroy(*request);
    *request = NULL;
}

static void log_library(void *context, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void log_library(void *context, const char *format, va_list ap)
{
    char message[512];
    (void)context;
    (void)vsnprintf(message, sizeof(message), format, ap);
    message[strcspn(message, "\n")] = '\0';
    log_message("warning", "http", message);
}

static struct MHD_Daemon *start_daemon(struct listener *listener,
                                       const struct sockaddr *address,
                                       unsigned connections)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ERROR_LOG |
                     (address->sa_family == AF_INET6 ? MHD_USE_IPv6 : 0u);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, handle, listener, MHD_OPTION_EXTERNAL_LOGGER, log_library,
        NULL, MHD_OPTION_SOCK_ADDR, address, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
}

static enum err_code listen_on(struct listener *listener,
                               struct http *http,
                               enum route_port port,
                               uint16_t number,
                               struct err *err)
{
    const struct http_setting *setting = &http->shared.setting;
    char service[8];
    struct addrinfo *addresses,
        hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    listener->http = http;
    listener->port = port;
    (void)snprintf(service, sizeof(service), "%u", number);
    int status = getaddrinfo(setting->host, service, &hints, &addresses);
    if (status != 0)
        return err_set(err, ERR_INVALID, "--host %s: %s", setting->host,
                       gai_strerror(status));
    unsigned connections =
        port == ROUTE_SERVICE ? setting->connections : (unsigned)ADMIN_CONNECTIONS;
    listener->daemon = start_daemon(listener, addresses->ai_addr, connections);
    freeaddrinfo(addresses);
    if (listener->daemon == NULL)
        return err_set(err, ERR_IO, "cannot listen on %s port %u: is it in use?",
                       setting->host, number);
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_BIND_PORT);
    listener->bound = info == NULL ? number : info->port;
    return ERR_OK;
}

enum err_code
http_create(struct http **out, const struct http_setting *setting, struct err *err)
{
    struct http *http = calloc(1, sizeof(*http));
    if (http == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the http server");
    http->shared.setting = *setting;
    http->refused = MHD_INVALID_SOCKET;
    atomic_init(&http->shared.phase, HTTP_SERVING);
    pending_init(&http->shared.unanswered);
    enum err_code code =
        listen_on(&http->admin, http, ROUTE_OPERATOR, setting->admin_port, err);
    if (code == ERR_OK)
        code = listen_on(&http->service, http, ROUTE_SERVICE, setting->port, err);
    if (code != ERR_OK) {
        http_destroy(http);
        return code;
    }
    *out = http;
    return ERR_OK;
}

uint16_t http_port(const struct http *http, enum route_port port)
{
    return port == ROUTE_SERVICE ? http->service.bound : http->admin.bound;
}

void http_start_draining(struct http *http)
{
    atomic_store(&http->shared.phase, HTTP_DRAINING);
}

void http_refuse(struct http *http)
{
    atomic_store(&http->shared.phase, HTTP_REFUSING);
    /* libmicrohttpd's thread may still look at the socket, so it is shut down now, which
     * refuses new connections, and closed when that thread has ended. */
    http->refused = MHD_quiesce_daemon(http->service.daemon);
    if (http->refused != MHD_INVALID_SOCKET)
        (void)shutdown(http->refused, SHUT_RDWR);
}

bool http_wait_answered(struct http *http, uint64_t milliseconds)
{
    return pending_wait(&http->shared.unanswered, milliseconds);
}

void http_destroy(struct http *http)
{
    if (http == NULL)
        return;
    if (http->service.daemon != NULL)
        MHD_stop_daemon(http->service.daemon);
    if (http->admin.daemon != NULL)
        MHD_stop_daemon(http->admin.daemon);
    if (http->refused != MHD_INVALID_SOCKET)
        (void)close(http->refused);
    pending_finish(&http->shared.unanswered);
    free(http);
}
