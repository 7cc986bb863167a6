/* last_check.c: are these operations well-formed? Everything that the last stage takes from the blob is checked
 * here once, before the first effect, so that the stage itself can be straight. No effects, no heap. */
#include "last_stage.h"

#include <linux/filter.h>

enum { OPERATIONS = 1 << 20, LOWEST_SCHED_ATTR = 48, HIGHEST_SCHED_ATTR = 128 };

struct blob {
    const char *bytes;
    size_t len;
};

int op_fd(const op_t *op, int which)
{
    if (op->code == OP_HOOK)
        return (int)(which ? op->c : op->b);
    if (which)
        return -1;
    switch (op->code) {
    case OP_PIVOT_ROOT:
    case OP_MOVE_ROOT:
    case OP_CHROOT:
    case OP_BARRIER:
    case OP_CLONE:
    case OP_CLOSE_FD:
    case OP_WAIT_START:
    case OP_SETNS:
        return (int)op->a;
    default:
        return -1;
    }
}

/* Steps over count strings between *at and end: 0, or -1 when one of them does not end there. */
static int skip_strings(const struct blob *blob, size_t *at, size_t end, uint64_t count)
{
    while (count--) {
        const char *nul = *at < end ? memchr(blob->bytes + *at, 0, end - *at) : NULL;
        if (!nul)
            return -1;
        *at = (size_t)(nul - blob->bytes) + 1;
    }
    return 0;
}

static int is_strings(const op_t *op, const struct blob *blob, uint64_t count)
{
    size_t at = op->data, end = at + op->len;
    return skip_strings(blob, &at, end, count) == 0 && at == end;
}

static int is_exec(const op_t *op, const struct blob *blob, int64_t *pointers)
{
    const struct packed_exec *exec = (const void *)(blob->bytes + op->data);
    size_t at = op->data + sizeof *exec;
    if (op->len < sizeof *exec || exec->argc == 0
        || skip_strings(blob, &at, op->data + op->len, (uint64_t)exec->argc + exec->envc) < 0)
        return 0;
    *pointers += (int64_t)exec->argc + exec->envc + 2;
    return at == op->data + op->len;
}

/* Of a hook: one that can be put in the place of 1 or 2, or none. */
static int is_output(int64_t fd)
{
    return fd == -1 || (fd > 2 && fd <= INT_MAX);
}

static int is_hook(const op_t *op, const struct blob *blob, int64_t *pointers)
{
    const struct packed_hook *hook = (const void *)(blob->bytes + op->data);
    size_t at = op->data + sizeof *hook, end = op->data + op->len;
    if (op->len < sizeof *hook || hook->timeout_ms > INT_MAX
        || skip_strings(blob, &at, end, 1 + (uint64_t)hook->argc + hook->envc) < 0)
        return 0;
    *pointers += (int64_t)hook->argc + hook->envc + 2;
    return hook->input_len == end - at;
}

static int is_verify(const op_t *op, const struct blob *blob)
{
    const struct packed_verify *verify = (const void *)(blob->bytes + op->data);
    return op->len >= sizeof *verify && op->len - sizeof *verify == (uint64_t)verify->group_count * 4
        && verify->group_count <= NGROUPS_MAX;
}

static int is_scheduler(const op_t *op, const struct blob *blob)
{
    uint32_t size;              /* the first member of struct sched_attr */
    if (op->len < LOWEST_SCHED_ATTR || op->len > HIGHEST_SCHED_ATTR)
        return 0;
    memcpy(&size, blob->bytes + op->data, sizeof size);
    return size == op->len;
}

/* The node mask is as long as the highest node says; none at all goes with no node. */
static int is_node_mask(const op_t *op)
{
    return op->b >= 0 && op->b <= 1 << 16 && op->len % 8 == 0 && (uint64_t)op->len * 8 >= (uint64_t)op->b;
}

