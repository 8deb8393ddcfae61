/* Every move of the picture in job.h, and that each other one ends the process. */
#include "server/job.h"
#include "tests/check.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The picture, as a matrix: from (row) and to. */
static const bool allowed[JOB_STATE_COUNT][JOB_STATE_COUNT] = {
    [JOB_QUEUED] = {[JOB_ENCODING] = true,
                    [JOB_DONE] = true,
                    [JOB_FAILED] = true,
                    [JOB_CANCELED] = true},
    [JOB_ENCODING] = {[JOB_STEPPING] = true, [JOB_FAILED] = true, [JOB_CANCELED] = true},
    [JOB_STEPPING] = {[JOB_DECODING] = true, [JOB_FAILED] = true, [JOB_CANCELED] = true},
    [JOB_DECODING] = {[JOB_DONE] = true, [JOB_FAILED] = true, [JOB_CANCELED] = true},
};

static struct job *create(double guidance)
{
    struct job *job = NULL;
    struct err err;
    struct request request = {.prompt = strdup("a cat"),
                              .negative_prompt = strdup(""),
                              .prompt_bytes = 5,
                              .sampling = {.guidance = guidance, .steps = 3}};
    CHECK(request.prompt != NULL && request.negative_prompt != NULL);
    CHECK_OK(job_create(&job, &request, NULL, &err), err);
    CHECK(request.prompt == NULL && request.negative_prompt == NULL);
    return job;
}

static void test_create(void)
{
    struct job *job = create(1.0);
    CHECK(job->state == JOB_QUEUED && job->round == NULL && !job_is_over(job));
    CHECK(strcmp(job->request.prompt, "a cat") == 0 && job->request.sampling.steps == 3);
    CHECK(job->n_contexts == 1 && job->contexts[0] == NULL);
    CHECK(job->png.data == NULL && !job->png.failed && job->png.limit > 1000000);
    job_destroy(job);
    job = create(2.5);
    CHECK(job->n_contexts == 2);
    CHECK(buf_append(&job->png, "png", 3));
    job_destroy(job);
    job_destroy(NULL);
}

static void test_a_life(void)
{
    static const enum job_state states[] = {JOB_ENCODING, JOB_STEPPING, JOB_DECODING,
                                            JOB_DONE};
    struct job *job = create(1.0);
    for (size_t i = 0; i < 4; i++) {
        CHECK(!job_is_over(job));
        job_move(job, states[i]);
        CHECK(job->state == states[i]);
    }
    CHECK(job_is_over(job));
    job_destroy(job);
}

/* The signal that a move ends a process with; 0 when it does not. */
static int signal_of_move(enum job_state from, enum job_state to)
{
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct job job = {.state = from};
        (void)close(STDERR_FILENO);
        job_move(&job, to);
        _exit(job.state == to ? 0 : 3);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        return WTERMSIG(status);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

static void test_all_moves(void)
{
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        for (int to = 0; to < JOB_STATE_COUNT; to++)
            CHECK(signal_of_move((enum job_state)from, (enum job_state)to) ==
                  (allowed[from][to] ? 0 : SIGABRT));
    }
}

static void test_names_and_ends(void)
{
    static const char *const names[JOB_STATE_COUNT] = {
        "queued", "encoding", "stepping", "decoding", "done", "failed", "canceled"};
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        const struct job job = {.state = (enum job_state)state};
        CHECK(strcmp(job_state_name(job.state), names[state]) == 0);
        CHECK(job_is_over(&job) == (state >= JOB_DONE));
    }
}

int main(void)
{
    test_create();
    test_a_life();
    test_all_moves();
    test_names_and_ends();
    return 0;
}
