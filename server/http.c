#include "server/http.h"

#include "server/client_watch.h"
#include "server/http_deadlines.h"
#include "server/http_exchange.h"
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
    SPARE_SECONDS = 5, /* until the library cuts whom the deadlines have missed */
    NANOSECONDS = 1000000000,
    CONNECTION_MEMORY = 32 * 1024, /* request line and headers; beyond: 414 or 431 */
    /* The parser of JSON goes as deep as a body nests, 2048 levels at most; a sanitizer
     * takes another megabyte. */
    STACK_BYTES = 2 * 1024 * 1024
};

struct daemon {
    struct http_listener listener;
    struct MHD_Daemon *mhd;
    uint16_t bound;
};

struct http {
    struct http_shared shared;
    struct daemon service, admin;
    MHD_socket refused; /* the service's socket after http_refuse */
};

/* The first line of a request is there. What is returned becomes its context. */
static void *
begin_request(void *context, const char *target, struct MHD_Connection *connection)
{
    return http_exchange_create(context, connection, target);
}

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
    struct http_exchange *exchange = *request;
    (void)context;
    (void)connection;
    if (exchange == NULL)
        return MHD_NO;
    if (exchange->state == EXCHANGE_HEAD) {
        struct http_head head = {.method = method, .path = url, .version = version};
        return http_exchange_begin(exchange, &head);
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
    if (*request == NULL)
        return;
    http_exchange_end(*request, code);
    http_exchange_destroy(*request);
    *request = NULL;
}

/* Called before a socket is used, and before it is closed. */
static void changed(void *context,
                    struct MHD_Connection *connection,
                    void **deadline,
                    enum MHD_ConnectionNotificationCode code)
{
    const struct http_listener *listener = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *deadline = http_deadlines_add(listener->deadlines, info->connect_fd);
        return;
    }
    http_deadlines_remove(listener->deadlines, *deadline);
    *deadline = NULL;
}

static void client_gone(void *context, void *images)
{
    (void)context;
    http_images_abandon(images);
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

static uint64_t longest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static struct MHD_Daemon *start_daemon(struct http_listener *listener,
                                       const struct sockaddr *address,
                                       unsigned connections)
{
    const struct http_setting *setting = &listener->shared->setting;
    /* "::" is for IPv4 too; no other address is of both. */
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ERROR_LOG |
                     (address->sa_family == AF_INET6 ? MHD_USE_DUAL_STACK : 0u);
    uint64_t silence = longest(longest(setting->header_timeout, setting->body_timeout),
                               longest(setting->response_timeout, IDLE_SECONDS)) +
                       SPARE_SECONDS;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, handle, listener, MHD_OPTION_EXTERNAL_LOGGER, log_library,
        NULL, MHD_OPTION_SOCK_ADDR, address, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)silence,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_URI_LOG_CALLBACK,
        begin_request, listener, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, changed, listener, MHD_OPTION_END);
}

static enum err_code
open_socket(struct daemon *daemon, uint16_t number, unsigned connections, struct err *err)
{
    const struct http_setting *setting = &daemon->listener.shared->setting;
    char service[8];
    struct addrinfo *addresses,
        hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    (void)snprintf(service, sizeof(service), "%u", number);
    int status = getaddrinfo(setting->host, service, &hints, &addresses);
    if (status != 0)
        return err_set(err, ERR_INVALID, "--host %s: %s", setting->host,
                       gai_strerror(status));
    daemon->mhd = start_daemon(&daemon->listener, addresses->ai_addr, connections);
    freeaddrinfo(addresses);
    if (daemon->mhd == NULL)
        return err_set(err, ERR_IO, "cannot listen on %s port %u: is it in use?",
                       setting->host, number);
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(daemon->mhd, MHD_DAEMON_INFO_BIND_PORT);
    daemon->bound = info == NULL ? number : info->port;
    return ERR_OK;
}

static enum err_code listen_on(struct daemon *daemon,
                               struct http_shared *shared,
                               enum route_port port,
                               struct err *err)
{
    const struct http_setting *setting = &shared->setting;
    bool is_service = port == ROUTE_SERVICE;
    unsigned connections =
        is_service ? setting->connections : (unsigned)ADMIN_CONNECTIONS;
    struct http_deadlines_setting deadlines = {
        .limits = {[HTTP_PHASE_IDLE] = (uint64_t)IDLE_SECONDS * NANOSECONDS,
                   [HTTP_PHASE_HEADER] = setting->header_timeout * NANOSECONDS,
                   [HTTP_PHASE_BODY] = setting->body_timeout * NANOSECONDS,
                   [HTTP_PHASE_RESPONSE] = setting->response_timeout * NANOSECONDS},
        .connections = connections,
        .metrics = setting->metrics};
    daemon->listener.shared = shared;
    daemon->listener.port = port;
    enum err_code code =
        http_deadlines_create(&daemon->listener.deadlines, &deadlines, err);
    return code != ERR_OK
               ? code
               : open_socket(daemon, is_service ? setting->port : setting->admin_port,
                             connections, err);
}

enum err_code
http_create(struct http **out, const struct http_setting *setting, struct err *err)
{
    struct http *http = calloc(1, sizeof(*http));
    struct client_watch_setting watch = {.allow_half_close = setting->allow_half_close,
                                         .gone = client_gone};
    if (http == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the http server");
    http->shared.setting = *setting;
    http->refused = MHD_INVALID_SOCKET;
    atomic_init(&http->shared.stage, HTTP_SERVING);
    atomic_init(&http->shared.uploads, 0);
    pending_init(&http->shared.unanswered);
    enum err_code code = client_watch_create(&http->shared.watch, &watch, err);
    if (code == ERR_OK)
        code = listen_on(&http->admin, &http->shared, ROUTE_OPERATOR, err);
    if (code == ERR_OK)
        code = listen_on(&http->service, &http->shared, ROUTE_SERVICE, err);
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
    atomic_store(&http->shared.stage, HTTP_DRAINING);
}

void http_refuse(struct http *http)
{
    atomic_store(&http->shared.stage, HTTP_REFUSING);
    /* libmicrohttpd's thread may still look at the socket, so it is shut down now, which
     * refuses new connections, and closed when that thread has ended. */
    http->refused = MHD_quiesce_daemon(http->service.mhd);
    if (http->refused != MHD_INVALID_SOCKET)
        (void)shutdown(http->refused, SHUT_RDWR);
}

bool http_wait_answered(struct http *http, uint64_t milliseconds)
{
    return pending_wait(&http->shared.unanswered, milliseconds);
}

static void stop_daemon(struct daemon *daemon)
{
    if (daemon->mhd != NULL)
        MHD_stop_daemon(daemon->mhd);
    http_deadlines_destroy(daemon->listener.deadlines);
}

void http_destroy(struct http *http)
{
    if (http == NULL)
        return;
    stop_daemon(&http->service);
    stop_daemon(&http->admin);
    client_watch_destroy(http->shared.watch);
    if (http->refused != MHD_INVALID_SOCKET)
        (void)close(http->refused);
    pending_finish(&http->shared.unanswered);
    free(http);
}