static const char *fault_of(const op_t *op, const struct blob *blob, int64_t *pointers)
{
    if (op->step > INT32_MAX)
        return "step out of range";
    if (op->data > blob->len || op->len > blob->len - op->data)
        return "data outside of the blob";
    if (op->len && op->data % 8)
        return "data not aligned";
    switch (op->code) {
    case OP_PIVOT_ROOT:
    case OP_MOVE_ROOT:
    case OP_CHROOT:
    case OP_BARRIER:
    case OP_CLOSE_FD:
    case OP_WAIT_START:
    case OP_SETNS:
    case OP_CLOSE_FROM:
        return op->a < 0 || op->a > INT_MAX ? "not a descriptor" : NULL;
    case OP_CLONE:
        if (op->len && op->len != 2 * sizeof(uint64_t))
            return "not a limit";
        return op->a < 0 || op->a > INT_MAX ? "not a descriptor" : NULL;
    case OP_SETUID:
    case OP_SETGID:
    case OP_CHOWN_STDIO:
        return op->a < 0 || op->a >= UINT32_MAX ? "not an id" : NULL;     /* -1 would leave the id as it is */
    case OP_SETGROUPS:
        return op->len % 4 || op->len / 4 > NGROUPS_MAX ? "not a list of groups" : NULL;
    case OP_SECCOMP:
        if (op->len % sizeof(struct sock_filter) || !op->len || op->len / sizeof(struct sock_filter) > BPF_MAXINSNS)
            return "not a filter";
        return op->b < 0 || op->b > 2 || (op->b == 2 && (op->c < 0 || op->c > INT_MAX)) ? "not a descriptor" : NULL;
    case OP_SCHEDULER:
        return is_scheduler(op, blob) ? NULL : "not a struct sched_attr";
    case OP_MEMPOLICY:
        return is_node_mask(op) ? NULL : "not a node mask";
    case OP_CHDIR:
        return is_strings(op, blob, 1) ? NULL : "not a string";
    case OP_FIND_EXECUTABLE:
        return is_strings(op, blob, 2) ? NULL : "not two strings";
    case OP_VERIFY:
        return is_verify(op, blob) ? NULL : "not a struct packed_verify";
    case OP_HOOK:
        if (!is_output(op->b) || !is_output(op->c))
            return "not a descriptor";
        return op->a >= 0 && is_hook(op, blob, pointers) ? NULL : "not a packed hook";
    case OP_EXEC:
        return is_exec(op, blob, pointers) ? NULL : "not packed arguments";
    case OP_PROPAGATION:
    case OP_UMASK:
    case OP_NO_NEW_PRIVS:
    case OP_IOPRIO:
    case OP_PERSONALITY:
    case OP_BOUNDING:
    case OP_KEEP_CAPS:
    case OP_CAPSET:
    case OP_AMBIENT:
    case OP_VERIFY_CWD:
    case OP_NO_PDEATHSIG:
    case OP_TERMINAL:
    case OP_SIGNALS:
    case OP_DUMPABLE:
    case OP_LET_GO:
        return NULL;
    default:
        return "unknown operation";
    }
}

/* Of what may follow when the process has let go of the C library (last_tail.c). */
static int is_tail(const op_t *op, const op_t *after)
{
    return op->code == OP_BARRIER || op->code == OP_CLOSE_FROM || op->code == OP_EXEC
        || (after->code == OP_LET_GO && (op->code == OP_CLOSE_FD || op->code == OP_WAIT_START));
}

static int begins_tail(const op_t *op)
{
    return op->code == OP_CLONE || (op->code == OP_LET_GO && op->c == 0);
}

int64_t last_check(const op_t *ops, unsigned n, const char *blob, size_t blob_len, unsigned *index, const char **fault)
{
    const struct blob whole = { blob, blob_len };
    int64_t pointers = 0;
    const op_t *tail = NULL;            /* where it begins */
    *index = 0;
    *fault = n > OPERATIONS ? "too many operations" : n == 0 ? "no operation" : NULL;
    for (unsigned i = 0; !*fault && i < n; i++) {
        *index = i;
        *fault = fault_of(&ops[i], &whole, &pointers);
        if (!*fault && (ops[i].code == OP_EXEC) != (i == n - 1))
            *fault = "execve must be the last operation, and only that";
        if (!*fault && tail && !is_tail(&ops[i], tail))
            *fault = tail->code == OP_CLONE ? "it cannot follow a clone" : "it cannot be done without the C library";
        tail = tail ? tail : begins_tail(&ops[i]) ? &ops[i] : NULL;
    }
    return *fault ? -1 : pointers;
}
