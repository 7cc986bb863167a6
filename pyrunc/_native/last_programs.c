/* last_programs.c: hooks of the container's namespaces, and the container's own program. */
#include "last_stage.h"

#include <sys/wait.h>
#include <time.h>

enum { HOOK_OUTPUT = 1024, BUSY_TRIES = 20 };

/* Takes count strings from *text into the next free list, which ends with NULL. */
static char **next_list(struct stage *stage, const char **text, uint32_t count)
{
    char **list = stage->lists;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = (char *)*text;
        *text += strlen(*text) + 1;
    }
    list[count] = NULL;
    stage->lists += count + 1;
    return list;
}

void run_hook(struct stage *stage, const op_t *op)
{
    static char output[HOOK_OUTPUT];
    const struct packed_hook *hook = (const void *)(stage->blob + op->data);
    const char *path = (const char *)(hook + 1), *at = path + strlen(path) + 1;
    char **argv = next_list(stage, &at, hook->argc), **envp = next_list(stage, &at, hook->envc);
    int status;
    if (pr_run(path, argv, envp, -1, (int)op->b, (int)op->c, at, hook->input_len, (int)hook->timeout_ms, 0, &status,
               output, sizeof output) < 0)
        status = -1;
    if (status == 0)
        return;
    int cause = status == -1 ? errno : 0;
    struct line text = begin_text(stage);
    say(&text, "error running startContainer hook #");      /* as steps/hooks.py has it for those of the runtime */
    say_number(&text, (uint64_t)op->a, 10);
    say(&text, ": ");
    say(&text, path);
    if (status == -1)
        give_up(stage, cause, &text, "");
    if (status == -2) {
        say(&text, ": hook ran past its timeout");
    } else {
        say(&text, WIFEXITED(status) ? ": exit status " : ": killed by signal ");
        say_number(&text, (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status)), 10);
    }
    say(&text, ", stdout: ");
    say(&text, output);
    give_up(stage, 0, &text, "");
}

void look_up(struct stage *stage, const op_t *op)
{
    const char *name = stage->blob + op->data;
    static char hint_buffer[PATH_MAX + 64];
    struct line text = begin_text(stage), hint = line_in(hint_buffer, sizeof hint_buffer);
    if (find_executable(name, name + strlen(name) + 1, stage->found, &text, &hint) == 0)
        return;
    give_up(stage, errno, &text, hint_buffer);
}

void execute(struct stage *stage, const op_t *op)
{
    const struct packed_exec *exec = (const void *)(stage->blob + op->data);
    const char *at = (const char *)(exec + 1);
    char **argv = next_list(stage, &at, exec->argc), **envp = next_list(stage, &at, exec->envc);
    const char *file = *stage->found ? stage->found : argv[0];
    const struct timespec moment = { .tv_nsec = 1000000 };
    __atomic_store_n(&stage->page->phase, PHASE_EXEC, __ATOMIC_RELEASE);
    execve(file, argv, envp);
    for (int tries = 0; errno == EINTR || (errno == ETXTBSY && tries < BUSY_TRIES); tries++) {
        nanosleep(&moment, NULL);       /* somebody may just be done with writing it */
        execve(file, argv, envp);
    }
    int cause = errno;
    struct line text = begin_text(stage);
    say(&text, "exec ");
    say(&text, file);
    struct line hint = begin_hint(&text);
    record_failure(stage, cause);
    explain_exec(file, cause, &hint);
    _exit(1);
}
