/* last_programs.c: hooks of the container, and looking up its program. last_tail.c executes that. */
#include "last_stage.h"

#include <sys/wait.h>

enum { HOOK_OUTPUT = 2048 };

/* Bytes that it takes to show a byte: a NUL would end the text. */
static size_t width(char c)
{
    return c ? 1 : 4;
}

/* Where to begin, so that the end of what it has printed takes at most room bytes; *room becomes what it takes. */
static size_t end_begins(const struct pr_printed *printed, size_t *room)
{
    size_t from = printed->used, length = 0;
    while (from > 0 && length + width(printed->data[from - 1]) <= *room)
        length += width(printed->data[--from]);
    while (from > 0 && from < printed->used && (printed->data[from] & 0xC0) == 0x80) {     /* not within a character */
        from++;
        length--;
    }
    *room = length;
    return from;
}

static void say_end(struct line *text, const char *stream, const struct pr_printed *printed, size_t from)
{
    char one[2] = "";
    if (printed->used == 0)
        return;
    say(text, stream);
    if (from > 0 || printed->total > printed->used)
        say(text, "...");
    for (; from < printed->used; from++) {
        one[0] = printed->data[from];
        say(text, *one ? one : "\\x00");
    }
}

/* Whatever comes before: the last that it has said stays. */
static void say_printed(struct line *text, const struct pr_printed *out, const struct pr_printed *err)
{
    static const char names[] = ", stdout: ..., stderr: ...";
    size_t left = (size_t)(text->end - text->at), room = left > sizeof names ? left - sizeof names : 0;
    size_t wanted = room, most = room / 2;
    end_begins(out, &wanted);
    size_t of_err = room - wanted > most ? room - wanted : most;
    size_t err_from = end_begins(err, &of_err), of_out = room - of_err;
    say_end(text, ", stdout: ", out, end_begins(out, &of_out));
    say_end(text, ", stderr: ", err, err_from);
}

void run_hook(struct stage *stage, const op_t *op)
{
    static char kept[2][HOOK_OUTPUT];
    struct pr_printed out = { .data = kept[0], .size = HOOK_OUTPUT }, err = { .data = kept[1], .size = HOOK_OUTPUT };
    const struct packed_hook *hook = (const void *)(stage->blob + op->data);
    const char *path = (const char *)(hook + 1), *at = path + strlen(path) + 1;
    char **argv = next_list(stage, &at, hook->argc), **envp = next_list(stage, &at, hook->envc);
    int status;
    if (pr_run(path, argv, envp, -1, (int)op->b, (int)op->c, at, hook->input_len, (int)hook->timeout_ms, 0, &status,
               &out, &err) < 0)
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
    const char *signal = status > 0 && WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
    if (signal) {
        say(&text, " (SIG");
        say(&text, signal);
        say(&text, ")");
    }
    say_printed(&text, &out, &err);
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
