#include "api/answer_event.h"

void answer_event_begin(const char *name, struct buf *out)
{
    (void)buf_print(out, "event: %s\ndata: ", name);
}

void answer_event_end(struct buf *out)
{
    (void)buf_append(out, "\n\n", 2);
}

void answer_event_queued(size_t position, uint64_t eta_milliseconds, struct buf *out)
{
    answer_event_begin("queued", out);
    (void)buf_print(out, "{\"position\":%zu,\"eta_ms\":%llu}", position,
                    (unsigned long long)eta_milliseconds);
    answer_event_end(out);
}

void answer_event_step(unsigned index, unsigned step, unsigned steps, struct buf *out)
{
    answer_event_begin("step", out);
    (void)buf_print(out, "{\"index\":%u,\"step\":%u,\"steps\":%u}", index, step, steps);
    answer_event_end(out);
}

void answer_event_preview(const struct answer_image *image,
                          unsigned step,
                          unsigned steps,
                          struct buf *out)
{
    answer_event_begin("preview", out);
    (void)buf_print(out, "{\"index\":%u,\"step\":%u,\"steps\":%u,", image->index, step,
                    steps);
    answer_json_file(image, out);
    (void)buf_append(out, "}", 1);
    answer_event_end(out);
}

void answer_event_image(const struct answer *answer, struct buf *out)
{
    answer_event_begin("image", out);
    answer_json_write(answer, out);
    answer_event_end(out);
}

void answer_event_error(const struct problem *problem,
                        const char *request_id,
                        struct buf *out)
{
    answer_event_begin("error", out);
    problem_write(problem, request_id, out); /* ends with a newline */
    (void)buf_append(out, "\n", 1);
}

void answer_event_heartbeat(struct buf *out)
{
    (void)buf_print(out, ":\n\n");
}
