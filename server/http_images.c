#include "server/http_images.h"

#include "api/answer_event.h"
#include "base/clock.h"
#include "server/http_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAM_BLOCK = 16 * 1024,
    STREAM_PATIENCE = 256 * 1024, /* unread bytes beyond which steps are left out */
    STREAM_MAX = 512 * 1024 * 1024
};

/* Proxies close what is silent for some tens of seconds. */
static const uint64_t heartbeat = UINT64_C(10) * 1000000000;

/* The functions below that say "locked" are called with the lock. */

/* Locked, by the http thread. */
static void suspend(struct http_images *images)
{
    const struct http_exchange *exchange = images->exchange;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(images->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int client = info->connect_fd;
    images->is_suspended = true;
    http_deadlines_enter(exchange->listener->deadlines,
                         http_exchange_deadline(images->connection), HTTP_PHASE_WAITING);
    MHD_suspend_connection(images->connection);
    client_watch_add(images->shared->watch, &images->client, client, images);
}

/* Locked, by any thread. */
static void wake(struct http_images *images)
{
    if (!images->is_suspended)
        return;
    images->is_suspended = false;
    client_watch_remove(images->shared->watch, &images->client);
    MHD_resume_connection(images->connection);
}

/* Locked: an answer can be made. */
static void wake_to_answer(struct http_images *images)
{
    if (images->exchange == NULL || !images->is_suspended)
        return; /* the http thread has it, and will look for itself */
    if (!images->is_streaming)
        images->exchange->state = EXCHANGE_FINISHED;
    wake(images);
}

void http_images_abandon(struct http_images *images)
{
    for (size_t i = 0; i < images->n; i++)
        engine_abandon(images->shared->setting.engine, images->jobs[i]);
}

static void drop(struct http_images *images)
{
    for (size_t i = 0; i < images->n; i++)
        engine_drop(images->shared->setting.engine, images->jobs[i]);
}

static size_t index_of(const struct http_images *images, const struct job *job)
{
    size_t i = 0;
    while (images->jobs[i] != job)
        i++;
    return i;
}

/* Locked. Steps, previews and heartbeats are left out when the client is slow to read;
 * one that is larger than what it may be behind goes to a client that is not behind at
 * all. */
static void tell(struct http_images *images, struct buf *event, bool is_optional)
{
    size_t unread = images->text.length - images->sent;
    bool fits = !is_optional || unread == 0 || unread + event->length <= STREAM_PATIENCE;
    bool is_told = event->length > 0 && !event->failed && fits &&
                   buf_append(&images->text, event->data, event->length);
    images->lost_event |= !is_told && !is_optional;
    if (is_told) {
        images->told = clock_now();
        if (images->is_streaming)
            wake(images);
    }
    buf_finish(event);
}

/* Locked. */
static void tell_progress(struct http_images *images, size_t index, enum job_event event)
{
    struct buf text;
    buf_init(&text, STREAM_MAX);
    switch (event) {
    case JOB_ADMITTED:
        images->events->queued(images, index, &text);
        break;
    case JOB_STEPPED:
        images->events->stepped(images, index, &text);
        break;
    case JOB_PREVIEWED:
        images->events->previewed(images, index, &text);
        break;
    case JOB_TICK:
        if (clock_now() - images->told >= heartbeat)
            answer_event_heartbeat(&text);
        break;
    }
    tell(images, &text, true);
}

/* By the engine's thread. */
static void job_progress(struct job *job, enum job_event event, void *context)
{
    struct http_images *images = context;
    (void)pthread_mutex_lock(&images->lock);
    tell_progress(images, index_of(images, job), event);
    /* When all are let in, no refusal can come any more that should have a status. */
    images->admitted += event == JOB_ADMITTED;
    if (event == JOB_ADMITTED && images->admitted == images->n)
        wake_to_answer(images);
    (void)pthread_mutex_unlock(&images->lock);
}

static void destroy(struct http_images *images)
{
    for (size_t i = 0; i < images->n; i++)
        job_destroy(images->jobs[i]);
    buf_finish(&images->text);
    (void)pthread_mutex_destroy(&images->lock);
    free(images);
}

/* Locked. */
static void tell_end(struct http_images *images, const struct job *job)
{
    struct buf text;
    buf_init(&text, STREAM_MAX);
    if (job->state == JOB_DONE)
        images->events->finished(images, index_of(images, job), &text);
    else if (job == images->failed)
        images->events->failed(images, index_of(images, job), &text);
    else
        return; /* another one has failed, and that is told once */
    tell(images, &text, false);
}

/* By the engine's thread. */
static void job_done(struct job *job, void *context)
{
    struct http_images *images = context;
    (void)pthread_mutex_lock(&images->lock);
    images->unfinished--;
    if (job->state != JOB_DONE && images->failed == NULL) {
        images->failed = job;
        if (job->problem.kind == PROBLEM_CLIENT_GONE)
            http_images_abandon(images);
        else
            drop(images); /* the others: an answer has all or none */
    }
    if (images->events != NULL)
        tell_end(images, job);
    bool is_last = images->unfinished == 0, is_orphan = images->exchange == NULL;
    if (is_last)
        wake_to_answer(images);
    (void)pthread_mutex_unlock(&images->lock);
    if (is_last && is_orphan)
        destroy(images);
}

/* The index-th image's request: its seed, and one image. */
static bool
copy_request(struct request *out, const struct request *request, unsigned index)
{
    *out = *request;
    out->prompt = strdup(request->prompt);
    out->negative_prompt = strdup(request->negative_prompt);
    out->sampling.seed += index;
    out->n = 1;
    if (out->prompt != NULL && out->negative_prompt != NULL)
        return true;
    request_finish(out);
    return false;
}

static enum err_code make_job(struct http_images *images,
                              const struct request *request,
                              const char *tag,
                              struct err *err)
{
    struct request own;
    struct job *job;
    if (!copy_request(&own, request, (unsigned)images->n))
        return err_set(err, ERR_NO_MEMORY, "no memory for a request");
    enum err_code code = job_create(&job, &own, images->exchange->model, err);
    if (code != ERR_OK) {
        request_finish(&own);
        return code;
    }
    (void)snprintf(job->tag, sizeof(job->tag), "%s", tag);
    job->done = job_done;
    job->progress = images->events == NULL ? NULL : job_progress;
    job->context = images;
    images->jobs[images->n++] = job;
    job->first = images->jobs[0];
    job->first->images = (unsigned)images->n;
    return ERR_OK;
}

static enum err_code make_images(struct http_images **out,
                                 struct http_exchange *exchange,
                                 const struct request *request,
                                 const char *tag,
                                 const struct http_events *events,
                                 struct err *err)
{
    struct http_images *images = calloc(1, sizeof(*images));
    if (images == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a request");
    (void)pthread_mutex_init(&images->lock, NULL);
    images->exchange = exchange;
    images->shared = exchange->shared;
    images->connection = exchange->connection;
    images->events = events;
    (void)snprintf(images->request_id, sizeof(images->request_id), "%s",
                   exchange->request_id);
    buf_init(&images->text, STREAM_MAX);
    enum err_code code = ERR_OK;
    for (unsigned i = 0; code == ERR_OK && i < request->n; i++)
        code = make_job(images, request, tag, err);
    if (code != ERR_OK) {
        destroy(images);
        return code;
    }
    images->unfinished = images->n;
    *out = images;
    return ERR_OK;
}

/* The connection is suspended, then watched, then the jobs handed over: workers may be
 * done before this function returns. */
static void hand_over(struct http_exchange *exchange)
{
    struct http_images *images = exchange->images;
    struct err err;
    exchange->state = EXCHANGE_WAITING;
    exchange->is_pending = pending_add(&exchange->shared->unanswered, SIZE_MAX);
    (void)pthread_mutex_lock(&images->lock);
    suspend(images);
    (void)pthread_mutex_unlock(&images->lock);
    if (engine_submit(images->shared->setting.engine, images->jobs, images->n, &err) ==
        ERR_OK)
        return;

    (void)problem_set(&exchange->problem, PROBLEM_UNAVAILABLE, NULL, "%s", err.message);
    exchange->problem.retry_after = 1.0;
    (void)pthread_mutex_lock(&images->lock);
    images->unfinished = 0;
    images->events = NULL;
    wake_to_answer(images);
    (void)pthread_mutex_unlock(&images->lock);
}

static bool
refuse(struct http_exchange *exchange, struct request *request, const struct err *err)
{
    request_finish(request);
    return problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL, "%s", err->message);
}

bool http_images_start(struct http_exchange *exchange,
                       struct request *request,
                       const char *tag,
                       const struct http_events *events)
{
    struct err err;
    if (make_images(&exchange->images, exchange, request, tag, events, &err) != ERR_OK)
        return refuse(exchange, request, &err);
    request_finish(request);
    hand_over(exchange);
    return true;
}

bool http_images_estimate(struct http_exchange *exchange, struct request *request)
{
    struct err err;
    unsigned n = request->n;
    request->n = 1; /* one job asks for all */
    if (make_images(&exchange->images, exchange, request, "", NULL, &err) != ERR_OK)
        return refuse(exchange, request, &err);
    request_finish(request);
    exchange->images->jobs[0]->images = n;
    exchange->images->jobs[0]->is_estimate = true;
    hand_over(exchange);
    return true;
}

struct answer http_images_answer_one(const struct http_images *images,
                                     size_t index,
                                     struct answer_image *file)
{
    /* Seeds are counted from the first image's request. */
    const struct job *first = images->jobs[0], *job = images->jobs[index];
    const struct bundle_info *info = bundle_info(first->model->round.bundle);
    *file = (struct answer_image){job->png.data, job->png.length, (unsigned)index};
    return (struct answer){
        .request_id = images->request_id,
        .model_name = info->name,
        .model_digest = info->digest,
        .request = &first->request,
        .facts = &job->facts,
        .images = file,
        .image_count = 1,
    };
}

struct answer http_images_answer(const struct http_images *images,
                                 struct answer_image files[REQUEST_MAX_IMAGES])
{
    struct answer answer = {0};
    for (size_t i = images->n; i-- > 0;)
        answer = http_images_answer_one(images, i, &files[i]);
    answer.image_count = images->n;
    return answer;
}

bool http_images_has_stream(struct http_images *images)
{
    (void)pthread_mutex_lock(&images->lock);
    bool has = images->events != NULL && images->admitted == images->n;
    (void)pthread_mutex_unlock(&images->lock);
    return has;
}

/* What is there must be read within the time that an answer has, what comes meanwhile
 * within the same time again: a steady reader may be behind for as long as it likes. */
static void start_clock(struct http_images *images)
{
    struct http_deadlines *deadlines = images->exchange->listener->deadlines;
    struct http_deadline *deadline = http_exchange_deadline(images->connection);
    if (images->sent >= images->due) {
        http_deadlines_enter(deadlines, deadline, HTTP_PHASE_WAITING);
        images->due = images->text.length;
    }
    http_deadlines_enter(deadlines, deadline, HTTP_PHASE_RESPONSE);
}

/* The stream's next bytes. Nothing there: the connection sleeps until there is. */
static ssize_t read_stream(void *context, uint64_t position, char *out, size_t most)
{
    struct http_images *images = context;
    ssize_t result;
    (void)position;
    (void)pthread_mutex_lock(&images->lock);
    size_t n = images->text.length - images->sent;
    start_clock(images);
    if (n > 0) {
        n = n < most ? n : most;
        memcpy(out, images->text.data + images->sent, n);
        images->sent += n;
        images->exchange->answer_bytes += n;
        result = (ssize_t)n;
        if (images->sent == images->text.length) {
            buf_finish(&images->text);
            images->sent = images->due = 0;
        }
    } else if (images->unfinished == 0) {
        result = images->lost_event ? MHD_CONTENT_READER_END_WITH_ERROR
                                    : MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        suspend(images);
        result = 0;
    }
    (void)pthread_mutex_unlock(&images->lock);
    return result;
}

struct MHD_Response *http_images_stream(struct http_images *images)
{
    (void)pthread_mutex_lock(&images->lock);
    images->is_streaming = true;
    (void)pthread_mutex_unlock(&images->lock);
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream,
                                             images, NULL);
}

bool http_images_are_over(struct http_images *images)
{
    (void)pthread_mutex_lock(&images->lock);
    bool are_over = images->unfinished == 0;
    (void)pthread_mutex_unlock(&images->lock);
    return are_over;
}

bool http_images_have_lost(struct http_images *images)
{
    if (images == NULL)
        return false;
    (void)pthread_mutex_lock(&images->lock);
    bool have_lost = images->lost_event;
    (void)pthread_mutex_unlock(&images->lock);
    return have_lost;
}

unsigned http_images_evaluations(const struct http_images *images)
{
    unsigned evaluations = 0;
    for (size_t i = 0; i < images->n; i++)
        evaluations += images->jobs[i]->is_copy ? 0 : images->jobs[i]->facts.evaluations;
    return evaluations;
}

void http_images_leave(struct http_images *images)
{
    if (images == NULL)
        return;
    (void)pthread_mutex_lock(&images->lock);
    images->exchange = NULL;
    bool is_busy = images->unfinished > 0;
    if (is_busy) /* with the lock: the last job's end frees them */
        http_images_abandon(images);
    (void)pthread_mutex_unlock(&images->lock);
    if (!is_busy)
        destroy(images);
}
