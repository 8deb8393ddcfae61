/* Units work in exactly the scratch that they are said to need, and less of it ends the
 * process instead of being written beyond. */
#include "model/compute.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TOKENS = 5, HEAD_SIZE = 8, SIDE = 4, CHANNELS = 3 };

static const struct kernels kernels = {"scalar", product_scalar, &elementwise_scalar};

static void attend(const struct compute *compute)
{
    struct draw draw = {1};
    float *values = draw_floats(&draw, TOKENS * HEAD_SIZE), out[TOKENS * HEAD_SIZE];
    const struct attention attention = {.queries = TOKENS,
                                        .keys = TOKENS,
                                        .heads = 1,
                                        .key_heads = 1,
                                        .head_size = HEAD_SIZE,
                                        .q = values,
                                        .k = values,
                                        .v = values,
                                        .q_stride = HEAD_SIZE,
                                        .k_stride = HEAD_SIZE,
                                        .v_stride = HEAD_SIZE,
                                        .out = out,
                                        .out_stride = HEAD_SIZE};
    const struct compute_attention work = {&attention, 1, NULL, NULL};
    compute_attention(compute, &work);
    free(values);
}

static void convolve(const struct compute *compute)
{
    struct draw draw = {2};
    const size_t packed = convolution_packed_size(CHANNELS, CHANNELS, false);
    float *in = draw_floats(&draw, SIDE * SIDE * CHANNELS),
          *panels = draw_floats(&draw, packed), *bias = draw_floats(&draw, CHANNELS),
          out[SIDE * SIDE * CHANNELS];
    const struct convolution convolution = {.height = SIDE,
                                            .width = SIDE,
                                            .in_channels = CHANNELS,
                                            .out_channels = CHANNELS,
                                            .in = in,
                                            .panels = panels,
                                            .bias = bias,
                                            .out = out};
    compute_convolution(compute, &convolution);
    free(in);
    free(panels);
    free(bias);
}

/* The signal that the work ends a process with when a leader has so much scratch; 0 when
 * it does not. */
static int signal_of(void (*work)(const struct compute *compute), size_t scratch_bytes)
{
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct arena scratch;
        struct err err;
        CHECK_OK(arena_init(&scratch, scratch_bytes, &err), err);
        scratch.size = scratch_bytes; /* without what it was rounded up by */
        const struct run run = {.scratch = &scratch};
        const struct compute compute = {&kernels, &run};
        (void)close(STDERR_FILENO);
        work(&compute);
        CHECK(arena_mark(&scratch) == 0);
        arena_finish(&scratch);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        return WTERMSIG(status);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

int main(void)
{
    const struct compute_sizes attention = {.keys = TOKENS, .head_size = HEAD_SIZE},
                               convolution = {.channels = CHANNELS};
    CHECK(signal_of(attend, compute_scratch(&attention)) == 0);
    CHECK(signal_of(attend, compute_scratch(&attention) - 1) == SIGABRT);
    CHECK(signal_of(convolve, compute_scratch(&convolution)) == 0);
    CHECK(signal_of(convolve, compute_scratch(&convolution) - 1) == SIGABRT);
    return 0;
}
